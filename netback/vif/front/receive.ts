/**
 * What a guest receives: one rx ring and the pages for it, granted once, all of them posted but for the packet at hand. Slot, page and id are the same
 * number. A packet is one or more slots, with extra info behind the first. The backend is not trusted: what cannot be ends the ring, and a page is read
 * once, after its slot was checked. Knows no ports and nothing of what is in a packet. (xen/include/public/io/netif.h)
 */
import type { Gntshr, SharedPages } from '../../../osdep/gntshr.ts';
import { PAGE_SIZE } from '../../../osdep/mapping.ts';
import { Front } from '../../../osdep/ring/slotring.ts';
import {
  ETHERNET_HEADER_BYTES,
  EXTRA_MORE,
  Extra,
  ExtraType,
  Gso,
  MAX_PACKET_BYTES,
  NR_SLOTS_MIN,
  putU16,
  putU32,
  RX_SLOT_BYTES,
  RxFlag,
  RxRequest,
  RxResponse,
  u16,
  u32,
} from '../core/netif.ts';
import { type FrameCounts, type FrameMeta, NO_META } from './meta.ts';

const PAGES = 256;
const VALIDATED: FrameMeta = { csum: 'validated' };
const BLANK: FrameMeta = { csum: 'blank' };

export interface ReceiveOptions {
  readonly gntshr: Gntshr;
  readonly backendDomid: number;
  readonly counts: FrameCounts;
  /** What the backend was told that it may send, by the numbers of core's Gso. */
  readonly takesGso: (type: number) => boolean;
  readonly takesHash: () => boolean;
  /** A packet has come: `length`, `meta` and `bytes` are its, until this returns. */
  readonly onPacket: (packet: Receive) => void;
}

export class Receive {
  /** Of the packet that has come, in bytes. */
  length = 0;
  readonly #options: ReceiveOptions;
  readonly #ring: Front;
  readonly #ringPage: SharedPages;
  readonly #shared: SharedPages;
  readonly #pages: Uint8Array[];
  readonly #slot: Uint8Array = new Uint8Array(RX_SLOT_BYTES);
  /** Parts of the packet that is coming: where each lies. */
  readonly #partPages: Uint16Array = new Uint16Array(NR_SLOTS_MIN);
  readonly #partOffsets: Uint16Array = new Uint16Array(NR_SLOTS_MIN);
  readonly #partLengths: Uint16Array = new Uint16Array(NR_SLOTS_MIN);
  #parts = 0;
  /** Slots of it, extra info included, whose pages are not posted again yet. */
  #held = 0;
  #spoilt = false;
  #flags = 0;
  #expects: 'first' | 'extra' | 'data' = 'first';
  #more = false;
  #gsoType = 0;
  #gsoSize = 0;
  #hashType = -1;
  #hashValue = 0;

  /** Throws OsError, and then has nothing. */
  constructor(options: ReceiveOptions) {
    const { gntshr, backendDomid } = options;
    this.#options = options;
    this.#ringPage = gntshr.sharePages(backendDomid, 1, 'rw');
    try {
      this.#shared = gntshr.sharePages(backendDomid, PAGES, 'rw');
    } catch (error) {
      this.#ringPage.unmap();
      throw error;
    }
    this.#ring = Front.init(this.#ringPage.bytes, RX_SLOT_BYTES);
    this.#pages = Array.from({ length: PAGES }, (_, page) => this.#shared.page(page));
    for (let page = 0; page < PAGES; page++) this.#post(page);
    this.#ring.publish();
  }

  get ringRef(): number {
    return this.#ringPage.refs[0]!;
  }

