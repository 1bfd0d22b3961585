/**
 * The built daemon as a process of its own, in a run directory of its own, for tests of what a user sees: words, files, signals, exit codes.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodeMessage } from '../../xenstored/wire/frame.ts';
import { Op, type OpName } from '../../xenstored/wire/ops.ts';
import { type Link, socketLink } from '../conformance/link.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/xenstored/main.js', import.meta.url));

/** Sends one request and answers the next message; `|` stands for NUL. */
export async function ask(link: Link, op: OpName, payload: string): Promise<string> {
  link.send(request(op, payload));
  return next(link);
}

/** The next message: `!ENOENT`, `EVENT path|token|`, or a reply's payload. */
export async function next(link: Link): Promise<string> {
  const { type, body } = await link.recv();
  const text = body.replaceAll('\0', '|');
  return type === Op.WATCH_EVENT ? `EVENT ${text}` : type === Op.ERROR ? `!${text.slice(0, -1)}` : text;
}

export function request(op: OpName, payload: string): Buffer {
  return encodeMessage(Op[op], 0, 0, payload.replaceAll('|', '\0'));
}

/** Where Debian's clients are; `undefined`: they are not installed. */
export const xenClients: string | undefined = existsSync('/usr/bin/xenstore-read') ? '/usr/bin' : undefined;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class DaemonProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stderr = '';
  readonly #lookers = new Set<() => void>();

  constructor(args: readonly string[], env: Record<string, string>, wrapper: readonly string[] = []) {
    const [program, ...rest] = [...wrapper, process.execPath, PROGRAM, ...args];
    this.child = spawn(program!, rest, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.child.stderr!.on('data', (text: Buffer) => {
      this.stderr += text.toString();
      for (const look of this.#lookers) look();
    });
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) => {
        resolve({ code, signal });
        for (const look of this.#lookers) look();
      });
    });
  }

  /** Resolves when the daemon has said it; rejects when it ends before. */
  says(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const said = this.stderr.includes(text);
        if (!said && this.child.exitCode === null && this.child.signalCode === null) return;
        this.#lookers.delete(look);
        if (said) resolve();
        else reject(new Error(`the daemon ended without saying "${text}": ${this.stderr}`));
      };
      this.#lookers.add(look);
      look();
    });
  }

  async stop(): Promise<Ended> {
    this.child.kill('SIGTERM');
    return this.ended;
  }
}

/** A run directory, and what was started in it. */
export class Scene {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'xenstored-'));
  readonly #daemons: DaemonProcess[] = [];

  get socketPath(): string {
    return join(this.directory, 'socket');
  }

  get env(): Record<string, string> {
    return { XENSTORED_RUNDIR: this.directory };
  }

  /** Starts it; what becomes of it is the test's to say. */
  spawn(
    args: readonly string[],
    env: Record<string, string> = {},
    wrapper: readonly string[] = [],
  ): DaemonProcess {
    const daemon = new DaemonProcess(args, { ...this.env, ...env }, wrapper);
    this.#daemons.push(daemon);
    return daemon;
  }

  /** Starts it in the foreground; resolves when it serves. */
  async serve(...args: string[]): Promise<DaemonProcess> {
    const daemon = this.spawn(['-N', ...args]);
    await daemon.says('xenstored is ready');
    return daemon;
  }

  connect(): Promise<Link> {
    return socketLink(this.socketPath);
  }

  /** One of Xen's own clients. */
  xenstore(command: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
    const { status, stdout, stderr } = spawnSync(`${xenClients}/xenstore-${command}`, args, {
      env: { ...process.env, ...this.env },
      encoding: 'latin1',
      timeout: 10_000,
    });
    return { status, stdout, stderr };
  }

  async clean(): Promise<void> {
    for (const { child, ended } of this.#daemons) {
      child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Any daemon, as far as a test needs to know which it is. */
export interface Daemon {
  readonly socketPath: string;
  /** Kills it and starts it anew. `away`: done while there is none. */
  restart?(away?: () => Promise<unknown>): Promise<void>;
  stop(): Promise<void>;
}

export async function lastingDaemon(...flags: string[]): Promise<Daemon> {
  const scene = new Scene();
  let process = await scene.serve(...flags);
  return {
    socketPath: scene.socketPath,
    restart: async (away) => {
      process.child.kill('SIGKILL');
      await process.ended;
      await away?.();
      process = await scene.serve(...flags);
    },
    stop: () => scene.clean(),
  };
}
