/**
 * A socket's data ring, mapped: its index page, the pages of its two halves, and the event channel that goes with them, seen from the
 * backend's end. The guest is hostile: order and references are read once, each of his indices once a step, our own indices are kept here and
 * only shown to him. Moves no bytes and knows no network: it says where they are, so that system calls work on the guest's memory itself.
 * (xen/docs/misc/pvcalls.pandoc, "Indexes Page and Data ring")
 */
import { Errno, OsError } from '../../../osdep/errno.ts';
import type { Gnttab } from '../../../osdep/gnttab.ts';
import type { Mapping } from '../../../osdep/mapping.ts';
import { IoMemory } from '../../../osdep/os/iomemory.ts';
import type { Ports } from '../../../osdep/ports.ts';
import { Page } from '../../../osdep/ring/page.ts';
import { MAX_PAGE_ORDER } from '../../../xenstored/xenbus/pvcalls.ts';
import { Index } from '../core/pvcalls.ts';

const NOTHING = new Uint8Array(0);
/** A half has 2^(order + 11) bytes. */
const HALF_SHIFT = 11;

export interface DataRingOptions {
  readonly gnttab: Gnttab;
  readonly ports: Ports;
  readonly domid: number;
  /** Of the index page. */
  readonly ref: number;
  /** The guest's port. */
  readonly evtchn: number;
  /** The guest has rung: his port stays shut until `listen`. */
  readonly onEvent: () => void;
  /** Of pages that are mapped for him; default: they are not counted. */
  readonly budget?: PageBudget;
}

/** What rings may cost: pages that are mapped at a time, and, where that is limited, how large one may be and how much is moved. */
export interface PageBudget {
  /** False: not so many more. */
  take(pages: number): boolean;
  giveBack(pages: number): void;
  /** The largest ring, as a power of two. */
  readonly ringOrder?: number;
  /** How many of so many bytes may be moved now. If it is none, `again` is called when there are some. */
  may?(direction: 'in' | 'out', bytes: number, again: () => void): number;
  moved?(direction: 'in' | 'out', bytes: number): void;
}

export class DataRing {
  /** Bytes of a half. */
  readonly size: number;
  /** That are mapped, the index page included. */
  readonly pages: number;
  readonly #ports: Ports;
  readonly #budget: PageBudget | undefined;
  readonly #again = (): void => void (this.#open && this.#onEvent());
  #onEvent: () => void;
  readonly #refs: readonly number[];
  readonly #port: number;
  readonly #indexMapping: Mapping;
  readonly #dataMapping: Mapping;
  readonly #io: IoMemory;
  readonly #index: Page;
  #memory: Uint8Array;
  #inProd = 0;
  #outCons = 0;
  /** As far as the guest knows. */
  #outShown = 0;
  /** Where they were when the guest was last rung, or could not have been asleep. */
  #inTold = 0;
  #outTold = 0;
  #inFailed = false;
  #outFailed = false;
  #mustTell = false;
  #open = true;

