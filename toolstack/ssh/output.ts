/**
 * What a session says to its client: standard output and standard error in the order in which they were written, one piece at a time, and no faster
 * than the client takes it. A client that does not read holds one piece back, and whoever waits for it to be written.
 */
import type { ServerChannel } from 'ssh2';

/** The connection under a session. */
export interface Line {
  /** All bytes that were given to it, sent or not. */
  readonly bytesWritten: number;
  /** Resolves when it takes more; at once if it does now. */
  room(): Promise<void>;
  /** Resolves when a key exchange, during which nothing is sent, is over. */
  exchanged(): Promise<void>;
}

export type Stream = 'out' | 'err';

interface Piece {
  readonly stream: Stream;
  readonly bytes: Uint8Array;
  readonly written: (() => void) | undefined;
}

const PIECE_BYTES = 32 * 1024;

export class Output {
  readonly #channel: ServerChannel;
  readonly #line: Line;
  readonly #pieces: Piece[] = [];
  #pumping = false;
  #closed = false;
  #last = 10;
  #idle: (() => void)[] = [];
  #release = (): void => {};

  constructor(channel: ServerChannel, line: Line) {
    this.#channel = channel;
    this.#line = line;
  }

  /** The last byte ended a line. */
  get atLineStart(): boolean {
    return this.#last === 10;
  }

  /** `written`: called once the client's side has room for more, or is gone. */
  write(stream: Stream, bytes: Uint8Array, written?: () => void): void {
    if (this.#closed || bytes.length === 0) {
      written?.();
      return;
    }
    this.#last = bytes.at(-1)!;
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const last = at + PIECE_BYTES >= bytes.length;
      this.#pieces.push({
        stream,
        bytes: bytes.subarray(at, at + PIECE_BYTES),
        written: last ? written : undefined,
      });
    }
    if (!this.#pumping) void this.#pump();
  }

  /** Everything that was written has been taken, or the client is gone. */
  flushed(): Promise<void> {
    if (!this.#pumping) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** The client is gone: nothing more is written. */
  drop(): void {
    this.#closed = true;
    this.#release();
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    for (let piece = this.#pieces.shift(); piece !== undefined; piece = this.#pieces.shift()) {
      if (!this.#closed) await this.#send(piece);
      piece.written?.();
    }
    this.#pumping = false;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }

  async #send({ stream, bytes }: Piece): Promise<void> {
    await this.#line.room();
    if (this.#closed) return;
    const before = this.#line.bytesWritten;
    const target = stream === 'out' ? this.#channel : this.#channel.stderr;
    await new Promise<void>((resolve) => {
      this.#release = resolve;
      // Called when all of it fitted into the client's window; never, if the channel is closed before.
      target.write(bytes, () => resolve());
    });
    if (this.#closed) return;
    // The library keeps what is written during a key exchange, however much it is and however long that takes.
    if (this.#line.bytesWritten - before < bytes.length) await this.#line.exchanged();
  }
}
