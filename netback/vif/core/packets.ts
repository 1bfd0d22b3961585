/**
 * Packets on their way, by number: which part of the backend's own memory each one has, how long it is, who still needs it.
 * A packet lies in one piece, behind a few free bytes for whatever its way out wants in front. Two sizes: what an Ethernet of
 * 1500 bytes carries, and whatever else. Has no memory itself, and does not know what is in a packet.
 */
import { MAX_PACKET_BYTES } from './netif.ts';

export const NONE = -1;
/** Free bytes in front of each packet. */
const HEADROOM_BYTES = 64;
/** How much of a packet a core looks at: its headers. */
export const HEADER_BYTES = 128;

const SMALL_BYTES = 2048;
/** The next multiple of a page that a packet of 65535 bytes and its headroom fit in. */
const LARGE_BYTES = 69632;
/** The longest packet in a small buffer. */
const SMALL_MAX_BYTES = SMALL_BYTES - HEADROOM_BYTES;

/** `CSUM_BLANK`: the TCP or UDP checksum covers the pseudo-header only. `VALIDATED`: the data is known to be right. */
export const PacketFlag = { CSUM_BLANK: 1, VALIDATED: 2 } as const;

export interface PoolSize {
  /** Buffers of 2 KiB. */
  readonly small: number;
  /** Buffers of 68 KiB. */
  readonly large: number;
}

export class PacketPool {
  /** How much memory the packets need. */
  readonly memoryBytes: number;
  readonly lengths: Uint32Array;
  readonly flags: Uint8Array;
  readonly gsoTypes: Uint8Array;
  readonly gsoSizes: Uint16Array;
  readonly #small: number;
  readonly #refs: Uint16Array;
  readonly #freeSmall: Free;
  readonly #freeLarge: Free;

  constructor({ small, large }: PoolSize) {
    const count = small + large;
    this.memoryBytes = small * SMALL_BYTES + large * LARGE_BYTES;
    this.lengths = new Uint32Array(count);
    this.flags = new Uint8Array(count);
    this.gsoTypes = new Uint8Array(count);
    this.gsoSizes = new Uint16Array(count);
    this.#small = small;
    this.#refs = new Uint16Array(count);
    this.#freeSmall = new Free(0, small);
    this.#freeLarge = new Free(small, large);
  }

  /** A packet of so many bytes, with one reference, no flags and no segmentation; NONE: there is no memory. */
  take(length: number): number {
    if (length > MAX_PACKET_BYTES) return NONE;
    const packet = (length <= SMALL_MAX_BYTES ? this.#freeSmall : this.#freeLarge).take();
    if (packet === NONE) return NONE;
    this.#refs[packet] = 1;
    this.lengths[packet] = length;
    this.flags[packet] = 0;
    this.gsoTypes[packet] = 0;
    this.gsoSizes[packet] = 0;
    return packet;
  }

  /** Somebody else needs it, too. */
  hold(packet: number): void {
    this.#refs[packet]!++;
  }

  /** One needs it no longer; the last one gives its memory back. */
  release(packet: number): void {
    if (this.#refs[packet] === 0) throw new RangeError('packet released twice');
    if (--this.#refs[packet]! === 0) this.#freeOf(packet).give(packet);
  }

  /** Nobody needs it but one. */
  isSole(packet: number): boolean {
    return this.#refs[packet] === 1;
  }

  /** Where its first byte is in the packets' memory. */
  position(packet: number): number {
    const base =
      packet < this.#small
        ? packet * SMALL_BYTES
        : this.#small * SMALL_BYTES + (packet - this.#small) * LARGE_BYTES;
    return base + HEADROOM_BYTES;
  }

  /** Bytes that fit into it, whatever its length. */
  capacity(packet: number): number {
    return this.isLarge(packet) ? MAX_PACKET_BYTES : SMALL_MAX_BYTES;
  }

  isLarge(packet: number): boolean {
    return packet >= this.#small;
  }

  /** Packets of its size for which there is memory. */
  freeLike(packet: number): number {
    return this.#freeOf(packet).count;
  }

  /** All that there is memory for. */
  get free(): number {
    return this.#freeSmall.count + this.#freeLarge.count;
  }

  #freeOf(packet: number): Free {
    return packet < this.#small ? this.#freeSmall : this.#freeLarge;
  }
}

/** Numbers nobody has; the one that came back last goes out first: its memory is still in the processor's cache. */
class Free {
  readonly #stack: Int32Array;
  count: number;

  constructor(first: number, count: number) {
    this.#stack = Int32Array.from({ length: count }, (_, index) => first + count - 1 - index);
    this.count = count;
  }

  take(): number {
    return this.count === 0 ? NONE : this.#stack[--this.count]!;
  }

  give(packet: number): void {
    this.#stack[this.count++] = packet;
  }
}
