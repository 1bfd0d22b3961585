/**
 * The data ring of one socket as the guest has it: an index page and two halves of bytes, granted to the backend, with an event channel. Bytes are
 * copied once, out of the program's memory or into it. Both own indices are private; the backend's are loaded once for each step, and ones that
 * cannot be end this socket. Whether an event is worth sending is decided here. Knows no command and not whose socket it is.
 * (xen/docs/misc/pvcalls.pandoc, "Indexes Page Structure")
 */
import { Errno } from '../../../osdep/errno.ts';
import type { SharedPages } from '../../../osdep/gntshr.ts';
import { PAGE_SIZE } from '../../../osdep/mapping.ts';
import { Page } from '../../../osdep/ring/page.ts';
import { Index } from '../core/pvcalls.ts';

/** An error number that is none: whoever says it has broken the rules. */
const ERRNO_MAX = 4095;
/** Below this many bytes a loop is quicker than a view. */
const FEW = 48;

export interface RingParts {
  /** The index page, then 2^order pages of data. */
  readonly pages: SharedPages;
  readonly order: number;
  readonly port: number;
  readonly notify: (port: number) => void;
}

/**
 * How often events are sent: after each move, or when the other end can only be waiting (it looks again after each move of its own). `bytes`: whenever some are
 * put, for room when it is needed. Linux's backend opens its port again only when it finds bytes after an event (its pvcalls_conn_back_write):
 * an event too many is its last.
 */
export type Events = 'always' | 'bytes' | 'needed';

export class Ring {
  readonly order: number;
  /** Bytes of a half. */
  readonly size: number;
  /** The index page's grant. */
  readonly ref: number;
  readonly port: number;
  readonly pages: SharedPages;
  /** Who is told that the port has fired. */
  onEvent: (() => void) | undefined;
  readonly #index: Page;
  /** Both halves, the one towards the guest first. */
  readonly #data: Uint8Array;
  readonly #notify: (port: number) => void;
  readonly #refs: readonly number[];
  #events: Events = 'always';
  #inCons = 0;
  #outProd = 0;
  /** The backend may have stopped for want of room, and has not been told of any since. */
  #owed = false;
  #broken = false;

  constructor({ pages, order, port, notify }: RingParts) {
    this.order = order;
    this.size = PAGE_SIZE << (order - 1);
    this.pages = pages;
    this.port = port;
    this.#notify = notify;
    const [ref, ...refs] = pages.refs;
    this.ref = ref!;
    this.#refs = refs;
    this.#index = new Page(pages.page(0));
    this.#data = pages.bytes.subarray(PAGE_SIZE);
  }

