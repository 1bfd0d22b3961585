/**
 * What a stream's reader gets: bytes are received when somebody wants some, as many as there are, up to a limit in a turn of the loop. They go into
 * memory of the program's own (`onread`), or into pieces that become the program's.
 */
import { Errno } from '../../../osdep/errno.ts';
import { type Chunks, chunksOf } from './chunks.ts';
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
  /** What the driver said of it: said once. */
  #end: number | undefined;
  /** In the midst of it, or in a turn to come. */
  #pulling = false;
  #chunks: Chunks | undefined;
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
    // Also if a listener throws: nobody else would look again.
    let later = true;
    try {
      later = this.#receive();
    } finally {
      if (later)
        setImmediate(() => {
          this.#pulling = false;
          this.again();
        });
      else this.#pulling = false;
    }
  }

  /** true: there is more, for the next turn of the loop. */
  #receive(): boolean {
    let turn = 0;
    while (this.#wanted) {
      if (turn >= TURN_BYTES) return true;
      const handle = this.#reader.handle();
      if (handle === undefined) return false;
      const into = this.#memory(handle);
      const count = this.#end ?? handle.recv(into);
      if (count <= 0) {
        if (count === -Errno.EAGAIN) {
          this.#readable = false;
          return false;
        }
        // The end has a turn of its own, as a network's has: programs answer what they have before they hear of it.
        this.#end = count;
        if (turn > 0) return true;
        this.#readable = false;
        this.#wanted = false;
        this.#reader.ended(count);
        return false;
      }
      turn += count;
      this.received += count;
      if (!this.#hand(count, into)) this.#wanted = false;
    }
    return false;
  }

  #memory(handle: SocketHandle): Uint8Array {
    if (this.#onread === undefined) {
      this.#chunks ??= chunksOf(handle.allocator);
      return this.#chunks.room();
    }
    const { buffer } = this.#onread;
    return typeof buffer === 'function' ? buffer() : buffer;
  }

  #hand(count: number, into: Uint8Array): boolean {
    return this.#onread === undefined
      ? this.#reader.push(this.#chunks!.taken(count))
      : this.#onread.callback(count, into);
  }
}
