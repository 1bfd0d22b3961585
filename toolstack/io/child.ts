/**
 * One process that was started: its output kept in a file of its own, the line by which it says that it serves, and its end.
 * In a session of its own, so that a Ctrl-C at the terminal reaches only whoever takes things down in order. Its standard input
 * is a lifeline: it ends when we do. Knows no policy.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, renameSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { identify, type ProcessId } from './identity.ts';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** Added to ours. */
  readonly env: Readonly<Record<string, string>>;
  /** The line with which it says that it serves. */
  readonly ready: RegExp;
}

export interface ChildEvents {
  ready(match: RegExpExecArray): void;
  /** Each line that it writes. */
  line?(text: string): void;
  /** Once. `how` is for people. */
  exited(how: string): void;
}

const LOG_MAX_BYTES = 1 << 20;
const TAIL_LINES = 20;
const LAST_WORDS_MS = 500;

export class Child {
  readonly #process: ChildProcess;
  readonly #tail: string[] = [];
  readonly #logFile: string;
  #id: ProcessId | undefined;
  #over = false;

  constructor(command: Command, logFile: string, events: ChildEvents) {
    this.#logFile = logFile;
    this.#process = spawn(command.file, command.args, {
      env: { ...process.env, ...command.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    if (this.#process.pid !== undefined) this.#id = identify(this.#process.pid);
    let ready = false;
    for (const stream of [this.#process.stdout!, this.#process.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        this.#keep(line);
        events.line?.(line);
        const match = ready || this.#over ? null : command.ready.exec(line);
        if (match) {
          ready = true;
          events.ready(match);
        }
      });
    }
    this.#process.stdin!.on('error', () => {});
    const end = (how: string): void => {
      if (this.#over) return;
      this.#over = true;
      events.exited(how);
    };
    this.#process.once('error', (error) => end(error.message));
    // `close` comes after the last of its output, which says why; a grandchild that keeps the pipes must not hide the exit.
    this.#process.once('close', (code, signal) => end(describe(code, signal)));
    this.#process.once('exit', (code, signal) =>
      setTimeout(() => end(describe(code, signal)), LAST_WORDS_MS).unref(),
    );
  }

  /** undefined: it could not be started. */
  get id(): ProcessId | undefined {
    return this.#id;
  }

  /** The last lines it wrote. */
  get tail(): readonly string[] {
    return this.#tail;
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.#over) this.#process.kill(signal);
  }

  #keep(line: string): void {
    this.#tail.push(line);
    if (this.#tail.length > TAIL_LINES) this.#tail.shift();
    try {
      const size = statSync(this.#logFile, { throwIfNoEntry: false })?.size ?? 0;
      if (size > LOG_MAX_BYTES) renameSync(this.#logFile, `${this.#logFile}.1`);
      appendFileSync(this.#logFile, `${line}\n`, { mode: 0o600 });
    } catch {
      // A full disk or a removed directory must not take the host down.
    }
  }
}

function describe(code: number | null, signal: NodeJS.Signals | null): string {
  return signal !== null ? `ended by ${signal}` : `exit code ${code}`;
}
