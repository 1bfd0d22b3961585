/**
 * A host brought up by the real command, for tests: in a run directory of its own, its output line by line, and a way to wait for what
 * it says. Knows nothing of what a host consists of.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { askStatus } from '../../toolstack/io/control.ts';
import { packageRoot } from '../../toolstack/io/hostfile.ts';
import type { HostState, ProcessState } from '../../toolstack/io/state.ts';

export const program: string = join(packageRoot, 'dist/toolstack/main.js');

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. */
export async function command(
  file: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Ended> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (piece) => {
    stdout += piece;
  });
  child.stderr.on('data', (piece) => {
    stderr += piece;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

export function stubdom0(...args: string[]): Promise<Ended> {
  return command(process.execPath, [program, ...args]);
}

/** What a user's shell may still hold of another host that he was looking at. */
const another = {
  STUBDOM0_RUN: '/nowhere/host',
  STUBDOM0_TOKEN: 'of another host',
  XENSTORED_RUNDIR: '/nowhere',
  XENSTORED_PATH: '/nowhere/socket',
  XENSTORE_ADMIN_TOKEN: 'another-hosts-token',
};

/** Keys of these hosts' SSH services; not those of whoever runs the tests. */
const state = mkdtempSync(join(tmpdir(), 'stubdom0-state-'));
process.once('exit', () => rmSync(state, { recursive: true, force: true }));

export class UpHost {
  /** A directory of the test's own; the run directory is below it. */
  readonly top: string = mkdtempSync(join(tmpdir(), 'stubdom0-up-'));
  readonly run: string = join(this.top, 'run');
  readonly lines: string[] = [];
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  #waiting: (() => void)[] = [];
  #over = false;

  /** `via`: a command in front, that becomes ours. */
  constructor(file: object, via: readonly string[] = []) {
    const host = this.writeHost(file);
    const words = [...via, process.execPath, program, 'up', '--run', this.run, '--host', host];
    // A process group of its own, as a shell would give it one.
    this.child = spawn(words[0]!, words.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, ...another, STUBDOM0_STATE: state },
    });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        this.lines.push(line);
        this.#wake();
      });
    }
    this.ended = once(this.child, 'close').then(([code]) => {
      this.#over = true;
      this.#wake();
      return code as number | null;
    });
  }

  /** A host file beside the run directory. */
  writeHost(file: object): string {
    const path = join(this.top, `${randomUUID()}.json`);
    writeFileSync(path, JSON.stringify(file));
    return path;
  }

  get socket(): string {
    return join(this.run, 'xenstored/socket');
  }

  get token(): string {
    return readFileSync(join(this.run, 'admin.token'), 'utf8').trim();
  }

  /** The first line that fits, of those that came after `from`. */
  async line(pattern: RegExp, from = 0): Promise<string> {
    for (;;) {
      const found = this.lines.slice(from).find((line) => pattern.test(line));
      if (found !== undefined) return found;
      if (this.#over) throw new Error(`ended without ${pattern}:\n${this.lines.join('\n')}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async isUp(): Promise<HostState> {
    await this.line(/^Ctrl-C/);
    return this.state();
  }

  async state(): Promise<HostState> {
    return (await askStatus(this.run))!;
  }

  async process(name: string): Promise<ProcessState> {
    return (await this.state()).processes.find((one) => one.name === name)!;
  }

  async kill(name: string): Promise<void> {
    process.kill((await this.process(name)).id!.pid, 'SIGKILL');
  }

  /** As the terminal does at Ctrl-C. */
  interrupt(): void {
    process.kill(-this.child.pid!, 'SIGINT');
  }

  /** Processes that were started for this host and still live. */
  survivors(): string[] {
    return readdirSync('/proc').flatMap((pid) => {
      try {
        const words =
          readFileSync(`/proc/${pid}/cmdline`, 'utf8') + readFileSync(`/proc/${pid}/environ`, 'utf8');
        return words.includes(this.run) ? [words.split('\0').slice(0, 3).join(' ')] : [];
      } catch {
        return [];
      }
    });
  }

  leftovers(): string[] {
    return existsSync(this.run) ? readdirSync(this.run) : [];
  }

  /** After each test, however it went. */
  async clear(): Promise<void> {
    if (!this.#over) {
      this.child.kill('SIGTERM');
      await this.ended;
    }
    rmSync(this.top, { recursive: true, force: true });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) one();
  }
}
