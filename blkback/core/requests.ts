/**
 * The requests that a disk has taken and not yet answered, as columns of numbers: a request is a row. Rows are filled from a private
 * copy of a slot and checked for what can be said without the disk: counts, segments, operations nobody knows. Nothing is
 * allocated for a request. Follows xen/include/public/io/blkif.h; trusts no byte of a guest's, nor that he uses an id once.
 *
 * `handle` is not looked at: the ring says which disk is meant, and FreeBSD sends the lower half of a pointer.
 */
import {
  type BlkifLayout,
  BlkifOp,
  BlkifStatus,
  DIRECT_SEGMENTS,
  DISCARD_SECURE,
  INDIRECT_PAGES,
  PAGE_SECTORS,
  PAGE_SEGMENTS,
  readU16,
  readU32,
  readU64,
  SEGMENT_BYTES,
} from './blkif.ts';
import { NONE } from './fifo.ts';

/** Where a request is on its way; FETCHING, LOADING, MOVING and STORING: somebody else has it. */
export const Phase = {
  FREE: 0,
  FETCHING: 1,
  ARRIVED: 2,
  /** Checked and in order; waits for older ones, or for memory. */
  ADMITTED: 3,
  LOADING: 4,
  /** Waits for its transfer to begin. */
  LOADED: 5,
  MOVING: 6,
  STORING: 7,
  /** Waits for older requests of its ring to be answered. */
  DONE: 8,
} as const;

export class Requests {
  readonly capacity: number;
  readonly maxSegments: number;
  readonly phase: Uint8Array;
  readonly queue: Uint8Array;
  readonly idLow: Uint32Array;
  readonly idHigh: Uint32Array;
  /** What is to be done; for an indirect request, what it asks for. */
  readonly op: Uint8Array;
  readonly status: Int8Array;
  readonly secure: Uint8Array;
  readonly sector: Float64Array;
  /** Of 512 bytes, in all. */
  readonly sectors: Float64Array;
  readonly segments: Uint16Array;
  /** Older requests that have to be done first. */
  readonly waits: Uint16Array;
  /** How far a flush or a barrier has come. */
  readonly stage: Uint8Array;
  /** 1: it shares no transfer. */
  readonly solo: Uint8Array;
  /** The chain of the queue or the transfer that it is in. */
  readonly link: Int32Array;
  /** `maxSegments` for each request. */
  readonly gref: Uint32Array;
  readonly firstSect: Uint8Array;
  readonly sectCount: Uint8Array;
  /** The page that a segment's data goes through; NONE: not yet. */
  readonly page: Int32Array;
  /** INDIRECT_PAGES for each request: the grants where its segments are, and the pages in which those are mapped; NONE: they are not. */
  readonly #descriptors: Uint32Array;
  readonly descriptorPage: Int32Array;
  readonly #free: Int32Array;
  #freeCount: number;

  constructor(capacity: number, maxSegments: number) {
    this.capacity = capacity;
    this.maxSegments = maxSegments;
    this.phase = new Uint8Array(capacity);
    this.queue = new Uint8Array(capacity);
    this.idLow = new Uint32Array(capacity);
    this.idHigh = new Uint32Array(capacity);
    this.op = new Uint8Array(capacity);
    this.status = new Int8Array(capacity);
    this.secure = new Uint8Array(capacity);
    this.sector = new Float64Array(capacity);
    this.sectors = new Float64Array(capacity);
    this.segments = new Uint16Array(capacity);
    this.waits = new Uint16Array(capacity);
    this.stage = new Uint8Array(capacity);
    this.solo = new Uint8Array(capacity);
    this.link = new Int32Array(capacity);
    this.gref = new Uint32Array(capacity * maxSegments);
    this.firstSect = new Uint8Array(capacity * maxSegments);
    this.sectCount = new Uint8Array(capacity * maxSegments);
    this.page = new Int32Array(capacity * maxSegments).fill(NONE);
    this.#descriptors = new Uint32Array(capacity * INDIRECT_PAGES);
    this.descriptorPage = new Int32Array(capacity * INDIRECT_PAGES).fill(NONE);
    this.#free = Int32Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
    this.#freeCount = capacity;
  }

  /** Rows that nobody has. */
  get room(): number {
    return this.#freeCount;
  }

  /** A row; there must be one. */
  take(queue: number): number {
    const request = this.#free[--this.#freeCount]!;
    this.phase[request] = Phase.ARRIVED;
    this.queue[request] = queue;
    this.status[request] = BlkifStatus.OKAY;
    this.secure[request] = 0;
    this.sector[request] = 0;
    this.sectors[request] = 0;
    this.segments[request] = 0;
    this.waits[request] = 0;
    this.stage[request] = 0;
    this.solo[request] = 0;
    return request;
  }

