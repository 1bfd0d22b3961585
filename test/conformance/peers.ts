/**
 * The real daemons as peers: Debian's C xenstored and oxenstored, and any other build of them, each in a run directory of its own, with
 * the preload library (test/real/preload.c) as their hypervisor. A test is every domain of that host: it makes them, speaks through their
 * rings, shuts them down and kills them. Knows how the daemons are started, nothing of what they answer.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FilePage, GuestRing, type RingLink } from './guestring.ts';
import { type Link, socketLink } from './link.ts';

/** A running store and the host around it. */
export interface Peer {
  readonly socketPath: string;
  readonly runDir: string;
  readonly pid: number;
  /** Settles when the daemon has ended, with how. */
  readonly ended: Promise<string>;
  connect(): Promise<Link>;
  /** The hypervisor makes a domain, with a zeroed ring page; nobody has told the store yet. */
  addDomain(domid: number): void;
  /** The domain's end of its ring; the same object until the domain is made anew. */
  ring(domid: number): RingLink;
  shutdownDomain(domid: number): void;
  /** The domain is gone from the hypervisor, at once and completely. */
  killDomain(domid: number): void;
  stop(): Promise<void>;
}

export interface PeerOptions {
  /** Further command line arguments. */
  readonly args?: readonly string[];
  /** Lines that replace or extend oxenstored's configuration, as `quota-maxwatch = 3`. */
  readonly config?: readonly string[];
}

const XEN_BIN = '/usr/lib/xen-4.17/bin';
const ROOT: string = findRoot();
const PRELOAD_SOURCE = join(ROOT, 'test/real/preload.c');

/** The remote end of every domain's event channel. */
export const STORE_PORT = 1;
/** Binding to this port fails, as to one that the domain has not offered. */
export const BAD_PORT = 4000;

const VIRQ = 0xffffffff;
const VIRQ_DOM_EXC = 3;
const STATE_EXIST = 1;
const STATE_SHUTDOWN = 2;
const CAPS_ALL = 7;

/** Debian's C daemon, of 4.17. */
export function startC(options: PeerOptions = {}): Promise<Peer> {
  return startXenstored(join(XEN_BIN, 'xenstored'), options);
}

/** A C daemon of any version, by its path; it must find symbols of Xen's libraries in the preload library alone. */
export function startXenstored(program: string, options: PeerOptions = {}): Promise<Peer> {
  return startPeer(program, () => ['-N', ...(options.args ?? [])]);
}

/** Debian's oxenstored, of 4.17, with its shipped configuration. */
export function startOx(options: PeerOptions = {}): Promise<Peer> {
  return startPeer(join(XEN_BIN, 'oxenstored'), (runDir) => {
    const file = join(runDir, 'etc', 'test.conf');
    const shipped = readFileSync('/etc/xen/oxenstored.conf', 'latin1').split('\n');
    const ours = options.config ?? [];
    const kept = shipped.filter((line) => !ours.some((l) => l.split(' ')[0] === line.split(' ')[0]));
    writeFileSync(file, [...kept, ...ours, ''].join('\n'));
    return ['--no-fork', `--config-file=${file}`, ...(options.args ?? [])];
  });
}

/** Why the named daemon cannot run here; `undefined` if it can. */
export function peerMissing(kind: 'c417' | 'ox' | string): string | undefined {
  const program =
    kind === 'c417' ? join(XEN_BIN, 'xenstored') : kind === 'ox' ? join(XEN_BIN, 'oxenstored') : kind;
  if (!existsSync(program)) return `${program} is not installed (Debian: xen-utils-4.17)`;
  try {
    preloadLibrary();
  } catch {
    return 'test/real/preload.c cannot be compiled (Debian: gcc, libxen-dev)';
  }
  return undefined;
}

let library: string | undefined;

/** Compiles the preload library once per version of its source. */
export function preloadLibrary(): string {
  if (library) return library;
  const digest = createHash('sha256').update(readFileSync(PRELOAD_SOURCE)).digest('hex').slice(0, 16);
  const cache = join(ROOT, 'node_modules', '.cache', 'stubdom0');
  const path = join(cache, `preload-${digest}.so`);
  if (!existsSync(path)) {
    mkdirSync(cache, { recursive: true });
    const unfinished = `${path}.${process.pid}`;
    execFileSync('gcc', ['-shared', '-fPIC', '-O2', '-Wall', '-o', unfinished, PRELOAD_SOURCE], {
      stdio: 'pipe',
    });
    renameSync(unfinished, path);
  }
  library = path;
  return path;
}

