/**
 * A guest's network interface in use: frames of any length out and in, one pair of rings, through pages that are granted once. The backend is
 * not trusted: its answers are looked up, and a ring that cannot be is the end. Knows no store, and nothing of what is in a frame.
 */
import type { Evtchn } from '../../../osdep/evtchn.ts';
import type { Gntshr, SharedPages } from '../../../osdep/gntshr.ts';
import { PAGE_SIZE } from '../../../osdep/mapping.ts';
import { Front } from '../../../osdep/ring/slotring.ts';
import {
  MAX_PACKET_BYTES,
  NR_SLOTS_MIN,
  putU16,
  putU32,
  RX_SLOT_BYTES,
  RxFlag,
  RxRequest,
  RxResponse,
  TX_SLOT_BYTES,
  TxFlag,
  TxRequest,
  TxResponse,
  u16,
} from '../core/netif.ts';

/** Granted for frames, each way: as many as a ring has slots. */
const PAGES = 256;
/** Frames that wait for room in the ring; what comes after that is lost, as on any wire. */
const WAITING_MAX = 1024;

export interface FrontNicOptions {
  readonly gntshr: Gntshr;
  readonly evtchn: Evtchn;
  readonly backendDomid: number;
  /** A frame has come; the bytes are the receiver's. */
  readonly onFrame: (frame: Uint8Array) => void;
  /** The backend has broken the rules. */
  readonly onBroken: (reason: string) => void;
}

export class FrontNic {
  readonly port: number;
  readonly #options: FrontNicOptions;
  readonly #txRing: SharedPages;
  readonly #rxRing: SharedPages;
  readonly #txPages: SharedPages;
  readonly #rxPages: SharedPages;
  readonly #tx: Front;
  readonly #rx: Front;
  /** By page: lent to the backend. */
  readonly #sending: Uint8Array = new Uint8Array(PAGES);
  readonly #posted: Uint8Array = new Uint8Array(PAGES);
  readonly #free: number[] = Array.from({ length: PAGES }, (_, page) => PAGES - 1 - page);
  readonly #waiting: Uint8Array[] = [];
  /** Of the frame that is coming in: its parts, and whether one of them is missing. */
  #parts: Uint8Array[] = [];
  #spoilt = false;
  #active = false;
  #broken = false;
  #whenIdle: (() => void) | undefined;

  /** Grants rings and pages, posts all buffers, and allocates a port. Throws OsError. */
  constructor(options: FrontNicOptions) {
    const { gntshr, evtchn, backendDomid } = options;
    this.#options = options;
    this.#txRing = gntshr.sharePages(backendDomid, 1, 'rw');
    this.#rxRing = gntshr.sharePages(backendDomid, 1, 'rw');
    this.#txPages = gntshr.sharePages(backendDomid, PAGES, 'r');
    this.#rxPages = gntshr.sharePages(backendDomid, PAGES, 'rw');
    this.#tx = Front.init(this.#txRing.bytes, TX_SLOT_BYTES);
    this.#rx = Front.init(this.#rxRing.bytes, RX_SLOT_BYTES);
    this.port = evtchn.bindUnboundPort(backendDomid);
    for (let page = 0; page < PAGES; page++) this.#post(page);
    this.#rx.publish();
  }

  get txRingRef(): number {
    return this.#txRing.refs[0]!;
  }

  get rxRingRef(): number {
    return this.#rxRing.refs[0]!;
  }

  /** Frames may flow from now on. */
  activate(): void {
    this.#active = true;
    this.#options.evtchn.notify(this.port);
    this.#drain();
  }

