/**
 * What a client types, for whoever takes it at the moment: the prompt, a command that reads, a console; held back while nobody does, so that
 * what is typed ahead goes to the next one. Ctrl-C is seen at once, whatever is held.
 */
import type { Readable } from 'node:stream';

/** Takes from the front of these bytes and answers how many; 0: none for now. */
export type Taker = (bytes: Uint8Array) => number;

const HELD_MAX = 64 * 1024;
const CTRL_C = 3;

export class Keyboard {
  readonly #source: Readable;
  #held: Uint8Array = new Uint8Array(0);
  #taker: Taker | undefined;
  #interrupt: (() => void) | undefined;
  #ended = false;
  #end: (() => void) | undefined;
  #delivering = false;

  constructor(source: Readable) {
    this.#source = source;
    source.on('data', (bytes: Uint8Array) => this.#arrived(bytes));
    source.on('end', () => {
      this.#ended = true;
      this.more();
    });
  }

  /**
   * Who takes from now on; undefined: nobody. `end`: called when there will be nothing more. `interrupt`: called at Ctrl-C, which then nobody
   * gets, nor what was held before it; left out: it is a byte like others.
   */
  give(
    taker: Taker | undefined,
    ways: { readonly end?: () => void; readonly interrupt?: () => void } = {},
  ): void {
    this.#taker = taker;
    this.#end = ways.end;
    this.#interrupt = ways.interrupt;
    this.more();
  }

  /** The taker takes more. */
  more(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    while (this.#held.length > 0 && this.#taker !== undefined) {
      const taken = this.#taker(this.#held);
      if (taken === 0) break;
      this.#held = this.#held.subarray(taken);
    }
    this.#delivering = false;
    if (this.#held.length < HELD_MAX) this.#source.resume();
    if (this.#ended && this.#held.length === 0) {
      const end = this.#end;
      this.#end = undefined;
      end?.();
    }
  }

  #arrived(bytes: Uint8Array): void {
    let rest = bytes;
    if (this.#interrupt !== undefined) {
      const at = bytes.lastIndexOf(CTRL_C);
      if (at >= 0) {
        rest = bytes.subarray(at + 1);
        this.#held = new Uint8Array(0);
        this.#interrupt();
      }
    }
    this.#held = this.#held.length === 0 ? rest : Buffer.concat([this.#held, rest]);
    if (this.#held.length >= HELD_MAX) this.#source.pause();
    this.more();
  }
}
