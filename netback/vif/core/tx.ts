/**
 * One tx queue: packets of a guest from the ring into the backend's memory, in turns. `take` what was published; `plan` copies, as many as
 * memory, credit and the caller allow; after they are done, `copied` hands the packets on; `response` gives the answers, in the
 * order of the ring. So everything after `rsp_prod` has had no effect that a restart would have to remember, but for packets
 * that may be sent twice. Knows no ring indices of the shared page and no other guests.
 */
import type { CopyBatch } from './copies.ts';
import type { Credit } from './credit.ts';
import { Gso, putU16, Status, TxFlag, TxResponse } from './netif.ts';
import { NONE, PacketFlag, type PacketPool } from './packets.ts';
import type { Statistics } from './statistics.ts';
import { TxRing, Verdict } from './txring.ts';

/** What a queue needs from the interface that it belongs to. */
export interface TxOwner {
  readonly domid: number;
  readonly pool: PacketPool;
  readonly statistics: Statistics;
  /** Segmentation that was offered to the guest. */
  readonly offersGso: (type: number) => boolean;
  readonly credit: Credit | undefined;
  /** Adds or deletes an address, six bytes from `at`. False: the filter is full. */
  readonly filter: (order: number, bytes: Uint8Array, at: number) => boolean;
}

/** Where packets go that a guest has sent; the receiver has the one reference. */
export interface PacketSink {
  accept(packet: number): void;
}

/** Why `plan` stopped. */
export type TxPause = 'idle' | 'turn' | 'credit' | 'memory' | 'copies';

export class TxQueue {
  readonly #owner: TxOwner;
  readonly #ring: TxRing;
  readonly #mask: number;
  /** By packet: its memory; NONE: it has none. */
  readonly #memory: Int32Array;
  /** By packet: its status, once it has one. */
  readonly #statuses: Int8Array;
  /** Packets planned, copied and answered so far, free-running; each follows the one before. */
  #planned = 0;
  #copied = 0;
  #answered = 0;
  /** The slots where planning and answering have come to. */
  #planSlot = 0;
  #answerSlot = 0;
  #answerEnd = 0;
  #firstCopy = 0;

  constructor(owner: TxOwner, size: number) {
    this.#owner = owner;
    this.#ring = new TxRing(size);
    this.#mask = size - 1;
    this.#memory = new Int32Array(size);
    this.#statuses = new Int8Array(size);
  }

  /** Slots that were published, 12 bytes each. A text: why the device has to be closed; no packet of this queue goes on after that. */
  take(slots: Uint8Array, count: number): string | undefined {
    return this.#ring.take(slots, count);
  }

  /** Packets taken and not planned yet. */
  get waiting(): number {
    return (this.#ring.packetTail - this.#planned) >>> 0;
  }

  /**
   * Plans the copies of at most `limit` packets. Must be followed by `copied` before the next plan.
   * @param now milliseconds
   */
  plan(copies: CopyBatch, limit: number, now: number): TxPause {
    this.#firstCopy = copies.count;
    for (let turn = 0; this.#planned !== this.#ring.packetTail; turn++) {
      if (turn === limit) return 'turn';
      const pause = this.#planOne(copies, now);
      if (pause !== undefined) return pause;
    }
    return 'idle';
  }

  #planOne(copies: CopyBatch, now: number): TxPause | undefined {
    const ring = this.#ring;
    const { pool, credit, statistics } = this.#owner;
    const at = this.#planned & this.#mask;
    this.#memory[at] = NONE;
    this.#statuses[at] = Status.OKAY;
    const verdict = ring.verdicts[at]!;
    if (verdict === Verdict.FILTER) {
      if (!this.#owner.filter(ring.filterOrders[at]!, ring.filterAddresses, at * 6))
        this.#statuses[at] = Status.ERROR;
    } else if (verdict === Verdict.BAD || !this.#offered(ring.gsoTypes[at]!)) {
      this.#statuses[at] = Status.ERROR;
      statistics.txErrors++;
    } else {
      if (copies.room < ring.slots[at]!) return 'copies';
      const length = ring.lengths[at]!;
      const packet = pool.take(length);
      if (packet === NONE) return 'memory';
      if (credit !== undefined && !credit.spend(length, now)) {
        pool.release(packet);
        return 'credit';
      }
      this.#gather(copies, at, packet);
    }
    this.#planSlot = (this.#planSlot + ring.slots[at]!) >>> 0;
    this.#planned = (this.#planned + 1) >>> 0;
    return undefined;
  }

  #offered(gso: number): boolean {
    return gso === Gso.NONE || this.#owner.offersGso(gso);
  }