  /** For a new socket: indices, errors, references. */
  reset(events: Events): void {
    const index = this.#index;
    index.bytes.fill(0);
    index.store(Index.RING_ORDER, this.order);
    for (let i = 0; i < this.#refs.length; i++) index.store(Index.REFS + 4 * i, this.#refs[i]!);
    this.#events = events;
    this.#inCons = 0;
    this.#outProd = 0;
    this.#owed = false;
    this.#broken = false;
    this.onEvent = undefined;
  }

  /** Bytes to be taken, or the end of the stream, or an error. */
  get readable(): boolean {
    return this.inThere() !== 0 || this.inError !== 0;
  }

  /** Room to put bytes, or an error that says that it is no use. */
  get writable(): boolean {
    return this.outRoom() !== 0 || this.outError !== 0;
  }

  /** Nothing that was put is going to be taken any more: all of it has been, or nothing will be. */
  get isEmptied(): boolean {
    return this.outRoom() === this.size || this.outError !== 0;
  }

  /** 0, or minus an error number: no bytes come after those that are there. -ENOTCONN: the stream has ended. */
  get inError(): number {
    return this.#error(Index.IN_ERROR);
  }

  /** 0, or minus an error number: no bytes are taken any more. */
  get outError(): number {
    return this.#error(Index.OUT_ERROR);
  }

  /** Bytes that can be taken; 0 also if the backend has broken the rules. */
  inThere(): number {
    const there = (this.#index.load(Index.IN_PROD) - this.#inCons) >>> 0;
    return there > this.size ? this.#break() : there;
  }

  /** Bytes that can be put. */
  outRoom(): number {
    const used = (this.#outProd - this.#index.load(Index.OUT_CONS)) >>> 0;
    return used > this.size ? this.#break() : this.size - used;
  }

  /**
   * Puts bytes and answers how many. Fewer than there are: the ring is full, and an event will tell of room. Minus an error number: -EAGAIN
   * for a full ring, else as `outError`.
   */
  send(bytes: Uint8Array): number {
    const error = this.outError;
    if (error !== 0) return error;
    let done = 0;
    // Until the ring is seen full after the last bytes were shown: only then is the backend sure to see that somebody waits.
    for (let room = this.outRoom(); room > 0 && done < bytes.length; room = this.outRoom()) {
      const count = Math.min(room, bytes.length - done);
      this.stage(0, bytes, done, count);
      this.show(count);
      done += count;
    }
    if (done > 0 || bytes.length === 0) return done;
    return this.#broken ? -Errno.EIO : -Errno.EAGAIN;
  }

  /**
   * Takes bytes and answers how many. Fewer than fit: there are no more, and an event will tell of some. 0: the end of the stream. Minus an error
   * number: -EAGAIN if there are none, else as `inError`.
   */
  recv(into: Uint8Array): number {
    // Before the index: what came before an error is there to be taken.
    const error = this.inError;
    let done = 0;
    for (let there = this.inThere(); there > 0 && done < into.length; there = this.inThere()) {
      const count = Math.min(there, into.length - done);
      this.peek(0, into, done, count);
      this.skip(count);
      done += count;
    }
    if (done > 0 || into.length === 0) return done;
    if (this.#broken) return -Errno.EIO;
    if (error === 0) return -Errno.EAGAIN;
    return error === -Errno.ENOTCONN ? 0 : error;
  }

  /** Copies `count` bytes of `bytes` to where `offset` bytes after the last ones will be; there must be room. */
  stage(offset: number, bytes: Uint8Array, from: number, count: number): void {
    const at = (this.#outProd + offset) & (this.size - 1);
    const first = Math.min(count, this.size - at);
    copy(bytes, from, this.#data, this.size + at, first);
    if (first < count) copy(bytes, from + first, this.#data, this.size, count - first);
  }

  /** Shows the backend that many bytes more, and rings if it has stopped looking. */
  show(count: number): void {
    const old = this.#outProd;
    this.#outProd = (old + count) >>> 0;
    this.#index.store(Index.OUT_PROD, this.#outProd);
    // Who had taken all there was may have looked before this and gone to sleep.
    if (this.#events !== 'needed' || this.#index.load(Index.OUT_CONS) === old) this.#notify(this.port);
  }

  /** Copies `count` bytes from `offset` bytes after the next ones; they must be there. */
  peek(offset: number, into: Uint8Array, at: number, count: number): void {
    const from = (this.#inCons + offset) & (this.size - 1);
    const first = Math.min(count, this.size - from);
    copy(this.#data, from, into, at, first);
    if (first < count) copy(this.#data, 0, into, at + first, count - first);
  }

  /** Gives the room of that many bytes back, and rings if the backend may wait for it: once half a ring is free, not for each piece. */
  skip(count: number): void {
    const old = this.#inCons;
    this.#inCons = (old + count) >>> 0;
    this.#index.store(Index.IN_CONS, this.#inCons);
    const prod = this.#index.load(Index.IN_PROD);
    if ((prod - old) >>> 0 > this.size - (this.size >> 2)) this.#owed = true;
    const there = (prod - this.#inCons) >>> 0;
    if (this.#events !== 'always' && !(this.#owed && there <= this.size >> 1)) return;
    this.#owed = false;
    this.#notify(this.port);
  }

  /** What is in the ring cannot be: nothing of it is used any more. */
  broken(): number {
    this.#broken = true;
    return -Errno.EIO;
  }

  #error(offset: number): number {
    if (this.#broken) return -Errno.EIO;
    const error = this.#index.load(offset) | 0;
    if (error === 0 || (error < 0 && error >= -ERRNO_MAX)) return error;
    return -Errno.EIO;
  }

  #break(): number {
    this.#broken = true;
    return 0;
  }
}

function copy(from: Uint8Array, start: number, to: Uint8Array, at: number, count: number): void {
  if (count <= FEW) {
    for (let i = 0; i < count; i++) to[at + i] = from[start + i]!;
  } else if (start === 0 && count === from.length) to.set(from, at);
  else to.set(new Uint8Array(from.buffer, from.byteOffset + start, count), at);
}
