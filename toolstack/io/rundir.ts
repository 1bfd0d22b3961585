/**
 * The run directory of a host: who owns it, what is in it, and that nothing of it stays. A lock that ends with its owner's process says
 * whether a host runs; the directory of a host whose owner died is taken over, its left-over processes ended. Knows no host.
 */
import { closeSync, fstatSync, mkdirSync, openSync, readdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { lockf } from '../../osdep/os/ffi.ts';
import { replaceFile } from '../../osdep/os/wholefile.ts';
import { Fault, reasonOf } from './fault.ts';
import { endGuests } from './hostguests.ts';
import { ended, identify, isAlive, type ProcessId } from './identity.ts';
import { type HostState, readState } from './state.ts';

/** What a host puts there. A directory with anything else in it is not cleared, whatever it is. */
const OURS: ReadonlySet<string> = new Set([
  'admin-audit.log',
  'admin-write.token',
  'admin.token',
  'blkback',
  'console',
  'control',
  'disks',
  'hypervisor',
  'lock',
  'logs',
  'netback',
  'ssh',
  'state.json',
  'state.json.new',
  'toolstack',
  'xensock',
  'xensock.json',
  'xensock.json.new',
  'xenstored',
]);
/** Captures that netback was asked for. */
const CAPTURE = /\.pcap$/;
const F_TLOCK = 2;
/** `sun_path` holds 108 bytes with its NUL; the longest name below a run directory is the hypervisor's socket. */
const PATH_MAX = 107 - '/hypervisor/socket'.length;

export class RunDirectory {
  readonly path: string;
  readonly #lock: number;
  /** The topmost directory that had to be made; undefined: it was all there. */
  readonly #made: string | undefined;

  private constructor(path: string, lock: number, made: string | undefined) {
    this.path = path;
    this.#lock = lock;
    this.#made = made;
  }

  /** Takes the directory for this process, making it if need be. What a dead owner left in it is gone then. */
  static async claim(path: string): Promise<RunDirectory> {
    if (Buffer.byteLength(path) > PATH_MAX)
      throw new Fault(`${path}: too long for a socket's path (at most ${PATH_MAX} bytes)`);
    const made = make(path);
    for (const place of [path, dirname(path)]) assertTrusted(place);
    const lock = takeLock(path);
    const directory = new RunDirectory(path, lock, made);
    try {
      await directory.#clear();
    } catch (error) {
      closeSync(lock);
      throw error;
    }
    return directory;
  }

  get logs(): string {
    return join(this.path, 'logs');
  }

  writeState(state: HostState): void {
    replaceFile(join(this.path, 'state.json'), `${JSON.stringify(state, undefined, 2)}\n`);
  }

  /** Removes all of it, and gives it free. */
  remove(): void {
    for (const name of readdirSync(this.path)) {
      if (name !== 'lock') rmSync(join(this.path, name), { recursive: true, force: true });
    }
    // The lock goes last, while it is held: whoever waits for it finds another file there, and starts again.
    rmSync(join(this.path, 'lock'), { force: true });
    closeSync(this.#lock);
    if (this.#made === undefined) return;
    try {
      for (let path = this.path; path.length >= this.#made.length; path = dirname(path)) rmdirSync(path);
    } catch {
      // Somebody else is in it already.
    }
  }

  async #clear(): Promise<void> {
    const names = readdirSync(this.path);
    if (!names.every((name) => OURS.has(name) || CAPTURE.test(name))) throw foreign(this.path);
    const left = readState(this.path);
    if (left) await endLeftovers(left);
    await endGuests(this.path);
    for (const name of readdirSync(this.path)) {
      if (name !== 'lock') rmSync(join(this.path, name), { recursive: true, force: true });
    }
    mkdirSync(this.logs, { mode: 0o700 });
  }
}

/** The topmost directory that it made. A directory with other people's files in it is not taken. */
function make(path: string): string | undefined {
  try {
    const made = mkdirSync(path, { recursive: true, mode: 0o700 });
    if (made !== undefined) return made;
    const names = readdirSync(path);
    if (names.length > 0 && !names.includes('lock')) throw foreign(path);
    // One that a dead owner made: as if made now.
    return names.length > 0 ? path : undefined;
  } catch (error) {
    throw error instanceof Fault ? error : new Fault(`cannot make the run directory: ${reasonOf(error)}`);
  }
}

function foreign(path: string): Fault {
  return new Fault(`${path}: is neither empty nor a run directory; pick another one with --run`);
}

/** In a place that somebody else owns, what we put there need not stay what it was. */
function assertTrusted(path: string): void {
  const { uid } = statSync(path);
  if (uid !== 0 && uid !== process.getuid?.())
    throw new Fault(`${path}: belongs to somebody else; pick another place with --run`);
}

function takeLock(path: string): number {
  const file = join(path, 'lock');
  for (let attempt = 0; attempt < 10; attempt++) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const fd = openSync(file, 'a+', 0o600);
    if (lockf(fd, F_TLOCK, 0) !== 0) {
      closeSync(fd);
      const owner = readState(path)?.owner.pid;
      throw new Fault(
        `a host runs in ${path} already${owner === undefined ? '' : ` (process ${owner})`}; "stubdom0 down --run ${path}" ends it`,
      );
    }
    if (statSync(file, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) return fd;
    // Its owner removed the directory between our open and our lock.
    closeSync(fd);
  }
  throw new Fault(`${path}: somebody keeps removing it`);
}

/** Processes of a host whose owner was killed. */
async function endLeftovers(state: HostState): Promise<void> {
  const left = state.processes.flatMap(({ id }) => (id !== undefined && isAlive(id) ? [id] : []));
  for (const { pid } of left) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It was quicker.
    }
  }
  await Promise.all(left.map(ended));
}

/** This process, for the state. */
export function self(): ProcessId {
  return identify(process.pid)!;
}
