/**
 * Rings of bytes between two ends, as those of console and store. Indices are free-running 32-bit numbers, byte i
 * lies at i modulo the size, and both are named from the frontend's side. Reading and
 * advancing are two steps, so that what was read can be made safe before the peer is told that there is room. The
 * peer is hostile: his index is loaded once for each step, and one that cannot be is an answer, not an exception.
 * Knows nothing of event channels: `advance` moves an index, and ringing the bell is the caller's. Follows
 * xen/include/public/io/{xs_wire,console}.h.
 */
import { Page } from './page.ts';

/** Where one direction of a ring lies in its page. Sizes are powers of two. */
export interface RingLayout {
  readonly data: number;
  readonly size: number;
  readonly cons: number;
  readonly prod: number;
}

/** How many bytes there are (or how much room), or that the indices are impossible. */
export type Extent = { readonly ok: true; readonly bytes: number } | { readonly ok: false };

const BROKEN: Extent = { ok: false };

/** The end that takes bytes out. The producer's index is the peer's. */
export class RingReader {
  readonly #page: Page;
  readonly #data: Uint8Array;
  readonly #layout: RingLayout;

  constructor(page: Page, layout: RingLayout) {
    this.#page = page;
    this.#data = page.bytes;
    this.#layout = layout;
  }

  /** Our own index, as it stands in the page: read it at the start, and keep it from then on. */
  get position(): number {
    return this.#page.load(this.#layout.cons);
  }

  /** How many bytes there are from a position of ours on. */
  available(position: number): Extent {
    const bytes = (this.#page.load(this.#layout.prod) - position) >>> 0;
    return bytes > this.#layout.size ? BROKEN : { ok: true, bytes };
  }

  /** Copies bytes from a position on, as many as `into` holds; they must be there. The same position gives the same bytes until `advance`. */
  peek(position: number, into: Uint8Array): void {
    const { data, size } = this.#layout;
    const start = (position >>> 0) % size;
    const first = Math.min(into.length, size - start);
    into.set(this.#data.subarray(data + start, data + start + first));
    into.set(this.#data.subarray(data, data + into.length - first), first);
  }

  /** Gives the room before this position back. The peer who waits for room has to be told. */
  advance(position: number): void {
    this.#page.store(this.#layout.cons, position);
  }
}

/** The end that puts bytes in. The consumer's index is the peer's. */
export class RingWriter {
  readonly #page: Page;
  readonly #data: Uint8Array;
  readonly #layout: RingLayout;

  constructor(page: Page, layout: RingLayout) {
    this.#page = page;
    this.#data = page.bytes;
    this.#layout = layout;
  }

  /** Our own index, as it stands in the page: read it at the start, and keep it from then on. */
  get position(): number {
    return this.#page.load(this.#layout.prod);
  }

  /** How much room there is from a position of ours on. */
  room(position: number): Extent {
    const used = (position - this.#page.load(this.#layout.cons)) >>> 0;
    return used > this.#layout.size ? BROKEN : { ok: true, bytes: this.#layout.size - used };
  }

  /** Copies bytes in at a position; there must be room. The peer does not see them before `advance`. */
  put(position: number, bytes: Uint8Array): void {
    const { data, size } = this.#layout;
    const start = (position >>> 0) % size;
    const first = Math.min(bytes.length, size - start);
    this.#data.set(bytes.subarray(0, first), data + start);
    this.#data.set(bytes.subarray(first), data);
  }

  /** Shows the bytes before this position. The peer who waits for bytes has to be told. */
  advance(position: number): void {
    this.#page.store(this.#layout.prod, position);
  }
}

/** Both ends of a ring, seen from one side. */
export interface RingEnd {
  readonly reader: RingReader;
  readonly writer: RingWriter;
}

/** The store's page: requests from the guest, responses to it, and fields of their own. */
export const StoreRing = {
  REQUEST: { data: 0, size: 1024, cons: 2048, prod: 2052 },
  RESPONSE: { data: 1024, size: 1024, cons: 2056, prod: 2060 },
  SERVER_FEATURES: 2064,
  CONNECTION: 2068,
  ERROR: 2072,
  EVTCHN_PORT: 2076,
} as const;

/** The console's page: `IN` is towards the guest. */
const ConsoleRing = {
  IN: { data: 0, size: 1024, cons: 3072, prod: 3076 },
  OUT: { data: 1024, size: 2048, cons: 3080, prod: 3084 },
} as const;

/** The store ring as the guest has it. */
export function storeFrontend(bytes: Uint8Array): RingEnd {
  return endOf(new Page(bytes), StoreRing.RESPONSE, StoreRing.REQUEST);
}

/** The store ring as the daemon has it. */
export function storeBackend(bytes: Uint8Array): RingEnd {
  return endOf(new Page(bytes), StoreRing.REQUEST, StoreRing.RESPONSE);
}

/** The console ring as the guest has it. */
export function consoleFrontend(bytes: Uint8Array): RingEnd {
  return endOf(new Page(bytes), ConsoleRing.IN, ConsoleRing.OUT);
}

/** The console ring as the console's backend has it. */
export function consoleBackend(bytes: Uint8Array): RingEnd {
  return endOf(new Page(bytes), ConsoleRing.OUT, ConsoleRing.IN);
}

function endOf(page: Page, read: RingLayout, write: RingLayout): RingEnd {
  return { reader: new RingReader(page, read), writer: new RingWriter(page, write) };
}