  /** Throws OsError, and then has nothing: EINVAL (the order), EFAULT (what cannot be mapped or bound), ENOMEM. */
  constructor({ gnttab, ports, domid, ref, evtchn, onEvent, budget }: DataRingOptions) {
    this.#ports = ports;
    this.#budget = budget;
    this.#onEvent = onEvent;
    this.#indexMapping = mapped(() => gnttab.mapGrantRef(domid, ref, 'rw'));
    let data: Mapping | undefined;
    let counted = 0;
    try {
      const index = new Page(this.#indexMapping.bytes);
      const order = index.load(Index.RING_ORDER);
      if (!this.#mayBe(order)) throw new OsError(Errno.EINVAL, `a data ring of order ${order}`);
      const refs = Array.from({ length: 1 << order }, (_, page) => index.load(Index.REFS + 4 * page));
      this.#refs = refs;
      this.pages = refs.length + 1;
      if (budget?.take(this.pages) === false) throw new OsError(Errno.ENOMEM, 'pages of data rings');
      counted = this.pages;
      data = mapped(() => gnttab.mapDomainGrantRefs(domid, refs, 'rw'));
      this.#memory = data.bytes;
      this.#io = new IoMemory(this.#memory);
      this.#port = mapped(() => ports.bind(domid, evtchn, () => this.#onEvent()));
      this.#dataMapping = data;
      this.#index = index;
      this.size = 1 << (order + HALF_SHIFT);
    } catch (error) {
      data?.unmap();
      this.#indexMapping.unmap();
      budget?.giveBack(counted);
      throw error;
    }
    this.#begin();
  }

  /** All data pages, the in half first; of length 0 once closed. */
  get memory(): Uint8Array {
    return this.#memory;
  }

  /** Of `memory`, for system calls. */
  get address(): number {
    return this.#io.address;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Bytes that the guest has put and we have not taken; -1: his index is impossible. */
  outReady(): number {
    if (!this.#open) return 0;
    const ready = (this.#index.load(Index.OUT_PROD) - this.#outCons) >>> 0;
    return ready > this.size ? -1 : ready;
  }

  /** How many of so many bytes the guest may have moved now. If it is none, it is as if he had rung when there are some. */
  may(direction: 'in' | 'out', bytes: number): number {
    return this.#budget?.may?.(direction, bytes, this.#again) ?? bytes;
  }

  /** Where they start, from the start of `memory`; they go on to its end at most, the rest follows at `size`. */
  outOffset(): number {
    return this.size + (this.#outCons & (this.size - 1));
  }

  /** No more than were ready. The guest is shown that by `notify`. */
  took(bytes: number): void {
    if (!this.#open) return;
    this.#budget?.moved?.('out', bytes);
    this.#outCons = (this.#outCons + bytes) >>> 0;
  }

  /** Bytes that were taken, and the guest does not know. As long as there are some he takes us to be at work, and need not ring for more. */
  get unshown(): number {
    return (this.#outCons - this.#outShown) >>> 0;
  }

  /** Room for bytes to the guest; -1: his index is impossible. */
  inRoom(): number {
    if (!this.#open) return 0;
    const used = (this.#inProd - this.#index.load(Index.IN_CONS)) >>> 0;
    return used > this.size ? -1 : this.size - used;
  }

  /** Where it starts; it goes on to `size` at most, the rest follows at 0. */
  inOffset(): number {
    return this.#inProd & (this.size - 1);
  }

  /** No more than there was room for. */
  gave(bytes: number): void {
    if (!this.#open) return;
    this.#budget?.moved?.('in', bytes);
    this.#inProd = (this.#inProd + bytes) >>> 0;
    this.#index.store(Index.IN_PROD, this.#inProd);
  }

  /** A direction has ended, after the bytes that are in the ring: a positive number. The first one counts. */
  fail(direction: 'in' | 'out', errno: number): void {
    if (!this.#open || (direction === 'in' ? this.#inFailed : this.#outFailed)) return;
    if (direction === 'in') this.#inFailed = true;
    else this.#outFailed = true;
    this.#index.store(direction === 'in' ? Index.IN_ERROR : Index.OUT_ERROR, -errno);
    this.#mustTell = true;
  }

  /**
   * Rings the guest if anything was moved that he may be waiting for: bytes when he has consumed those that he was told of, half a ring of room
   * once he has filled it (so that he is not woken for each piece), or an error. Both sides store first and look then, so nobody waits for ever.
   */
  notify(): void {
    if (!this.#open) return;
    this.#show(this.#outCons);
    const tell = this.#gaveNews();
    if (this.#tookNews() || tell) this.#bell();
  }

  /** The same for bytes to him and errors alone; what was taken stays unshown. */
  notifyIn(): void {
    if (this.#open && this.#gaveNews()) this.#bell();
  }

  /**
   * The same, from somebody who is going to look again soon by himself, and call `notify` before he no longer does: of what was taken one byte is not
   * shown, so that the guest, to whom the ring is never empty, does not ring for what he puts.
   */
  notifyAwake(): void {
    if (!this.#open) return;
    if (this.#outShown !== this.#outCons) this.#show((this.#outCons - 1) >>> 0);
    const tell = this.#gaveNews();
    if (this.#tookNews() || tell) this.#bell();
  }

  /** Rings the guest, whatever he waits for. */
  ring(): void {
    if (!this.#open) return;
    this.#show(this.#outCons);
    this.#inTold = this.#inProd;
    this.#outTold = this.#outShown;
    this.#bell();
  }

  /** Lets the port bring events again; what came meanwhile comes now. */
  listen(): void {
    if (this.#open) this.#ports.open(this.#port);
  }

  /** Nobody is told of anything until `renew`; it stays mapped. */
  rest(): void {
    this.#onEvent = () => {};
  }

  /**
   * As if it were new, after `rest`. False: the guest has made another ring of its index page, or is not to have one of its size any more. As of a new
   * one the first event is told at once.
   */
  renew(onEvent: () => void): boolean {
    const order = this.#index.load(Index.RING_ORDER);
    if (!this.#open || 1 << order !== this.#refs.length || !this.#mayBe(order)) return false;
    if (!this.#refs.every((ref, page) => this.#index.load(Index.REFS + 4 * page) === ref)) return false;
    this.#begin();
    this.#onEvent = onEvent;
    onEvent();
    return true;
  }

  /** Unmaps and unbinds. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#memory = NOTHING;
    this.#ports.unbind(this.#port);
    this.#dataMapping.unmap();
    this.#indexMapping.unmap();
    this.#budget?.giveBack(this.pages);
  }

  #mayBe(order: number): boolean {
    return order >= 1 && order <= (this.#budget?.ringOrder ?? MAX_PAGE_ORDER);
  }

  /** A connection starts with nothing in it, also when a process has died over another one for the same command. */
  #begin(): void {
    this.#inProd = this.#index.load(Index.IN_CONS);
    this.#index.store(Index.IN_PROD, this.#inProd);
    this.#index.store(Index.IN_ERROR, 0);
    this.#index.store(Index.OUT_ERROR, 0);
    this.#outCons = this.#index.load(Index.OUT_CONS);
    this.#outShown = this.#outCons;
    this.#inTold = this.#inProd;
    this.#outTold = this.#outCons;
    this.#inFailed = false;
    this.#outFailed = false;
    this.#mustTell = false;
  }

  #bell(): void {
    this.#mustTell = false;
    this.#ports.notify(this.#port);
  }

  #show(outCons: number): void {
    if (this.#outShown === outCons) return;
    this.#outShown = outCons;
    this.#index.store(Index.OUT_CONS, outCons);
  }

  #gaveNews(): boolean {
    const given = (this.#inProd - this.#inTold) >>> 0;
    if (given === 0) return this.#mustTell;
    const unread = (this.#inProd - this.#index.load(Index.IN_CONS)) >>> 0;
    this.#inTold = this.#inProd;
    return unread <= given || this.#mustTell;
  }

  #tookNews(): boolean {
    if (this.#outShown === this.#outTold) return false;
    const outProd = this.#index.load(Index.OUT_PROD);
    const wasFull = (outProd - this.#outTold) >>> 0 >= this.size;
    const roomy = (outProd - this.#outShown) >>> 0 <= this.size >>> 1;
    if (!wasFull || roomy) this.#outTold = this.#outShown;
    return wasFull && roomy;
  }
}

/** Whatever the hypervisor has against what the guest named is EFAULT, but for want of memory. */
function mapped<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    throw new OsError(error.errno === Errno.ENOMEM ? Errno.ENOMEM : Errno.EFAULT, 'data ring');
  }
}
