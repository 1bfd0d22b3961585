/**
 * The Toeplitz hash, as netif.h describes it: the key is a row of bits, and each bit of the input that is set adds (xor) the 32 bits
 * of the key that start at its place. With a table by place and byte, made when the key changes, a byte costs one step.
 */

/** The longest input: two IPv6 addresses and two ports. */
const INPUT_MAX_BYTES = 36;
export const KEY_MAX_BYTES = 40;

export class Toeplitz {
  /** With zeros where it was shorter. */
  readonly key: Uint8Array = new Uint8Array(KEY_MAX_BYTES);
  readonly #table: Uint32Array = new Uint32Array(INPUT_MAX_BYTES * 256);
  #empty = true;

  /** Bytes that are missing are zero. */
  setKey(bytes: Uint8Array): void {
    const key = new Uint8Array(KEY_MAX_BYTES + 4);
    key.set(bytes.subarray(0, KEY_MAX_BYTES));
    this.key.set(key.subarray(0, KEY_MAX_BYTES));
    this.#empty = key.every((byte) => byte === 0);
    for (let place = 0; place < INPUT_MAX_BYTES; place++)
      for (let byte = 1; byte < 256; byte++) {
        const lowest = 31 - Math.clz32(byte & -byte);
        const rest = this.#table[place * 256 + (byte & (byte - 1))]!;
        this.#table[place * 256 + byte] = rest ^ window(key, place * 8 + 7 - lowest);
      }
  }

  /** Goes on with a hash: `length` bytes from `at`, which are the input's bytes from `place` on. Starts with 0. */
  add(hash: number, place: number, bytes: Uint8Array, at: number, length: number): number {
    if (this.#empty) return 0;
    let sum = hash;
    for (let i = 0; i < length; i++) sum ^= this.#table[(place + i) * 256 + bytes[at + i]!]!;
    return sum >>> 0;
  }
}

/** 32 bits of the key from a bit on. */
function window(key: Uint8Array, bit: number): number {
  const at = bit >> 3;
  const shift = bit & 7;
  const word = (key[at]! << 24) | (key[at + 1]! << 16) | (key[at + 2]! << 8) | key[at + 3]!;
  return shift === 0 ? word : (word << shift) | (key[at + 4]! >> (8 - shift));
}
