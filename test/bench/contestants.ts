/**
 * Who takes part: our daemon in its default mode, Debian's C xenstored and oxenstored, and any other build of the C daemon by its path.
 * Each is started fresh, kept on one core, and stopped with SIGSTOP while another one is measured, so that what it does on its own time
 * (a compaction, a timer) is on its own account. Knows nothing of what is measured.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Peer, peerMissing, startC, startOx, startXenstored } from '../conformance/peers.ts';
import { type LoadFlags, load, type Modes, SERVER_CORE } from './load.ts';

/** A running daemon under measurement. */
export interface Served {
  readonly socketPath: string;
  readonly runDir: string;
  readonly pid: number;
  /** Absent where the daemon has no hypervisor that could be told of domains. */
  addDomain?(domid: number): void;
  stop(): Promise<void>;
}

export interface Contestant {
  /** Short, for column heads: `ours`, `C`, `ox`. */
  readonly name: string;
  /** Why it cannot run here. */
  readonly missing: string | undefined;
  start(): Promise<Served>;
}

/** By the names of the command line: `ours`, `c`, `ox`, or the path of a C xenstored. */
export function contestant(who: string): Contestant {
  switch (who) {
    case 'ours':
      return { name: 'ours', missing: undefined, start: () => startOurs().then(kept) };
    case 'c':
      return { name: 'C', missing: peerMissing('c417'), start: () => startC().then(served) };
    case 'ox':
      return { name: 'ox', missing: peerMissing('ox'), start: () => startOx().then(served) };
    default:
      return {
        name: basename(who),
        missing: peerMissing(who),
        start: () => startXenstored(who).then(served),
      };
  }
}

const running = new Set<Served>();

/** For the end of the bench, whichever way it comes: a daemon that sleeps would sleep for ever. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((one) => one.stop()));
}

/** Pinned, and known until it is stopped. */
function kept(daemon: Served): Served {
  const one: Served = {
    ...daemon,
    stop: async () => {
      if (running.delete(one)) await daemon.stop();
    },
  };
  running.add(one);
  execFileSync('taskset', ['-apc', String(SERVER_CORE), String(one.pid)], { stdio: 'ignore' });
  return one;
}

function served(peer: Peer): Served {
  return kept({
    socketPath: peer.socketPath,
    runDir: peer.runDir,
    pid: peer.pid,
    addDomain: (domid) => peer.addDomain(domid),
    stop: () => peer.stop(),
  });
}

/** Of the same build as this file. */
const OUR_MAIN = fileURLToPath(new URL('../../xenstored/main.js', import.meta.url));

/** Extra flags for node, as `--cpu-prof`. */
export const nodeFlags: string[] = [];
/** Extra flags for our daemon, as `--database memory`. */
export const ourFlags: string[] = [];

/**
 * As a host starts it: flags and environment of the C daemon, the database where it is by default, in the run directory; which on a host is
 * in memory, so here it is too.
 */
async function startOurs(domain?: { readonly run: string; readonly token: string }): Promise<Served> {
  const shm = '/dev/shm';
  const runDir = mkdtempSync(join(existsSync(shm) ? shm : tmpdir(), 'bench-'));
  const place = domain ? ['--platform', 'sim', '--run', domain.run, '--database', join(runDir, 'db')] : [];
  const child = spawn(process.execPath, [...nodeFlags, OUR_MAIN, '-N', ...place, ...ourFlags], {
    env: { ...process.env, XENSTORED_RUNDIR: runDir, ...(domain && { STUBDOM0_TOKEN: domain.token }) },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (text: Buffer) => {
    said += text.toString('utf8');
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async () => {
    child.kill('SIGCONT');
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 5000);
    await ended;
    clearTimeout(late);
    rmSync(runDir, { recursive: true, force: true });
  };
  const socketPath = domain ? join(domain.run, 'xenstored/socket') : join(runDir, 'socket');
  const deadline = Date.now() + 10_000;
  while (!(await accepts(socketPath))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error(`our daemon does not serve its socket\n${said}`);
    }
    await pause(10);
  }
  return { socketPath, runDir, pid: child.pid!, stop };
}

/** In a domain of a simulated machine across processes: it knows which domains there are. `run`: the machine's directory. */
export async function startOursOn(run: string, token: string): Promise<Served> {
  return kept(await startOurs({ run, token }));
}

function accepts(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const answer = (yes: boolean) => {
      socket.destroy();
      resolve(yes);
    };
    socket.once('connect', () => answer(true)).once('error', () => answer(false));
  });
}

/** Daemons that stay up from measurement to measurement, one for each contestant and size of store; all but one asleep. */
export class Stable {
  readonly #running = new Map<string, Served>();

  async run(who: Contestant, nodes: number, flags: LoadFlags): Promise<Modes['run']> {
    const key = `${who.name} ${nodes}`;
    let one = this.#running.get(key);
    if (!one) {
      one = await who.start();
      await load('populate', one.socketPath, { nodes });
      this.#running.set(key, one);
    }
    process.kill(one.pid, 'SIGCONT');
    try {
      const figures = await load('run', one.socketPath, { ...flags, nodes });
      process.kill(one.pid, 'SIGSTOP');
      return figures;
    } catch (error) {
      // What is left of it would be no fair start for the next row.
      this.#running.delete(key);
      await one.stop();
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#running.values()].map((one) => one.stop()));
    this.#running.clear();
  }
}