  /** Sends a frame of 14 to 65535 bytes, or loses it. */
  send(frame: Uint8Array): void {
    if (frame.length > MAX_PACKET_BYTES) throw new RangeError('a frame is at most 65535 bytes');
    if (this.#waiting.length === WAITING_MAX || this.#whenIdle !== undefined) return;
    this.#waiting.push(frame);
    this.#drain();
  }

  /** The port has fired, or may have. */
  event(): void {
    if (this.#broken) return;
    this.#sent();
    this.#received();
    this.#drain();
  }

  /** Sends nothing any more; settles when all is answered, or never will be. */
  quiesce(gone: AbortSignal): Promise<void> {
    this.#waiting.length = 0;
    return new Promise((resolve) => {
      this.#whenIdle = resolve;
      if (gone.aborted || this.#broken) resolve();
      else gone.addEventListener('abort', () => resolve(), { once: true });
      this.#drain();
    });
  }

  release(): void {
    this.#options.evtchn.unbind(this.port);
    for (const pages of [this.#txRing, this.#rxRing, this.#txPages, this.#rxPages]) pages.unmap();
  }

  #drain(): void {
    let any = false;
    while (this.#active && !this.#broken && this.#waiting.length > 0) {
      const slots = Math.ceil(this.#waiting[0]!.length / PAGE_SIZE);
      if (this.#tx.free < slots || this.#free.length < slots) break;
      this.#put(this.#waiting.shift()!);
      any = true;
    }
    if (any && this.#tx.publish()) this.#options.evtchn.notify(this.port);
    if (this.#free.length === PAGES) this.#whenIdle?.();
  }

  /** The first slot tells the length of all, the others their own. */
  #put(frame: Uint8Array): void {
    for (let at = 0; at < frame.length; at += PAGE_SIZE) {
      const part = frame.subarray(at, at + PAGE_SIZE);
      const page = this.#free.pop()!;
      this.#sending[page] = 1;
      this.#txPages.page(page).set(part);
      const slot = new Uint8Array(TX_SLOT_BYTES);
      putU32(slot, TxRequest.GREF, this.#txPages.refs[page]!);
      putU16(slot, TxRequest.FLAGS, at + PAGE_SIZE < frame.length ? TxFlag.MORE_DATA : 0);
      putU16(slot, TxRequest.ID, page);
      putU16(slot, TxRequest.SIZE, at === 0 ? frame.length : part.length);
      this.#tx.request(slot);
    }
  }

  #sent(): void {
    const slot = new Uint8Array(TX_SLOT_BYTES);
    this.#takeAll(this.#tx, () => {
      this.#tx.take(slot);
      const page = u16(slot, TxResponse.ID);
      if (this.#sending[page] !== 1) this.#fail(`the backend answers frame ${page}, which was not sent`);
      else {
        this.#sending[page] = 0;
        this.#free.push(page);
      }
    });
  }

  #received(): void {
    const slot = new Uint8Array(RX_SLOT_BYTES);
    let any = false;
    this.#takeAll(this.#rx, () => {
      this.#rx.take(slot);
      const page = u16(slot, RxResponse.ID);
      if (this.#posted[page] !== 1) this.#fail(`the backend fills buffer ${page}, which was not posted`);
      else {
        this.#posted[page] = 0;
        this.#part(page, slot);
        this.#post(page);
        any = true;
      }
    });
    if (any && !this.#broken && this.#rx.publish()) this.#options.evtchn.notify(this.port);
  }

  #part(page: number, slot: Uint8Array): void {
    const offset = u16(slot, RxResponse.OFFSET);
    const flags = u16(slot, RxResponse.FLAGS);
    const status = (u16(slot, RxResponse.STATUS) << 16) >> 16;
    if ((flags & RxFlag.EXTRA_INFO) !== 0) {
      this.#fail('the backend gives extra info, which was not asked for');
      return;
    }
    if (status < 0 || offset + status > PAGE_SIZE || this.#parts.length === NR_SLOTS_MIN) this.#spoilt = true;
    else this.#parts.push(this.#rxPages.page(page).slice(offset, offset + status));
    if ((flags & RxFlag.MORE_DATA) !== 0) return;
    const [parts, spoilt] = [this.#parts, this.#spoilt];
    this.#parts = [];
    this.#spoilt = false;
    if (!spoilt) this.#options.onFrame(joined(parts));
  }

  #takeAll(ring: Front, takeOne: () => void): void {
    while (!this.#broken) {
      const there = ring.finalCheck();
      if (!there.ok) this.#fail('the backend answers more than it was asked');
      else if (there.slots === 0) return;
      else for (let i = 0; i < there.slots && !this.#broken; i++) takeOne();
    }
  }

  #post(page: number): void {
    const slot = new Uint8Array(RX_SLOT_BYTES);
    putU16(slot, RxRequest.ID, page);
    putU32(slot, RxRequest.GREF, this.#rxPages.refs[page]!);
    this.#posted[page] = 1;
    this.#rx.request(slot);
  }

  #fail(reason: string): void {
    this.#broken = true;
    this.#options.onBroken(reason);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