  give(request: number): void {
    this.phase[request] = Phase.FREE;
    this.#free[this.#freeCount++] = request;
  }

  /**
   * Fills a row from a slot; `status` tells what is wrong with it. A row in FETCHING wants its segments from `fetched`. At most
   * `indirectSegments` of them have been offered, 0: no indirect requests.
   */
  parse(request: number, bytes: Uint8Array, layout: BlkifLayout, indirectSegments: number): void {
    const op = bytes[0]!;
    this.op[request] = op;
    this.idLow[request] = readU32(bytes, layout.id);
    this.idHigh[request] = readU32(bytes, layout.id + 4);
    this.sector[request] = readU64(bytes, layout.sectorNumber);
    switch (op) {
      case BlkifOp.READ:
      case BlkifOp.WRITE:
        this.#direct(request, bytes, layout, 1);
        break;
      case BlkifOp.WRITE_BARRIER:
      case BlkifOp.FLUSH_DISKCACHE:
        this.#direct(request, bytes, layout, 0);
        break;
      case BlkifOp.DISCARD:
        this.secure[request] = bytes[1]! & DISCARD_SECURE;
        this.sectors[request] = readU64(bytes, layout.nrSectors);
        break;
      case BlkifOp.INDIRECT:
        if (indirectSegments === 0) this.status[request] = BlkifStatus.EOPNOTSUPP;
        else this.#indirect(request, bytes, layout, indirectSegments);
        break;
      default:
        this.status[request] = BlkifStatus.EOPNOTSUPP;
    }
  }

  /** The segments of an indirect request, copied out once, from a byte on; undefined: they could not be. */
  fetched(request: number, bytes: Uint8Array | undefined, from: number): void {
    this.phase[request] = Phase.ARRIVED;
    if (bytes === undefined) this.status[request] = BlkifStatus.ERROR;
    else this.#readSegments(request, bytes, from);
  }

  /** How many pages the segments of an indirect request take. */
  descriptorPages(request: number): number {
    return Math.ceil(this.segments[request]! / PAGE_SEGMENTS);
  }

  /** The grant of a page of segments of an indirect request. */
  descriptorGref(request: number, index: number): number {
    return this.#descriptors[request * INDIRECT_PAGES + index]!;
  }

  #direct(request: number, bytes: Uint8Array, layout: BlkifLayout, least: number): void {
    const count = bytes[1]!;
    if (count < least || count > DIRECT_SEGMENTS) this.status[request] = BlkifStatus.ERROR;
    else {
      this.segments[request] = count;
      this.#readSegments(request, bytes, layout.segments);
    }
  }

  #indirect(request: number, bytes: Uint8Array, layout: BlkifLayout, most: number): void {
    const op = bytes[1]!;
    const count = readU16(bytes, 2);
    this.op[request] = op;
    if ((op !== BlkifOp.READ && op !== BlkifOp.WRITE) || count === 0 || count > most) {
      this.status[request] = BlkifStatus.ERROR;
      return;
    }
    this.segments[request] = count;
    this.phase[request] = Phase.FETCHING;
    const base = request * INDIRECT_PAGES;
    for (let i = 0; i < INDIRECT_PAGES; i++) {
      this.#descriptors[base + i] = readU32(bytes, layout.indirectGrefs + 4 * i);
    }
  }

  #readSegments(request: number, bytes: Uint8Array, from: number): void {
    const base = request * this.maxSegments;
    const count = this.segments[request]!;
    let sectors = 0;
    for (let i = 0; i < count; i++) {
      const at = from + i * SEGMENT_BYTES;
      const first = bytes[at + 4]!;
      const last = bytes[at + 5]!;
      if (last < first || last >= PAGE_SECTORS) {
        this.status[request] = BlkifStatus.ERROR;
        return;
      }
      this.gref[base + i] = readU32(bytes, at);
      this.firstSect[base + i] = first;
      this.sectCount[base + i] = last - first + 1;
      sectors += last - first + 1;
    }
    this.sectors[request] = sectors;
  }

  /** Segments start and end at multiples of so many sectors. */
  aligned(request: number, unit: number): boolean {
    const base = request * this.maxSegments;
    const end = base + this.segments[request]!;
    for (let i = base; i < end; i++) {
      if (this.firstSect[i]! % unit !== 0 || this.sectCount[i]! % unit !== 0) return false;
    }
    return true;
  }
}
