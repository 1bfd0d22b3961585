/**
 * The prompt of an interactive session: line editing, history and completion by Node's readline, over what a client types and sees instead of a
 * terminal of this machine. Knows no command.
 */
import { createInterface, type Interface } from 'node:readline';
import { Readable, Writable } from 'node:stream';
import type { Keyboard } from './keyboard.ts';
import type { ClientTerminal } from './terminal.ts';

export interface PromptWays {
  readonly keyboard: Keyboard;
  readonly terminal: ClientTerminal;
  /** `seen`: called once the client has room for more. */
  show(bytes: Uint8Array, seen: () => void): void;
  /** What the last word of a line could become. */
  complete(line: string): Promise<readonly string[]>;
}

const HISTORY_LINES = 200;
const CR = 13;
const LF = 10;
const TAB = 9;
/** Readline's work for a letter grows with the line that it is in, so lines have an end, and who types fast a turn like others. */
const LINE_MAX = 4096;
const PIECE_BYTES = 256;
/** What a full line still takes: Return, and what shortens or leaves it (Ctrl-C, Ctrl-D, Backspace, Ctrl-U, Ctrl-W). */
const TAKEN_WHEN_FULL = new Set([CR, LF, 3, 4, 8, 21, 23, 127]);
/** Puts in what was cut out, as often as one likes. */
const CTRL_Y = 25;
/** What is shown and the client has not taken: then it types no more. */
const UNSEEN_MAX = 64 * 1024;

/** What readline reads: nothing by itself, bytes are handed to it one line at a time. */
class Keys extends Readable {
  held = false;
  released = (): void => {};

  override _read(): void {}

  /** While it looks for completions. */
  override pause(): this {
    this.held = true;
    return this;
  }

  override resume(): this {
    this.held = false;
    // Not before readline has done what it had paused for.
    setImmediate(this.released);
    return this;
  }
}

export class Prompt {
  readonly #ways: PromptWays;
  readonly #keys = new Keys();
  readonly #lines: Interface;
  #answer: ((line: string | undefined) => void) | undefined;
  #closed = false;
  #unseen = 0;
  #othersTurn = false;

  constructor(ways: PromptWays) {
    this.#ways = ways;
    const screen = new Writable({
      decodeStrings: true,
      write: (bytes: Buffer, _, written) => {
        this.#show(bytes);
        written();
      },
    });
    Object.defineProperties(screen, {
      columns: { get: () => ways.terminal.columns },
      rows: { get: () => ways.terminal.rows },
    });
    ways.terminal.resized = () => screen.emit('resize');
    this.#keys.released = () => ways.keyboard.more();
    this.#lines = createInterface({
      input: this.#keys,
      output: screen,
      terminal: true,
      prompt: 'stubdom0> ',
      historySize: HISTORY_LINES,
      removeHistoryDuplicates: true,
      completer: (line: string, done: (error: null, result: [string[], string]) => void) => {
        const last = /\S*$/.exec(line)![0];
        ways.complete(line).then(
          (words) => done(null, [words.map((word) => `${word} `), last]),
          () => done(null, [[], last]),
        );
      },
    });
    this.#lines.on('line', (line) => this.#give(line));
    this.#lines.on('close', () => {
      this.#closed = true;
      this.#give(undefined);
    });
    this.#lines.on('SIGINT', () => {
      this.#show(Buffer.from('^C\r\n'));
      this.#lines.write(null, { ctrl: true, name: 'e' });
      this.#lines.write(null, { ctrl: true, name: 'u' });
      this.#lines.prompt();
    });
    // Readline would stop this whole process otherwise.
    this.#lines.on('SIGTSTP', () => {});
  }

  /** The next line; undefined: Ctrl-D, or there will be nothing more. */
  ask(): Promise<string | undefined> {
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#lines.prompt();
      this.#ways.keyboard.give((bytes) => this.#take(bytes), { end: () => this.close() });
    });
  }

  close(): void {
    this.#lines.close();
  }

  #take(bytes: Uint8Array): number {
    if (this.#keys.held || this.#othersTurn || this.#unseen > UNSEEN_MAX) return 0;
    const most = bytes.subarray(0, PIECE_BYTES);
    const end = most.findIndex((byte) => byte === CR || byte === LF || byte === TAB);
    const piece = end < 0 ? most : most.subarray(0, end + 1);
    const full = this.#lines.line.length >= LINE_MAX;
    const fits = piece.filter((byte) => byte !== CTRL_Y && (!full || TAKEN_WHEN_FULL.has(byte)));
    if (piece.length === PIECE_BYTES) {
      this.#othersTurn = true;
      setImmediate(() => {
        this.#othersTurn = false;
        this.#ways.keyboard.more();
      });
    }
    this.#keys.emit('data', Buffer.from(fits));
    return piece.length;
  }

  #show(bytes: Uint8Array): void {
    this.#unseen += bytes.length;
    this.#ways.show(bytes, () => {
      const full = this.#unseen > UNSEEN_MAX;
      this.#unseen -= bytes.length;
      if (full && this.#unseen <= UNSEEN_MAX) this.#ways.keyboard.more();
    });
  }

  #give(line: string | undefined): void {
    const answer = this.#answer;
    if (answer === undefined) return;
    this.#answer = undefined;
    // What is typed from here on is for the command.
    this.#ways.keyboard.give(undefined);
    answer(line);
  }
}
