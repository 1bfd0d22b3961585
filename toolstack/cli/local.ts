/**
 * A session at a shell of this machine: its files, its terminal, its signals. The toolstack is the service of a simulated host, or xl's own on a
 * real one; nothing is connected to before a command asks.
 */
import { getEventListeners } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { Platform } from '../../osdep/platform.ts';
import { currentDirectory } from '../io/directory.ts';
import { Fault } from '../io/fault.ts';
import { RemoteToolstack } from '../io/remote.ts';
import { setRaw } from '../io/terminal.ts';
import type { Toolstack } from '../io/toolstack.ts';
import { XlToolstack } from '../io/xl.ts';
import type { Session, Terminal } from './session.ts';

export type PlatformName = 'sim' | 'xen';

/** undefined asked: a real host's control domain is one, unless a simulated host is up in the run directory. Throws Fault. */
export function toolstackOf(run: string, asked: string | undefined): Toolstack {
  if (asked !== undefined && asked !== 'sim' && asked !== 'xen') {
    throw new Fault(`--platform ${asked}: sim or xen`, { kind: 'usage' });
  }
  const platform: PlatformName =
    asked ?? (isControlDomain() && !existsSync(join(run, 'toolstack')) ? 'xen' : 'sim');
  if (platform === 'xen') return new XlToolstack({ run, env: process.env, platform: realXen });
  // A service that is just being started again is waited for, one that never was is not.
  if (!existsSync(join(run, 'toolstack'))) throw new Fault(`no host runs in ${run}`);
  return new RemoteToolstack(run);
}

/** Loaded where it is needed alone. */
async function realXen(): Promise<Platform> {
  return (await import('../../osdep/xen/index.ts')).xenPlatform();
}

function isControlDomain(): boolean {
  try {
    return readFileSync('/proc/xen/capabilities', 'latin1').includes('control_d');
  } catch {
    return false;
  }
}

export class LocalSession implements Session {
  readonly role = 'admin';
  readonly guest = undefined;
  readonly who = 'local';
  readonly terminal: Terminal | undefined;
  readonly signal: AbortSignal;
  readonly #find: () => Toolstack;
  #toolstack: Toolstack | undefined;
  #stdio: Duplex | undefined;

  /** `find`: where the toolstack is; throws Fault. */
  constructor(find: () => Toolstack) {
    this.#find = find;
    const { stdin, stdout, stderr } = process;
    this.terminal = stdin.isTTY && stdout.isTTY && stderr.isTTY ? new LocalTerminal() : undefined;
    const ended = new AbortController();
    this.signal = ended.signal;
    for (const [name, number] of [
      ['SIGINT', 2],
      ['SIGTERM', 15],
      ['SIGHUP', 1],
    ] as const) {
      process.on(name, () => {
        // A command that has nothing to take back ends where it is; one that has is given the time, once.
        const patient = !ended.signal.aborted && getEventListeners(ended.signal, 'abort').length > 0;
        ended.abort();
        if (!patient) process.exit(128 + number);
      });
    }
  }

  get directory(): string {
    return currentDirectory();
  }

  /** Only who asks for something needs a host. */
  get toolstack(): Toolstack {
    this.#toolstack ??= this.#find();
    return this.#toolstack;
  }

  async close(): Promise<void> {
    await this.#toolstack?.close();
  }

  out(text: string): void {
    process.stdout.write(text);
  }

  err(text: string): void {
    process.stderr.write(text);
  }

  async readFile(path: string): Promise<string> {
    try {
      return path === '-' ? await text(process.stdin) : readFileSync(path, 'utf8');
    } catch (error) {
      throw new Fault(`${path}: ${whyNot(error)}`);
    }
  }

  get stdio(): Duplex {
    this.#stdio ??= Duplex.from({ readable: process.stdin, writable: process.stdout });
    return this.#stdio;
  }
}

class LocalTerminal implements Terminal {
  get columns(): number {
    return process.stdout.columns;
  }

  get rows(): number {
    return process.stdout.rows;
  }

  setRaw(raw: boolean): void {
    setRaw(process.stdin, raw);
  }
}

/** strerror's words for what happens to files. */
function whyNot(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const words: Readonly<Record<string, string>> = {
    ENOENT: 'No such file or directory',
    EACCES: 'Permission denied',
    EISDIR: 'Is a directory',
  };
  return words[code] ?? (error instanceof Error ? error.message : String(error));
}