async function startPeer(program: string, argsFor: (runDir: string) => string[]): Promise<Peer> {
  const host = new PreloadHost();
  const child = spawn(program, argsFor(host.dir), {
    env: { STUBDOM0_PEER: host.dir, XENSTORED_RUNDIR: host.dir, LD_PRELOAD: preloadLibrary() },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let complaints = '';
  child.stderr.on('data', (text: Buffer) => {
    complaints += text.toString('latin1');
  });
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(`${program} ended: ${signal ?? code}\n${complaints}`));
  });
  ended.then(() => host.lost());
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
    host.close();
  };
  // Every daemon notifies dom0 once it serves its ring; by then it listens on its socket.
  const failure = await Promise.race([host.firstSignal, ended]);
  if (failure) {
    await stop();
    throw new Error(failure);
  }
  const socketPath = join(host.dir, 'socket');
  return {
    socketPath,
    runDir: host.dir,
    pid: child.pid!,
    ended,
    connect: () => socketLink(socketPath),
    addDomain: (domid) => host.add(domid),
    ring: (domid) => host.ring(domid),
    shutdownDomain: (domid) => host.shutdown(domid),
    killDomain: (domid) => host.kill(domid),
    stop,
  };
}

interface Domain {
  state: number;
  uniqueId: number;
  changes: number;
  ring: GuestRing | undefined;
}

/** The files that the preload library reads, and the fifos between it and us. */
class PreloadHost {
  readonly dir: string;
  readonly firstSignal: Promise<undefined>;
  readonly #domains = new Map<number, Domain>();
  readonly #events: number;
  readonly #signals: Socket;
  readonly #event = Buffer.alloc(8);
  #nextUniqueId = 1;

  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), 'peer-'));
    for (const sub of ['xen', 'lib', 'lib/xenstore', 'log', 'etc']) mkdirSync(join(this.dir, sub));
    const [events, signals] = [join(this.dir, 'events'), join(this.dir, 'signals')];
    execFileSync('mkfifo', [events, signals]);
    this.#events = openSync(events, constants.O_RDWR | constants.O_NONBLOCK);
    // Opened for both, so that the fifo never looks ended.
    const signalsFd = openSync(signals, constants.O_RDWR | constants.O_NONBLOCK);
    this.#signals = new Socket({ fd: signalsFd, readable: true, writable: false });
    this.firstSignal = new Promise((resolve) => this.#signals.once('data', () => resolve(undefined)));
    this.#signals.on('data', (bytes: Buffer) => this.#onSignals(bytes));
    writeFileSync(join(this.dir, 'port'), String(STORE_PORT));
    this.add(0);
  }

  add(domid: number): void {
    const before = this.#domains.get(domid);
    before?.ring?.close();
    const page = join(this.dir, `page.${domid}`);
    rmSync(page, { force: true });
    writeFileSync(page, Buffer.alloc(4096));
    const changes = (before?.changes ?? 0) + 1;
    this.#domains.set(domid, {
      state: STATE_EXIST,
      uniqueId: this.#nextUniqueId++,
      changes,
      ring: undefined,
    });
    this.#publish();
  }

  ring(domid: number): GuestRing {
    const domain = this.#domain(domid);
    domain.ring ??= new GuestRing(domid, new FilePage(join(this.dir, `page.${domid}`)), () =>
      this.#raise(domid, STORE_PORT),
    );
    return domain.ring;
  }

  shutdown(domid: number): void {
    const domain = this.#domain(domid);
    domain.state |= STATE_SHUTDOWN;
    domain.changes++;
    this.#publish();
    this.#raise(VIRQ, VIRQ_DOM_EXC);
  }

  kill(domid: number): void {
    const domain = this.#domain(domid);
    domain.ring?.close();
    Object.assign(domain, { state: 0, uniqueId: 0, changes: domain.changes + 1, ring: undefined });
    rmSync(join(this.dir, `page.${domid}`));
    this.#publish();
    this.#raise(VIRQ, VIRQ_DOM_EXC);
  }

  lost(): void {
    for (const { ring } of this.#domains.values()) ring?.lost();
  }

  close(): void {
    for (const { ring } of this.#domains.values()) ring?.close();
    this.#signals.destroy();
    closeSync(this.#events);
    rmSync(this.dir, { recursive: true, force: true });
  }

  #domain(domid: number): Domain {
    const domain = this.#domains.get(domid);
    if (!domain?.state) throw new Error(`there is no domain ${domid}`);
    return domain;
  }

  #publish(): void {
    const lines = [...this.#domains].map(
      ([domid, { state, uniqueId, changes }]) =>
        `${domid} ${state} ${domid === 0 ? CAPS_ALL : 0} ${uniqueId} ${changes}\n`,
    );
    const file = join(this.dir, 'domains');
    writeFileSync(`${file}.new`, lines.join(''));
    renameSync(`${file}.new`, file);
  }

  #raise(domid: number, port: number): void {
    this.#event.writeUInt32LE(domid, 0);
    this.#event.writeUInt32LE(port, 4);
    writeSync(this.#events, this.#event);
  }

  /** Records of four bytes, written whole; several of one domain are as good as one. */
  #onSignals(bytes: Buffer): void {
    const domids = new Set<number>();
    for (let at = 0; at + 4 <= bytes.length; at += 4) domids.add(bytes.readUInt32LE(at));
    for (const domid of domids) this.#domains.get(domid)?.ring?.signalled();
  }
}

function findRoot(): string {
  let dir = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(dir, 'package.json'))) dir = dirname(dir);
  return dir;
}
