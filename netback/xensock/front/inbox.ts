/**
 * What a stream's reader gets: bytes are received when somebody wants some, as many as there are in a turn of the loop up to a limit. They go into memory of the
 * program's own (`onread`), or into pieces that become the program's.
 */
import { Errno } from '../../../osdep/errno.ts';
import { room, taken } from './chunks.ts';
import type { OnRead } from './connectoptions.ts';
import type { SocketHandle } from './handle.ts';

/** Of a stream that is read as fast as it comes, in one turn of the loop. */
const TURN_BYTES = 1 << 20;

export interface Reader {
  /** undefined: there is no connection, or not yet. */
  handle(): SocketHandle | undefined;
  /** false: that is enough. */
  push(chunk: Buffer): boolean;
  /** The last bytes have come; 0, or minus an error number. */
  ended(errno: number): void;
}

export class Inbox {
  /** There may be something. */
  #readable = true;
  #wanted = false;
  /** In the midst of it, or in a turn to come. */
  #pulling = false;
  /** Bytes so far. */
  received = 0;
  readonly #reader: Reader;
  readonly #onread: OnRead | undefined;

  constructor(reader: Reader, onread: OnRead | undefined) {
    this.#reader = reader;
    this.#onread = onread;
  }

  get ownMemory(): boolean {
    return this.#onread !== undefined;
  }

  want(): void {
    this.#wanted = true;
    if (this.#readable) this.#pull();
  }

  enough(): void {
    this.#wanted = false;
  }

  /** Something has come up. */
  ready(): void {
    this.#readable = true;
    this.again();
  }

  /** If somebody wants some. */
  again(): void {
    if (this.#wanted) this.#pull();
  }

  #pull(): void {
    if (this.#pulling) return;
    this.#pulling = true;
    let turn = 0;
    for (
      let handle = this.#reader.handle();
      this.#wanted && handle !== undefined;
      handle = this.#reader.handle()
    ) {
      const into = this.#memory();
      const count = turn < TURN_BYTES ? handle.recv(into) : -Errno.EAGAIN;
      // The end comes in a turn of its own, as a network's does: programs answer what they have before they hear of it.
      if (turn >= TURN_BYTES || (turn > 0 && isEnd(count))) {
        setImmediate(() => {
          this.#pulling = false;
          this.again();
        });
        return;
      }
      if (count <= 0) {
        this.#readable = false;
        if (isEnd(count)) {
          this.#wanted = false;
          this.#reader.ended(count);
        }
        break;
      }
      turn += count;
      this.received += count;
      if (!this.#hand(count, into)) this.#wanted = false;
    }
    this.#pulling = false;
  }

  #memory(): Uint8Array {
    if (this.#onread === undefined) return room();
    const { buffer } = this.#onread;
    return typeof buffer === 'function' ? buffer() : buffer;
  }

  #hand(count: number, into: Uint8Array): boolean {
    return this.#onread === undefined ? this.#reader.push(taken(count)) : this.#onread.callback(count, into);
  }
}

function isEnd(count: number): boolean {
  return count <= 0 && count !== -Errno.EAGAIN;
}
