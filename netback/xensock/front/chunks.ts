/**
 * Memory that streams receive into and hand to the program: pieces of larger blocks of their driver's, so that a thousand small messages need one
 * allocation. What was handed out is the program's, and never written to again.
 */
import type { Allocator } from './driver.ts';

/** What Node's own sockets read at a time. */
const BLOCK_BYTES = 65_536;
/** With less than this left a block is not used further: reads would become small ones. */
const LEAST_BYTES = 16_384;
const NOTHING: Buffer = Buffer.alloc(0);

/** For drivers that have no wishes. */
export const plainMemory: Allocator = { alloc: (bytes) => Buffer.allocUnsafeSlow(bytes) };

/** Of one driver's. */
class Chunks {
  readonly #allocator: Allocator;
  #block: Buffer = NOTHING;

  constructor(allocator: Allocator) {
    this.#allocator = allocator;
  }

  /** Room for the next read; `taken` says how much of it was used, before anybody asks for room again. */
  room(): Buffer {
    if (this.#block.length < LEAST_BYTES) {
      const { buffer, byteOffset, byteLength } = this.#allocator.alloc(BLOCK_BYTES);
      this.#block = Buffer.from(buffer, byteOffset, byteLength);
    }
    return this.#block;
  }

  /** The bytes that were read into `room()`. */
  taken(bytes: number): Buffer {
    const piece = bytes === this.#block.length ? this.#block : this.#block.subarray(0, bytes);
    this.#block = this.#block.subarray(bytes);
    return piece;
  }
}

export type { Chunks };

const all = new WeakMap<Allocator, Chunks>();

/** Those of all streams with that allocator. */
export function chunksOf(allocator: Allocator): Chunks {
  let chunks = all.get(allocator);
  if (chunks === undefined) {
    chunks = new Chunks(allocator);
    all.set(allocator, chunks);
  }
  return chunks;
}
