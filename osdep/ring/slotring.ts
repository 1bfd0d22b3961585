/**
 * Rings of requests and responses in slots of one size, which share a page: block and network devices, sockets' commands.
 * `Front` asks, `Back` answers; each slot carries a request one way and a response back. Publishing says whether the peer
 * wants the bell rung; going to sleep says so to him and looks once more. The peer is hostile: his index is loaded once
 * for each step, a count that cannot be is an answer, and slots are copied out whole. Knows nothing of grants, events,
 * or what is in a slot. Follows the macros of xen/include/public/io/ring.h.
 */
import { Page } from './page.ts';

const REQ_PROD = 0;
const REQ_EVENT = 4;
const RSP_PROD = 8;
const RSP_EVENT = 12;
const SLOTS = 64;

/** How many slots there are to take, or that the peer's index is impossible. */
export type Unconsumed = { readonly ok: true; readonly slots: number } | { readonly ok: false };

const BROKEN: Unconsumed = { ok: false };
/** Answers by how many there are: made once, since they are asked for in each turn. */
const answers: Unconsumed[] = [];

function there(slots: number): Unconsumed {
  answers[slots] ??= { ok: true, slots };
  return answers[slots];
}

/** Slots in a ring of so many bytes: the power of two that fits. */
export function ringSize(bytes: number, slotSize: number): number {
  return 2 ** Math.floor(Math.log2((bytes - SLOTS) / slotSize));
}

class Slots {
  readonly page: Page;
  readonly size: number;
  readonly #slotSize: number;

  constructor(bytes: Uint8Array, slotSize: number) {
    this.page = new Page(bytes);
    this.size = ringSize(bytes.length, slotSize);
    this.#slotSize = slotSize;
  }

  /** Private copy of a slot. */
  read(index: number, into: Uint8Array): void {
    const { bytes } = this.page;
    const start = this.#start(index);
    // A view of the slot would be garbage, once for each.
    for (let i = 0; i < this.#slotSize; i++) into[i] = bytes[start + i]!;
  }

  /** A shorter message leaves the rest of the slot alone. */
  write(index: number, message: Uint8Array): void {
    if (message.length > this.#slotSize) {
      throw new RangeError('message longer than a slot');
    }
    const { bytes } = this.page;
    const start = this.#start(index);
    for (let i = 0; i < message.length; i++) bytes[start + i] = message[i]!;
  }

  #start(index: number): number {
    return SLOTS + (index & (this.size - 1)) * this.#slotSize;
  }
}

/** Whether the peer asked to be woken by one of the slots from `old` to `now`. */
function wants(event: number, old: number, now: number): boolean {
  return (now - event) >>> 0 < (now - old) >>> 0;
}

/** The frontend's end. */
export class Front {
  readonly #slots: Slots;
  #reqProd: number;
  #published: number;
  #rspCons: number;

  private constructor(slots: Slots, reqProd: number, rspCons: number) {
    this.#slots = slots;
    this.#reqProd = reqProd;
    this.#published = reqProd;
    this.#rspCons = rspCons;
  }

  /** Makes a new ring of the bytes. */
  static init(bytes: Uint8Array, slotSize: number): Front {
    const slots = new Slots(bytes, slotSize);
    bytes.fill(0, 0, SLOTS);
    slots.page.store(REQ_EVENT, 1);
    slots.page.store(RSP_EVENT, 1);
    return new Front(slots, 0, 0);
  }

  /** Goes on with a ring where nothing is under way but what the page says: everything before `rspCons` was taken. */
  static attach(bytes: Uint8Array, slotSize: number, rspCons: number): Front {
    const slots = new Slots(bytes, slotSize);
    return new Front(slots, slots.page.load(REQ_PROD), rspCons >>> 0);
  }

  /** Slots in the ring. */
  get size(): number {
    return this.#slots.size;
  }

