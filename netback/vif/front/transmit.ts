/**
 * What a guest sends: one tx ring and the pages for its frames, granted once, for reading. Each slot has a page of its own; the first slot of a frame tells the
 * length of all, extra info comes behind it, then the other slots. Nothing but frames ever gets into those pages. The backend is not trusted: each
 * answer is looked up. Knows no ports and nothing of what is in a frame. (xen/include/public/io/netif.h)
 */
import type { Gntshr, SharedPages } from '../../../osdep/gntshr.ts';
import { PAGE_SIZE } from '../../../osdep/mapping.ts';
import { Front } from '../../../osdep/ring/slotring.ts';
import {
  ETHERNET_HEADER_BYTES,
  Extra,
  ExtraType,
  MAX_PACKET_BYTES,
  putU16,
  putU32,
  Status,
  TX_SLOT_BYTES,
  TxFlag,
  TxRequest,
  TxResponse,
  u16,
} from '../core/netif.ts';
import { type FrameCounts, type FrameMeta, gsoNumber } from './meta.ts';

/** As many pages as the ring has slots. */
const PAGES = 256;

/** Whoever has pages for itself is told when the backend has answered one of them. */
export interface PageOwner {
  answered(page: number): void;
}

export interface TransmitOptions {
  readonly gntshr: Gntshr;
  readonly backendDomid: number;
  readonly counts: FrameCounts;
}

export class Transmit {
  readonly #ring: Front;
  readonly #ringPage: SharedPages;
  readonly #shared: SharedPages;
  readonly #pages: Uint8Array[];
  readonly #counts: FrameCounts;
  /** By page: its bytes are lent to the backend. */
  readonly #lent: Uint8Array = new Uint8Array(PAGES);
  readonly #owners: (PageOwner | undefined)[] = new Array(PAGES).fill(undefined);
  readonly #free: number[] = Array.from({ length: PAGES }, (_, page) => PAGES - 1 - page);
  /** By the page of the frame that carries it: who waits for what becomes of an order. */
  readonly #orders = new Map<number, (done: boolean) => void>();
  readonly #slot: Uint8Array = new Uint8Array(TX_SLOT_BYTES);
  /** Data slots that the backend has answered. */
  answered = 0;
  #lentCount = 0;
  /** Slots of extra info that are not answered. */
  #extras = 0;

  /** Throws OsError, and then has nothing. */
  constructor({ gntshr, backendDomid, counts }: TransmitOptions) {
    this.#counts = counts;
    this.#ringPage = gntshr.sharePages(backendDomid, 1, 'rw');
    try {
      this.#shared = gntshr.sharePages(backendDomid, PAGES, 'r');
    } catch (error) {
      this.#ringPage.unmap();
      throw error;
    }
    this.#ring = Front.init(this.#ringPage.bytes, TX_SLOT_BYTES);
    this.#pages = Array.from({ length: PAGES }, (_, page) => this.#shared.page(page));
  }

  get ringRef(): number {
    return this.#ringPage.refs[0]!;
  }

  /** All that was sent is answered. */
  get idle(): boolean {
    return this.#lentCount === 0 && this.#extras === 0;
  }

  /** Pages that nobody has taken. */
  get room(): number {
    return this.#free.length;
  }

