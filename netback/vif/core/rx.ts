/**
 * One rx queue: packets on their way into a guest's pages. Packets wait here, bounded in number, bytes and share of the memory that is
 * left, until the guest has posted buffers; then `plan` copies, `copied` when they are done, `response` gives the answers in the order
 * of the requests, each in the slot of its own request. A guest that posts none loses what has waited too long (XSA-392), and is
 * taken for gone after a while. Knows no ring indices of the shared page.
 */
import type { CopyBatch } from './copies.ts';
import {
  EXTRA_MORE,
  Extra,
  ExtraType,
  Gso,
  HashAlgorithm,
  PAGE_BYTES,
  putU16,
  putU32,
  RX_SLOT_BYTES,
  RxFlag,
  RxRequest,
  RxResponse,
  Status,
  u16,
  u32,
} from './netif.ts';
import { NONE, PacketFlag, type PacketPool } from './packets.ts';
import type { Statistics } from './statistics.ts';

export interface RxLimits {
  /** Packets waiting in a queue; a power of two. */
  readonly packets: number;
  readonly bytes: number;
  /** How long the first one may wait for buffers. */
  readonly drainMs: number;
  /** How long until a guest that posts none is taken for gone. */
  readonly stallMs: number;
}

/** Linux's times; a megabyte is some ten milliseconds at 1 Gbit/s. */
export const rxLimits: RxLimits = { packets: 512, bytes: 1 << 20, drainMs: 10_000, stallMs: 60_000 };

/** Packets that wait, by their size. */
export interface Held {
  small: number;
  large: number;
}

/** Of the memory that is left for all others, what waits for one guest may be a fourth: so much is left however many take nothing. */
const SHARE = 4;

export interface RxOwner {
  readonly domid: number;
  readonly pool: PacketPool;
  readonly statistics: Statistics;
  /** What waits in all its queues. */
  readonly held: Held;
  /** The guest rings when it posts buffers: then silence means something. */
  readonly notifies: boolean;
  /** Segmentation told by a slot in front instead of extra info. */
  readonly gsoPrefix: (type: number) => boolean;
}

export class RxQueue {
  readonly #owner: RxOwner;
  readonly #limits: RxLimits;
  readonly #mask: number;
  /** Requests: posted and not used (`#posted` to `#tail`), used and not answered (`#answered` to `#posted`). */
  readonly #ids: Uint16Array;
  readonly #grefs: Uint32Array;
  readonly #responses: Uint8Array;
  #tail = 0;
  #posted = 0;
  #answered = 0;
  #answerable = 0;
  /** Packets that wait. */
  readonly #packets: Int32Array;
  readonly #since: Float64Array;
  readonly #hashTypes: Int8Array;
  readonly #hashValues: Uint32Array;
  readonly #packetMask: number;
  #head = 0;
  #end = 0;
  #bytes = 0;
  /** Slots for all that wait. */
  #needed = 0;
  /** Packets being copied: which, and by how many copies. */
  readonly #copying: Int32Array;
  readonly #copyCounts: Uint8Array;
  /** By copy of this turn: the slot that answers for it. */
  readonly #copySlots: Uint32Array;
  #copyingCount = 0;
  #copyCount = 0;
  #firstCopy = 0;
  /** Since when there has been a packet for which there are no buffers. */
  #starvedSince: number = NONE;
  /** It has posted nothing for so long that nothing is kept for it any more. */
  stalled = false;

  constructor(owner: RxOwner, size: number, limits: RxLimits) {
    this.#owner = owner;
    this.#limits = limits;
    this.#mask = size - 1;
    this.#ids = new Uint16Array(size);
    this.#grefs = new Uint32Array(size);
    this.#responses = new Uint8Array(size * RX_SLOT_BYTES);
    this.#packets = new Int32Array(limits.packets);
    this.#since = new Float64Array(limits.packets);
    this.#hashTypes = new Int8Array(limits.packets);
    this.#hashValues = new Uint32Array(limits.packets);
    this.#packetMask = limits.packets - 1;
    this.#copying = new Int32Array(size);
    this.#copyCounts = new Uint8Array(size);
    this.#copySlots = new Uint32Array(size);
  }

