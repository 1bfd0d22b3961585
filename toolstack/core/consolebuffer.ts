/**
 * What a console has said and nobody has read yet: as much of it as there is room for, its beginning and its end. What lies between is dropped, and a line
 * says how much that was. Knows neither ring nor terminal.
 */

const FIRST_BYTES = 4096;
const NOTHING = new Uint8Array(0);

/** First in, first out; grows as it is used, up to a limit. */
class Bytes {
  readonly #max: number;
  #bytes: Uint8Array = NOTHING;
  #start = 0;
  #size = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#size;
  }

  get room(): number {
    return this.#max - this.#size;
  }

  /** There is room for them. */
  push(bytes: Uint8Array): void {
    this.#grow(this.#size + bytes.length);
    const capacity = this.#bytes.length;
    const at = (this.#start + this.#size) % Math.max(capacity, 1);
    const first = Math.min(bytes.length, capacity - at);
    this.#bytes.set(bytes.subarray(0, first), at);
    this.#bytes.set(bytes.subarray(first), 0);
    this.#size += bytes.length;
  }

  /** Some of the first, without taking them. */
  first(): Uint8Array {
    return this.#bytes.subarray(this.#start, Math.min(this.#start + this.#size, this.#bytes.length));
  }

  take(count: number): void {
    this.#start = (this.#start + count) % Math.max(this.#bytes.length, 1);
    this.#size -= count;
    if (this.#size > 0) return;
    this.#start = 0;
    // Who was flooded once need not keep all of it.
    if (this.#bytes.length > FIRST_BYTES) this.#bytes = NOTHING;
  }

  #grow(wanted: number): void {
    const capacity = this.#bytes.length;
    if (wanted <= capacity) return;
    const larger = new Uint8Array(Math.min(this.#max, Math.max(FIRST_BYTES, 2 * capacity, wanted)));
    const first = this.first();
    larger.set(first, 0);
    larger.set(this.#bytes.subarray(0, this.#size - first.length), first.length);
    this.#bytes = larger;
    this.#start = 0;
  }
}

export class ConsoleBuffer {
  readonly #head: Bytes;
  readonly #tail: Bytes;
  /** That no line says yet. */
  #dropped = 0;
  /** Of the line that says what was dropped, what is still to be read. */
  #mark: Uint8Array = NOTHING;
  /** What that line says, while nothing of it has been read and it may still say something else. */
  #told = 0;

  /** Keeps at most `limit` bytes. */
  constructor(limit: number) {
    const half = Math.max(1, limit >>> 1);
    this.#head = new Bytes(half);
    this.#tail = new Bytes(half);
  }

  /** Whether there is nothing to read. */
  get empty(): boolean {
    return this.#head.size + this.#tail.size + this.#dropped + this.#mark.length === 0;
  }

  /** The bytes are copied. */
  append(bytes: Uint8Array): void {
    let rest = bytes;
    if (this.#tail.size === 0 && this.#dropped === 0) {
      const fit = Math.min(rest.length, this.#head.room);
      this.#head.push(rest.subarray(0, fit));
      rest = rest.subarray(fit);
    }
    const over = rest.length - this.#tail.room;
    if (over > 0) {
      this.#dropped += over;
      const old = Math.min(over, this.#tail.size);
      this.#tail.take(old);
      rest = rest.subarray(over - old);
    }
    this.#tail.push(rest);
  }

  /** The next bytes, some of them; valid until the next call of anything else. */
  first(): Uint8Array {
    if (this.#head.size > 0) return this.#head.first();
    if (this.#dropped > 0 && (this.#mark.length === 0 || this.#told > 0)) {
      this.#told += this.#dropped;
      this.#dropped = 0;
      this.#mark = new TextEncoder().encode(`\r\n[${this.#told} bytes were dropped here]\r\n`);
    }
    return this.#mark.length > 0 ? this.#mark : this.#tail.first();
  }

  /** So many of those that `first` answered have been read. */
  take(count: number): void {
    if (this.#head.size > 0) this.#head.take(count);
    else if (this.#mark.length === 0) this.#tail.take(count);
    else if (count > 0) {
      this.#mark = this.#mark.subarray(count);
      this.#told = 0;
    }
  }
}
