/**
 * The requests of a guest's disk that are not answered, as columns of numbers: a request is a row, and its number the id on the ring. Rows
 * outlive a connection: what it left unanswered is sent again on the next. Knows no ring and no grant.
 */
import { Fifo, NONE } from '../core/fifo.ts';
import type { FrontOp } from './requests.ts';

/** Told what has become of a request: BlkifStatus. */
export type Settle = (status: number) => void;

export class Rows {
  readonly op: Uint16Array;
  readonly sector: Float64Array;
  /** Of a discard. */
  readonly sectors: Float64Array;
  readonly tag: Float64Array;
  /** The ring that it is on; NONE: on none yet. */
  readonly ring: Int8Array;
  /** The first of the pool's pages that it has; NONE. */
  readonly page: Int32Array;
  /** What is written, or where to what is read goes. */
  readonly data: (Uint8Array | undefined)[];
  /** Undefined: whoever gave the tag is told. */
  readonly settle: (Settle | undefined)[];
  /** Those to be sent, in order. */
  readonly unsent: Fifo;
  /** When it was sent, as a number that grows. */
  readonly #sent: Float64Array;
  readonly #inUse: Uint8Array;
  readonly #free: Int32Array;
  #freeCount: number;
  #count = 0;
  /** Rows on rings. */
  underWay = 0;

  constructor(capacity: number) {
    this.op = new Uint16Array(capacity);
    this.sector = new Float64Array(capacity);
    this.sectors = new Float64Array(capacity);
    this.tag = new Float64Array(capacity);
    this.ring = new Int8Array(capacity).fill(NONE);
    this.page = new Int32Array(capacity).fill(NONE);
    this.data = Array.from({ length: capacity }, () => undefined);
    this.settle = Array.from({ length: capacity }, () => undefined);
    this.unsent = new Fifo(new Int32Array(capacity));
    this.#sent = new Float64Array(capacity);
    this.#inUse = new Uint8Array(capacity);
    this.#free = Int32Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
    this.#freeCount = capacity;
  }

  /** Rows for further requests. */
  get room(): number {
    return this.#freeCount;
  }

  /** A request to be sent; there must be a row. `data`: sectors of a discard, 0 of a flush. */
  add(op: FrontOp, sector: number, data: Uint8Array | number, tag: number, settle: Settle | undefined): void {
    const row = this.#free[--this.#freeCount]!;
    this.#inUse[row] = 1;
    this.op[row] = op;
    this.sector[row] = sector;
    this.sectors[row] = typeof data === 'number' ? data : 0;
    this.tag[row] = tag;
    this.data[row] = typeof data === 'number' ? undefined : data;
    this.settle[row] = settle;
    this.unsent.push(row);
  }

  /** It is on a ring. */
  sent(row: number, ring: number): void {
    this.ring[row] = ring;
    this.#sent[row] = this.#count++;
    this.underWay++;
  }

  /** It is answered, and its number free. */
  give(row: number): void {
    if (this.ring[row] !== NONE) this.underWay--;
    this.ring[row] = NONE;
    this.data[row] = undefined;
    this.settle[row] = undefined;
    this.#inUse[row] = 0;
    this.#free[this.#freeCount++] = row;
  }

  /** The rings are no more: what was on them goes again, in the order in which it went. */
  lost(): void {
    const rows = this.#those((row) => this.ring[row] !== NONE);
    for (const row of rows.toReversed()) {
      this.ring[row] = NONE;
      this.page[row] = NONE;
      this.unsent.unshift(row);
    }
    this.underWay = 0;
  }

  /** All of them, in the order in which they went; no more are to be sent. */
  takeAll(): readonly number[] {
    while (this.unsent.first !== NONE) this.unsent.shift();
    return this.#those((row) => this.#inUse[row] === 1);
  }

  #those(which: (row: number) => boolean): number[] {
    const rows = Array.from(this.ring.keys()).filter(which);
    return rows.sort((a, b) => this.#sent[a]! - this.#sent[b]!);
  }
}