  /** Requests to take from the ring now. 0: leave them there, and ask for no event either. */
  get wants(): number {
    const needed = this.#starvedSince === NONE ? this.#needed : Math.max(1, this.#needed);
    const free = this.#mask + 1 - ((this.#tail - this.#answered) >>> 0);
    return Math.min(free, Math.max(0, needed - this.#unused));
  }

  /** Packets that wait. */
  get count(): number {
    return (this.#end - this.#head) >>> 0;
  }

  get #unused(): number {
    return (this.#tail - this.#posted) >>> 0;
  }

  /** Requests that the guest has posted, 8 bytes each; at most `wants`. */
  post(requests: Uint8Array, count: number): void {
    for (let i = 0; i < count; i++) {
      const slot = this.#tail & this.#mask;
      this.#ids[slot] = u16(requests, i * RX_SLOT_BYTES + RxRequest.ID);
      this.#grefs[slot] = u32(requests, i * RX_SLOT_BYTES + RxRequest.GREF);
      this.#tail = (this.#tail + 1) >>> 0;
    }
    if (this.#head === this.#end) this.#fed();
  }

  /** With nothing waiting, a single buffer shows that the guest is there. */
  #fed(): void {
    if (this.#unused === 0) return;
    this.stalled = false;
    this.#starvedSince = NONE;
  }

  /**
   * A packet for the guest, which gets a reference of its own. False: there is no room.
   * @param hashType one of HashType; NONE: it has no hash
   */
  enqueue(packet: number, hashType: number, hashValue: number, now: number): boolean {
    const { pool, held } = this.#owner;
    const length = pool.lengths[packet]!;
    const same = pool.isLarge(packet) ? held.large : held.small;
    if (
      this.stalled ||
      this.count === this.#limits.packets ||
      this.#bytes + length > this.#limits.bytes ||
      same * SHARE >= pool.freeLike(packet)
    )
      return false;
    pool.hold(packet);
    const at = this.#end & this.#packetMask;
    this.#packets[at] = packet;
    this.#since[at] = now;
    this.#hashTypes[at] = hashType;
    this.#hashValues[at] = hashValue;
    this.#end = (this.#end + 1) >>> 0;
    this.#account(packet, at, 1);
    return true;
  }

  #account(packet: number, at: number, sign: 1 | -1): void {
    const { pool, held } = this.#owner;
    this.#bytes += sign * pool.lengths[packet]!;
    this.#needed += sign * this.#slotsOf(packet, at);
    if (pool.isLarge(packet)) held.large += sign;
    else held.small += sign;
  }

  /** Requests that a packet takes: its pages, and one for each piece of extra info. */
  #slotsOf(packet: number, at: number): number {
    const { pool } = this.#owner;
    const gso = pool.gsoTypes[packet] === Gso.NONE ? 0 : 1;
    return Math.ceil(pool.lengths[packet]! / PAGE_BYTES) + gso + (this.#hashTypes[at] === NONE ? 0 : 1);
  }

  /** Plans the copies of what there are buffers for. Must be followed by `copied` before the next plan. False: there is no room for all. */
  plan(copies: CopyBatch, now: number): boolean {
    this.#firstCopy = copies.count;
    this.#copyCount = 0;
    this.#copyingCount = 0;
    while (this.#head !== this.#end) {
      const at = this.#head & this.#packetMask;
      const packet = this.#packets[at]!;
      const slots = this.#slotsOf(packet, at);
      if (slots > this.#unused) {
        if (this.#starvedSince === NONE) this.#starvedSince = now;
        return true;
      }
      if (slots > copies.room) return false;
      this.#starvedSince = NONE;
      this.#shift();
      this.#scatter(copies, packet, at);
    }
    return true;
  }

  #shift(): void {
    const at = this.#head & this.#packetMask;
    this.#account(this.#packets[at]!, at, -1);
    this.#head = (this.#head + 1) >>> 0;
  }

  #scatter(copies: CopyBatch, packet: number, at: number): void {
    const { pool, domid } = this.#owner;
    const gso = pool.gsoTypes[packet]!;
    const prefix = gso !== Gso.NONE && this.#owner.gsoPrefix(gso);
    if (prefix) this.#respond(pool.gsoSizes[packet]!, RxFlag.GSO_PREFIX | RxFlag.MORE_DATA, 0);
    const gsoExtra = gso !== Gso.NONE && !prefix;
    const hash = this.#hashTypes[at] !== NONE;
    const blank =
      (pool.flags[packet]! & PacketFlag.CSUM_BLANK) !== 0 ? RxFlag.CSUM_BLANK | RxFlag.DATA_VALIDATED : 0;
    const valid = (pool.flags[packet]! & PacketFlag.VALIDATED) !== 0 ? RxFlag.DATA_VALIDATED : 0;
    let flags = blank | valid | (gsoExtra || hash ? RxFlag.EXTRA_INFO : 0);
    let position = pool.position(packet);
    let copied = 0;
    for (let left = pool.lengths[packet]!; left > 0; copied++) {
      const length = Math.min(left, PAGE_BYTES);
      left -= length;
      const slot = this.#posted;
      copies.intoGuest(domid, this.#grefs[slot & this.#mask]!, 0, position, length);
      this.#copySlots[this.#copyCount++] = slot;
      position += length;
      this.#respond(0, flags | (left > 0 ? RxFlag.MORE_DATA : 0), length);
      if (copied === 0) {
        if (gsoExtra) this.#gsoExtra(packet, hash ? EXTRA_MORE : 0);
        if (hash) this.#hashExtra(at);
      }
      flags = 0;
    }
    this.#copying[this.#copyingCount] = packet;
    this.#copyCounts[this.#copyingCount++] = copied;
  }

  /** Where the answer to the next request is to stand; from now on it is used. */
  #next(): number {
    const slot = this.#posted & this.#mask;
    this.#posted = (this.#posted + 1) >>> 0;
    return slot * RX_SLOT_BYTES;
  }

  #respond(offset: number, flags: number, status: number): void {
    const id = this.#ids[this.#posted & this.#mask]!;
    const start = this.#next();
    putU16(this.#responses, start + RxResponse.ID, id);
    putU16(this.#responses, start + RxResponse.OFFSET, offset);
    putU16(this.#responses, start + RxResponse.FLAGS, flags);
    putU16(this.#responses, start + RxResponse.STATUS, status);
  }

  #gsoExtra(packet: number, more: number): void {
    const { pool } = this.#owner;
    const start = this.#extra(ExtraType.GSO, more);
    putU16(this.#responses, start + Extra.GSO_SIZE, pool.gsoSizes[packet]!);
    this.#responses[start + Extra.GSO_TYPE] = pool.gsoTypes[packet]!;
  }

  #hashExtra(at: number): void {
    const start = this.#extra(ExtraType.HASH, 0);
    this.#responses[start + Extra.HASH_TYPE] = this.#hashTypes[at]!;
    this.#responses[start + Extra.HASH_ALGORITHM] = HashAlgorithm.TOEPLITZ;
    putU32(this.#responses, start + Extra.HASH_VALUE, this.#hashValues[at]!);
  }

  /** Zeroed: nothing of what was there before may get out (XSA-216's kind). */
  #extra(type: number, more: number): number {
    const start = this.#next();
    this.#responses.fill(0, start, start + RX_SLOT_BYTES);
    this.#responses[start + Extra.TYPE] = type;
    this.#responses[start + Extra.FLAGS] = more;
    return start;
  }

  /**
   * The copies planned are done, with these outcomes. A page that could not be written makes an error of its slot, which makes the
   * frontend drop the packet; the chain of slots stays as it is, so that it finds the next one.
   */
  copied(copies: CopyBatch): void {
    const { pool, statistics } = this.#owner;
    let copy = 0;
    for (let i = 0; i < this.#copyingCount; i++) {
      const packet = this.#copying[i]!;
      let failed = false;
      for (let end = copy + this.#copyCounts[i]!; copy < end; copy++) {
        if (copies.statuses[this.#firstCopy + copy] === 0) continue;
        failed = true;
        const slot = this.#copySlots[copy]! & this.#mask;
        putU16(this.#responses, slot * RX_SLOT_BYTES + RxResponse.STATUS, Status.ERROR);
      }
      if (failed) statistics.rxErrors++;
      else {
        statistics.rxPackets++;
        statistics.rxBytes += pool.lengths[packet]!;
      }
      pool.release(packet);
    }
    this.#copyingCount = 0;
    this.#copyCount = 0;
    this.#answerable = this.#posted;
  }

  /** The next response, 8 bytes. False: there is none, `into` is as it was. */
  response(into: Uint8Array): boolean {
    if (this.#answered === this.#answerable) return false;
    const start = (this.#answered & this.#mask) * RX_SLOT_BYTES;
    for (let i = 0; i < RX_SLOT_BYTES; i++) into[i] = this.#responses[start + i]!;
    this.#answered = (this.#answered + 1) >>> 0;
    return true;
  }

  /** Drops what has waited too long. To be called now and then, some times within `drainMs`; not between `plan` and `copied`. */
  tick(now: number): void {
    const { drainMs, stallMs } = this.#limits;
    if (this.#starvedSince === NONE) return;
    while (this.#head !== this.#end && now - this.#since[this.#head & this.#packetMask]! >= drainMs) {
      this.#drop();
      this.#owner.statistics.rxExpired++;
    }
    if (!this.#owner.notifies || this.#unused > 0 || now - this.#starvedSince < stallMs) return;
    this.stalled = true;
    this.clear();
  }

  /** The end of it: what waits and what was being copied. */
  close(): void {
    this.clear();
    for (let i = 0; i < this.#copyingCount; i++) this.#owner.pool.release(this.#copying[i]!);
    this.#copyingCount = 0;
  }

  /** Drops everything that waits. */
  clear(): void {
    while (this.#head !== this.#end) this.#drop();
  }

  #drop(): void {
    const packet = this.#packets[this.#head & this.#packetMask]!;
    this.#shift();
    this.#owner.pool.release(packet);
  }
}
