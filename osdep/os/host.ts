/**
 * What a daemon needs of the system that it runs in, besides files and sockets: behind one interface, with a form for a
 * Linux host and one for a stub domain, where most of it does not exist (xen/tools/xenstored/posix.c and minios.c draw
 * the same line). Knows no particular daemon.
 */
import { spawn } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import type { RingAttachment, StoreAttachment } from '../attach.ts';
import { OsError } from '../errno.ts';
import * as ffi from './ffi.ts';
import { sendDatagram } from './sock.ts';

export interface Host {
  readonly form: 'host' | 'stub domain';
  /**
   * Writes the process id to a file of mode 0600 and locks it for as long as the process lives. `locked`: another one
   * holds it (a daemon then ends with exit code 0). After `daemonise`, which changes the process; and the file must not
   * be opened a second time in this process, since closing that would drop the lock. Throws the file's error.
   */
  takePidFile(path: string): 'taken' | 'locked';
  /**
   * Goes into the background: resolves in the process that is to go on, never in the one that was started.
   *
   * Node cannot fork. So the program is started once more, in a session of its own, and the first process stays until
   * the second calls `finishDaemonise` (it then exits 0) or ends (it then exits the same way); until then the second
   * one's stderr is the first one's. To call before anything else is opened.
   */
  daemonise(): Promise<void>;
  /** The rest of it, once serving: root directory, /dev/null for the standard streams, the starter is let go. */
  finishDaemonise(): void;
  /** Tells a service manager that the daemon is ready (sd_notify(3)), once; children are not told whom to tell. */
  notifyReady(): void;
  /** Calls back when logs are to be opened anew (SIGHUP), until the result is called. */
  onReopenLogs(callback: () => void): () => void;
  /** Keeps all memory of the process resident: 0, or a positive error number. */
  lockMemory(): number;
  unlockMemory(): number;
  /** How readily the kernel ends this process when memory runs out, -1000 to 1000; false if it may not be set. */
  setOomScore(score: number): boolean;
  /** The ring through which the first domain besides sockets reaches the store; undefined: there is none. */
  readonly xenbus: XenbusHost;
}

/** The store's first ring: the kernel's of the domain that it serves from, or a stub domain's own. */
export interface XenbusHost {
  /** Page and event channel together; the port is bound like any other domain's. */
  map(store: StoreAttachment): (RingAttachment & { readonly domid: number | undefined }) | undefined;
  unmap(ring: RingAttachment): void;
  /** The store serves now. Linux and mini-os want no word of it. */
  notifyRunning(): void;
}

/** Set for the second process of `daemonise`. */
const DAEMON_VARIABLE = 'STUBDOM0_DAEMON';
const READY_FD = 3;
const LOCK_AND_TEST = 2;
const PR_SET_DUMPABLE = 4;
const O_RDWR = 2;
const O_CREAT = 0o100;
const O_CLOEXEC = 0o2000000;
const [MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT] = [1, 2, 4];

/** Where the process that started this one waits for a word. */
let starter: number | undefined;

export function hostOf(form: Host['form']): Host {
  return form === 'host' ? linuxHost : stubDomain;
}

const linuxHost: Host = {
  form: 'host',

  takePidFile(path) {
    const fd = ffi.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600);
    if (fd < 0) throw new OsError(ffi.errno(), `opening ${path}`);
    if (ffi.lockf(fd, LOCK_AND_TEST, 0) < 0) {
      ffi.close(fd);
      return 'locked';
    }
    ftruncateSync(fd, 0);
    writeSync(fd, `${process.pid}\n`);
    return 'taken';
  },

  async daemonise() {
    if (process.env[DAEMON_VARIABLE] === '1') {
      delete process.env[DAEMON_VARIABLE];
      starter = READY_FD;
      return;
    }
    const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
      env: { ...process.env, [DAEMON_VARIABLE]: '1' },
    });
    child.stdio[READY_FD]?.once('data', () => process.exit(0));
    child.once('error', (error) => {
      process.stderr.write(`cannot go into the background: ${error.message}\n`);
      process.exit(1);
    });
    child.once('exit', (code) => process.exit(code ?? 1));
    await new Promise<never>(() => {});
  },

  finishDaemonise() {
    if (starter === undefined) return;
    process.chdir('/');
    const nothing = openSync('/dev/null', 'r+');
    for (const standard of [0, 1, 2]) ffi.dup2(nothing, standard);
    closeSync(nothing);
    writeSync(starter, '\n');
    closeSync(starter);
    starter = undefined;
  },

  notifyReady() {
    const socket = process.env.NOTIFY_SOCKET;
    delete process.env.NOTIFY_SOCKET;
    if (socket === undefined || !/^[/@]/.test(socket)) return;
    // A manager that is gone is no reason to stop serving.
    sendDatagram(socket, Buffer.from(`READY=1\nMAINPID=${process.pid}`));
  },

  onReopenLogs(callback) {
    process.on('SIGHUP', callback);
    return () => process.off('SIGHUP', callback);
  },

  lockMemory() {
    // On fault only: a JavaScript engine reserves far more than it uses.
    return ffi.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0 ? ffi.errno() : 0;
  },

  unlockMemory() {
    return ffi.munlockall() < 0 ? ffi.errno() : 0;
  },

  setOomScore(score) {
    try {
      writeFileSync('/proc/self/oom_score_adj', `${score}\n`);
      return true;
    } catch {
      return false;
    }
  },

  xenbus: {
    map: (store) => store.kernelRing(),
    unmap: (ring) => ring.page.unmap(),
    notifyRunning() {},
  },
};

/** Nobody to report to, nothing to go into the background of, one process, all memory resident. */
const stubDomain: Host = {
  form: 'stub domain',
  takePidFile: () => 'taken',
  daemonise: async () => {},
  finishDaemonise() {},
  notifyReady() {},
  onReopenLogs: () => () => {},
  lockMemory: () => 0,
  unlockMemory: () => 0,
  setOomScore: () => false,
  xenbus: {
    // The store's domain is its own first client; its page is not mapped but there.
    map: (store) => ({ ...store.ring(), domid: undefined }),
    unmap() {},
    notifyRunning() {},
  },
};

/**
 * Keeps other processes of the same user, unless privileged, out of this one's memory and descriptors (no ptrace, no
 * /proc/PID/fd), and core files off the disk. See prctl(2), PR_SET_DUMPABLE.
 */
export function protectFromPeers(): void {
  ffi.prctl(PR_SET_DUMPABLE, 0);
}