  /** Slots for further requests. */
  get free(): number {
    return this.size - ((this.#reqProd - this.#rspCons) >>> 0);
  }

  /** Responses taken so far: what `attach` wants. */
  get rspCons(): number {
    return this.#rspCons;
  }

  /** Puts a request in the next slot; there must be a free one. The peer does not see it before `publish`. */
  request(message: Uint8Array): void {
    if (this.free === 0) {
      throw new RangeError('no free slot');
    }
    this.#slots.write(this.#reqProd, message);
    this.#reqProd = (this.#reqProd + 1) >>> 0;
  }

  /** Shows what was put. True: the peer has to be told. */
  publish(): boolean {
    const old = this.#published;
    this.#published = this.#reqProd;
    this.#slots.page.store(REQ_PROD, this.#reqProd);
    return wants(this.#slots.page.load(REQ_EVENT), old, this.#reqProd);
  }

  /** Responses that are there. Broken: more than were asked for. */
  unconsumed(): Unconsumed {
    const slots = (this.#slots.page.load(RSP_PROD) - this.#rspCons) >>> 0;
    return slots > (this.#published - this.#rspCons) >>> 0 ? BROKEN : there(slots);
  }

  /** Takes the next response; it must be there. Its slot is free from now on. */
  take(into: Uint8Array): void {
    this.#slots.read(this.#rspCons, into);
    this.#rspCons = (this.#rspCons + 1) >>> 0;
  }

  /** Before sleeping: asks to be told of the next response, and looks once more. */
  finalCheck(): Unconsumed {
    const before = this.unconsumed();
    if (!before.ok || before.slots > 0) {
      return before;
    }
    this.#slots.page.store(RSP_EVENT, this.#rspCons + 1);
    return this.unconsumed();
  }
}

/** The backend's end. */
export class Back {
  readonly #slots: Slots;
  #reqCons: number;
  #rspProd: number;
  #published: number;

  private constructor(slots: Slots, reqCons: number, rspProd: number) {
    this.#slots = slots;
    this.#reqCons = reqCons;
    this.#rspProd = rspProd;
    this.#published = rspProd;
  }

  /** Attaches to a ring that the frontend made. Requests without a response are there to be taken (again). */
  static attach(bytes: Uint8Array, slotSize: number): Back {
    const slots = new Slots(bytes, slotSize);
    const rspProd = slots.page.load(RSP_PROD);
    return new Back(slots, rspProd, rspProd);
  }

  /** Slots in the ring. */
  get size(): number {
    return this.#slots.size;
  }

  /** Requests taken and not yet answered. */
  get inFlight(): number {
    return (this.#reqCons - this.#rspProd) >>> 0;
  }

  /** Requests that are there. Broken: more than the ring has slots for. */
  unconsumed(): Unconsumed {
    const prod = this.#slots.page.load(REQ_PROD);
    const slots = (prod - this.#reqCons) >>> 0;
    return (prod - this.#rspProd) >>> 0 > this.size || slots > this.size ? BROKEN : there(slots);
  }

  /** Takes the next request, a private copy; it must be there. */
  take(into: Uint8Array): void {
    this.#slots.read(this.#reqCons, into);
    this.#reqCons = (this.#reqCons + 1) >>> 0;
  }

  /** Puts a response, in any order of requests. The peer does not see it before `publish`. */
  respond(message: Uint8Array): void {
    if (this.inFlight === 0) {
      throw new RangeError('nothing to respond to');
    }
    this.#slots.write(this.#rspProd, message);
    this.#rspProd = (this.#rspProd + 1) >>> 0;
  }

  /** Shows what was put. True: the peer has to be told. */
  publish(): boolean {
    const old = this.#published;
    this.#published = this.#rspProd;
    this.#slots.page.store(RSP_PROD, this.#rspProd);
    return wants(this.#slots.page.load(RSP_EVENT), old, this.#rspProd);
  }

  /** Before sleeping: asks to be told of the next request, and looks once more. */
  finalCheck(): Unconsumed {
    const before = this.unconsumed();
    if (!before.ok || before.slots > 0) {
      return before;
    }
    this.#slots.page.store(REQ_EVENT, this.#reqCons + 1);
    return this.unconsumed();
  }
}
