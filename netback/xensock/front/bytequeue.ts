/** Bytes that wait in order, at most so many; its memory grows with what waits, and is not more than twice that. Knows nothing of sockets. */

const FIRST_BYTES = 4096;

export class ByteQueue {
  readonly #most: number;
  #ring: Uint8Array = new Uint8Array(0);
  #from = 0;
  #used = 0;

  /** `most`: a power of two. */
  constructor(most: number) {
    this.#most = most;
  }

  get used(): number {
    return this.#used;
  }

  get room(): number {
    return this.#most - this.#used;
  }

  /** Copies as much as there is room for. Answers how much. */
  put(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.room);
    if (this.#used + count > this.#ring.length) this.#grow(this.#used + count);
    const ring = this.#ring;
    const at = (this.#from + this.#used) & (ring.length - 1);
    const first = Math.min(count, ring.length - at);
    if (first === bytes.length) ring.set(bytes, at);
    else {
      ring.set(bytes.subarray(0, first), at);
      if (count > first) ring.set(bytes.subarray(first, count), 0);
    }
    this.#used += count;
    return count;
  }

  /** Moves as much as there is, or fits. Answers how much. */
  take(into: Uint8Array): number {
    const count = Math.min(into.length, this.#used);
    const ring = this.#ring;
    const first = Math.min(count, ring.length - this.#from);
    into.set(ring.subarray(this.#from, this.#from + first));
    if (count > first) into.set(ring.subarray(0, count - first), first);
    this.#used -= count;
    this.#from = this.#used === 0 ? 0 : (this.#from + count) & (ring.length - 1);
    return count;
  }

  #grow(least: number): void {
    let size = Math.max(this.#ring.length, FIRST_BYTES);
    while (size < least) size *= 2;
    const ring = new Uint8Array(size);
    const used = this.#used;
    this.take(ring);
    this.#ring = ring;
    this.#from = 0;
    this.#used = used;
  }
}