  /** A copy of the packet that has come. */
  bytes(): Uint8Array {
    const all = new Uint8Array(this.length);
    for (let i = 0, at = 0; i < this.#parts; at += this.#partLengths[i++]!) {
      const offset = this.#partOffsets[i]!;
      all.set(this.#pages[this.#partPages[i]!]!.subarray(offset, offset + this.#partLengths[i]!), at);
    }
    return all;
  }

  get meta(): FrameMeta {
    if (this.#gsoType === Gso.NONE && this.#hashType < 0)
      return (this.#flags & RxFlag.CSUM_BLANK) !== 0
        ? BLANK
        : (this.#flags & RxFlag.DATA_VALIDATED) !== 0
          ? VALIDATED
          : NO_META;
    const blank = (this.#flags & RxFlag.CSUM_BLANK) !== 0;
    const valid = (this.#flags & RxFlag.DATA_VALIDATED) !== 0;
    const type = this.#gsoType === Gso.TCPV4 ? 'tcpv4' : 'tcpv6';
    return {
      ...(blank ? BLANK : valid ? VALIDATED : NO_META),
      ...(this.#gsoType === Gso.NONE ? {} : { gso: { type, size: this.#gsoSize } }),
      ...(this.#hashType < 0 ? {} : { hash: { type: this.#hashType, value: this.#hashValue } }),
    };
  }

  /**
   * Takes packets, about `limit` slots of them. `done`: there are no more, and the backend tells of the next one. Another text: what it has done wrong; the
   * ring is of no use any more.
   */
  take(limit: number): 'done' | 'more' | { readonly broken: string } {
    for (let taken = 0; taken < limit; ) {
      const there = this.#ring.finalCheck();
      if (!there.ok) return { broken: 'the backend fills more buffers than it was given' };
      if (there.slots === 0) return 'done';
      for (let i = 0; i < there.slots; i++) {
        const broken = this.#one();
        if (broken !== undefined) return { broken };
      }
      taken += there.slots;
    }
    return 'more';
  }

  /** Shows the buffers that were posted again. True: the backend has to be told. */
  publish(): boolean {
    return this.#ring.publish();
  }

  release(): void {
    this.#ringPage.unmap();
    this.#shared.unmap();
    this.#pages.length = 0;
  }

  #one(): string | undefined {
    const page = this.#ring.rspCons % PAGES;
    this.#ring.take(this.#slot);
    this.#held++;
    const failure = this.#expects === 'extra' ? this.#extra() : this.#data(page);
    if (failure !== undefined) return failure;
    if (this.#expects === 'first') this.#end();
    else if (this.#held === PAGES) return 'the backend sends a packet that has no end';
    return undefined;
  }

  #data(page: number): string | undefined {
    const slot = this.#slot;
    const id = u16(slot, RxResponse.ID);
    const offset = u16(slot, RxResponse.OFFSET);
    const flags = u16(slot, RxResponse.FLAGS);
    const status = (u16(slot, RxResponse.STATUS) << 16) >> 16;
    if (id !== page) return `the backend fills buffer ${id}, where ${page} was posted`;
    if (offset + status > PAGE_SIZE)
      return `the backend fills bytes ${offset} to ${offset + status} of a page of ${PAGE_SIZE}`;
    if (status < 0) this.#spoilt = true;
    else if (this.#parts === NR_SLOTS_MIN) this.#spoilt = true;
    else {
      this.#partPages[this.#parts] = page;
      this.#partOffsets[this.#parts] = offset;
      this.#partLengths[this.#parts++] = status;
      this.length += status;
    }
    const isFirst = this.#expects === 'first';
    if (isFirst) this.#flags = flags;
    this.#more = (flags & RxFlag.MORE_DATA) !== 0;
    if (isFirst && (flags & RxFlag.EXTRA_INFO) !== 0) this.#expects = 'extra';
    else this.#expects = this.#more ? 'data' : 'first';
    return undefined;
  }

  #extra(): string | undefined {
    const slot = this.#slot;
    const type = slot[Extra.TYPE]!;
    if (type === ExtraType.GSO) {
      this.#gsoType = slot[Extra.GSO_TYPE]!;
      this.#gsoSize = u16(slot, Extra.GSO_SIZE);
      if (!this.#options.takesGso(this.#gsoType))
        return `the backend sends segmentation of type ${this.#gsoType}, which was not asked for`;
      if (this.#gsoSize === 0) return 'the backend sends segments of 0 bytes';
    } else if (type === ExtraType.HASH && this.#options.takesHash()) {
      this.#hashType = slot[Extra.HASH_TYPE]!;
      this.#hashValue = u32(slot, Extra.HASH_VALUE);
    } else return `the backend sends extra info of type ${type}, which was not asked for`;
    if ((slot[Extra.FLAGS]! & EXTRA_MORE) === 0) this.#expects = this.#more ? 'data' : 'first';
    return undefined;
  }

  #end(): void {
    const { counts, onPacket } = this.#options;
    if (this.#spoilt || this.length < ETHERNET_HEADER_BYTES || this.length > MAX_PACKET_BYTES)
      counts.rxErrors++;
    else {
      counts.rxFrames++;
      counts.rxBytes += this.length;
      onPacket(this);
    }
    for (let index = this.#ring.rspCons - this.#held; this.#held > 0; index++, this.#held--)
      this.#post((index >>> 0) % PAGES);
    this.#parts = 0;
    this.length = 0;
    this.#spoilt = false;
    this.#gsoType = Gso.NONE;
    this.#gsoSize = 0;
    this.#hashType = -1;
  }

  #post(page: number): void {
    const slot = this.#slot;
    putU16(slot, RxRequest.ID, page);
    putU16(slot, RxRequest.ID + 2, 0);
    putU32(slot, RxRequest.GREF, this.#shared.refs[page]!);
    this.#ring.request(slot);
  }
}