  /** However a packet was scattered, it lies in one piece afterwards, its headers too (XSA-423). */
  #gather(copies: CopyBatch, at: number, packet: number): void {
    const ring = this.#ring;
    const { pool, domid } = this.#owner;
    let position = pool.position(packet);
    for (let i = 0; i < ring.slots[at]!; i++) {
      const slot = (this.#planSlot + i) & this.#mask;
      if (ring.isExtra[slot] === 1) continue;
      copies.fromGuest(domid, ring.grefs[slot]!, ring.offsets[slot]!, position, ring.sizes[slot]!);
      position += ring.sizes[slot]!;
    }
    this.#memory[at] = packet;
    const flags = ring.flags[at]!;
    const blank = (flags & TxFlag.CSUM_BLANK) !== 0 ? PacketFlag.CSUM_BLANK | PacketFlag.VALIDATED : 0;
    pool.flags[packet] = blank | ((flags & TxFlag.DATA_VALIDATED) !== 0 ? PacketFlag.VALIDATED : 0);
    pool.gsoTypes[packet] = ring.gsoTypes[at]!;
    pool.gsoSizes[packet] = ring.gsoSizes[at]!;
  }

  /** The copies planned are done, with these outcomes. What came over well goes on. */
  copied(copies: CopyBatch, sink: PacketSink): void {
    const { pool, statistics } = this.#owner;
    for (
      let copy = this.#firstCopy;
      this.#copied !== this.#planned;
      this.#copied = (this.#copied + 1) >>> 0
    ) {
      const at = this.#copied & this.#mask;
      const packet = this.#memory[at]!;
      if (packet === NONE) continue;
      let failed = false;
      // As many copies as it took to get to the packet's length.
      for (let left = this.#ring.lengths[at]!; left > 0; left -= copies.lengths[copy++]!)
        failed ||= copies.statuses[copy] !== 0;
      if (failed) {
        this.#statuses[at] = Status.ERROR;
        statistics.txErrors++;
        pool.release(packet);
      } else {
        statistics.txPackets++;
        statistics.txBytes += pool.lengths[packet]!;
        sink.accept(packet);
      }
    }
  }

  /** The end of it: what was being copied goes nowhere. */
  close(): void {
    for (; this.#copied !== this.#planned; this.#copied = (this.#copied + 1) >>> 0) {
      const packet = this.#memory[this.#copied & this.#mask]!;
      if (packet !== NONE) this.#owner.pool.release(packet);
    }
  }

  /** The next response, 4 bytes. False: there is none, `into` is as it was. */
  response(into: Uint8Array): boolean {
    if (this.#answerSlot === this.#answerEnd) {
      if (this.#answered === this.#copied) return false;
      this.#answerEnd = (this.#answerSlot + this.#ring.slots[this.#answered & this.#mask]!) >>> 0;
    }
    const slot = this.#answerSlot & this.#mask;
    const extra = this.#ring.isExtra[slot] === 1;
    putU16(into, TxResponse.ID, extra ? 0 : this.#ring.ids[slot]!);
    putU16(into, TxResponse.STATUS, extra ? Status.NULL : this.#statuses[this.#answered & this.#mask]!);
    this.#answerSlot = (this.#answerSlot + 1) >>> 0;
    if (this.#answerSlot === this.#answerEnd) this.#answered = (this.#answered + 1) >>> 0;
    return true;
  }
}