  /**
   * Puts a frame in the ring, unseen before `publish`. False: there is no room now. Throws RangeError if it is no frame.
   * @param frame 14 to 65535 bytes
   */
  put(frame: Uint8Array, meta: FrameMeta): boolean {
    checkLength(frame.length);
    const pages = Math.ceil(frame.length / PAGE_SIZE);
    if (this.#free.length < pages || !this.#fits(pages, meta)) return false;
    const first = this.#free.length - pages;
    for (let i = 0; i < pages; i++) {
      const part = pages === 1 ? frame : frame.subarray(i * PAGE_SIZE, (i + 1) * PAGE_SIZE);
      this.#pages[this.#free[first + i]!]!.set(part);
    }
    this.#request(this.#free, first, frame.length, meta);
    this.#free.length = first;
    return true;
  }

  /** Takes pages out of use by `put`, for an owner who fills them once and sends them often. */
  reserve(count: number, owner: PageOwner): number[] {
    const pages = this.#free.splice(-count, count);
    for (const page of pages) this.#owners[page] = owner;
    return pages;
  }

  /** Gives such a page back; not while it is lent. */
  restore(page: number): void {
    this.#owners[page] = undefined;
    this.#free.push(page);
  }

  /** Writes into a page of one's own. */
  fill(page: number, bytes: Uint8Array): void {
    this.#pages[page]!.set(bytes);
  }

  /** As `put`, a frame that lies in its owner's pages, `pages[at]` and on. Allocates nothing. */
  putReserved(pages: readonly number[], at: number, length: number, meta: FrameMeta): boolean {
    if (!this.#fits(Math.ceil(length / PAGE_SIZE), meta)) return false;
    this.#request(pages, at, length, meta);
    return true;
  }

  /** Orders the backend to let packets for a group in, or no longer. Undefined: there is no room now. The answer: whether it has done so. */
  putOrder(
    type: typeof ExtraType.MCAST_ADD | typeof ExtraType.MCAST_DEL,
    group: Uint8Array,
  ): Promise<boolean> | undefined {
    if (this.#ring.free < 2 || this.#free.length === 0) return undefined;
    const page = this.#free.pop()!;
    this.#data(page, 0, TxFlag.EXTRA_INFO);
    const slot = this.#slot.fill(0);
    slot[Extra.TYPE] = type;
    slot.set(group.subarray(0, 6), Extra.MCAST_ADDRESS);
    this.#extra(slot);
    return new Promise((resolve) => this.#orders.set(page, resolve));
  }

  /** Shows what was put. True: the backend has to be told. */
  publish(): boolean {
    return this.#ring.publish();
  }

  /** Takes all answers, and asks to be told of the next one. A text: what the backend has done wrong; the ring is of no use any more. */
  reap(): string | undefined {
    for (;;) {
      const there = this.#ring.finalCheck();
      if (!there.ok) return 'the backend answers more frames than it was sent';
      if (there.slots === 0) return undefined;
      for (let i = 0; i < there.slots; i++) {
        const failure = this.#answer();
        if (failure !== undefined) return failure;
      }
    }
  }

  /** Ends the grants; orders that were not answered were not carried out. */
  release(): void {
    for (const done of this.#orders.values()) done(false);
    this.#orders.clear();
    this.#ringPage.unmap();
    this.#shared.unmap();
    this.#pages.length = 0;
  }

  #fits(pages: number, { gso }: FrameMeta): boolean {
    return this.#ring.free >= pages + (gso === undefined ? 0 : 1);
  }

  #request(pages: readonly number[], at: number, length: number, { csum, gso }: FrameMeta): void {
    let flags = csum === undefined ? 0 : TxFlag.DATA_VALIDATED;
    if (csum === 'blank') flags |= TxFlag.CSUM_BLANK;
    if (gso !== undefined) flags |= TxFlag.EXTRA_INFO;
    for (let i = 0, left = length; left > 0; i++, left -= PAGE_SIZE) {
      const size = i === 0 ? length : Math.min(left, PAGE_SIZE);
      this.#data(pages[at + i]!, size, flags | (left > PAGE_SIZE ? TxFlag.MORE_DATA : 0));
      if (i === 0 && gso !== undefined) {
        const slot = this.#slot.fill(0);
        slot[Extra.TYPE] = ExtraType.GSO;
        putU16(slot, Extra.GSO_SIZE, gso.size);
        slot[Extra.GSO_TYPE] = gsoNumber(gso.type);
        this.#extra(slot);
      }
      flags = 0;
    }
    this.#counts.txFrames++;
    this.#counts.txBytes += length;
  }

  #data(page: number, size: number, flags: number): void {
    const slot = this.#slot;
    putU32(slot, TxRequest.GREF, this.#shared.refs[page]!);
    putU16(slot, TxRequest.OFFSET, 0);
    putU16(slot, TxRequest.FLAGS, flags);
    putU16(slot, TxRequest.ID, page);
    putU16(slot, TxRequest.SIZE, size);
    this.#ring.request(slot);
    this.#lent[page] = 1;
    this.#lentCount++;
  }

  #extra(slot: Uint8Array): void {
    this.#ring.request(slot);
    this.#extras++;
  }

  #answer(): string | undefined {
    const slot = this.#slot;
    this.#ring.take(slot);
    const status = (u16(slot, TxResponse.STATUS) << 16) >> 16;
    // Whose extra info it answers, is not said.
    if (status === Status.NULL)
      return this.#extras-- > 0 ? undefined : 'the backend answers extra info that it was not sent';
    const page = u16(slot, TxResponse.ID);
    if (this.#lent[page] !== 1) return `the backend answers frame ${page}, which was not sent`;
    if (status !== Status.OKAY && status !== Status.ERROR && status !== Status.DROPPED)
      return `the backend answers a frame with status ${status}`;
    if (status !== Status.OKAY) this.#counts.txErrors++;
    this.#lent[page] = 0;
    this.#lentCount--;
    this.answered++;
    this.#orders.get(page)?.(status === Status.OKAY);
    this.#orders.delete(page);
    const owner = this.#owners[page];
    if (owner === undefined) this.#free.push(page);
    else owner.answered(page);
    return undefined;
  }
}

export function checkLength(length: number): void {
  if (length < ETHERNET_HEADER_BYTES || length > MAX_PACKET_BYTES)
    throw new RangeError(`a frame has ${ETHERNET_HEADER_BYTES} to ${MAX_PACKET_BYTES} bytes, not ${length}`);
}
