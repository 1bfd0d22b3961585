/**
 * A terminal's line for a command that reads: letters are shown, Backspace and Ctrl-U take them back, Return hands the line over, Ctrl-D ends the input.
 * What a kernel's terminal does in its usual mode. Knows no stream.
 */

export interface CookedWays {
  /** To the terminal. */
  echo(text: string | Uint8Array): void;
  /** A line with its end; undefined: there will be no more. */
  line(bytes: Uint8Array | undefined): void;
}

const LINE_MAX = 4096;
const CTRL_D = 4;
const BACKSPACE = 8;
const LF = 10;
const CR = 13;
const CTRL_U = 21;
const DELETE = 127;

export class Cooked {
  readonly #ways: CookedWays;
  #line: number[] = [];

  constructor(ways: CookedWays) {
    this.#ways = ways;
  }

  /** Up to the end of a line; answers how many bytes it took. */
  take(bytes: Uint8Array): number {
    for (const [at, byte] of bytes.entries()) {
      if (byte === CR || byte === LF) {
        this.#ways.echo('\r\n');
        this.#hand([...this.#line, LF]);
        return at + 1;
      }
      if (byte === CTRL_D) {
        this.#hand(this.#line.length === 0 ? undefined : this.#line);
        return at + 1;
      }
      if (byte === BACKSPACE || byte === DELETE) this.#rub();
      else if (byte === CTRL_U) while (this.#line.length > 0) this.#rub();
      else if (this.#line.length < LINE_MAX) {
        this.#line.push(byte);
        if (byte >= 32 || byte === 9) this.#ways.echo(Uint8Array.of(byte));
      }
    }
    return bytes.length;
  }

  #hand(line: number[] | undefined): void {
    this.#line = [];
    this.#ways.line(line === undefined ? undefined : Uint8Array.from(line));
  }

  #rub(): void {
    // All bytes of a letter.
    let byte = this.#line.pop();
    if (byte === undefined) return;
    while (byte !== undefined && (byte & 0xc0) === 0x80) byte = this.#line.pop();
    this.#ways.echo('\b \b');
  }
}
