/**
 * A page shared with a peer, seen as 32-bit words in the order in which they are read and written, and as bytes in
 * between. A word is loaded once and then belongs to us; whether its value makes sense is for the caller to check.
 * Words are sequentially consistent, so an index that was loaded makes the bytes before it visible, and bytes that
 * were written are visible before the index after them. Little-endian machines only, as all that Xen runs on here.
 */
export class Page {
  readonly bytes: Uint8Array;
  readonly #words: Int32Array;

  /** `bytes` starts at a multiple of 4 in its buffer. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
  }

  /** Unsigned. `offset` in bytes, a multiple of 4. */
  load(offset: number): number {
    return Atomics.load(this.#words, offset >> 2) >>> 0;
  }

  store(offset: number, value: number): void {
    Atomics.store(this.#words, offset >> 2, value | 0);
  }

  /** A 16-bit field within a word, others of the word left alone. */
  load16(offset: number): number {
    return (this.load(offset & ~3) >>> ((offset & 2) * 8)) & 0xffff;
  }
}
