/**
 * What a guest writes into a ring and reads out of it: requests, their segments in the slot or in a page of their own, and responses
 * (xen/include/public/io/blkif.h). One buffer each way is used again and again. Knows no grant and no ring.
 */
import { type BlkifLayout, BlkifOp, DISCARD_SECURE, readU16, readU32, SEGMENT_BYTES } from '../core/blkif.ts';

/** What a disk can be asked for: blkif's numbers, but for the flag of the last. */
export const FrontOp = {
  READ: 0,
  WRITE: 1,
  WRITE_BARRIER: 2,
  FLUSH: 3,
  DISCARD: 5,
  SECURE_DISCARD: 0x105,
} as const;

export type FrontOp = (typeof FrontOp)[keyof typeof FrontOp];

/** One request at a time, in a slot's bytes. */
export class RequestWriter {
  readonly bytes: Uint8Array;
  readonly #layout: BlkifLayout;
  readonly #view: DataView;

  constructor(layout: BlkifLayout) {
    this.#layout = layout;
    this.bytes = new Uint8Array(layout.slotBytes);
    this.#view = new DataView(this.bytes.buffer);
  }

  /** With `segments` to follow by `segment`, at most eleven. */
  direct(op: FrontOp, id: number, sector: number, segments: number): void {
    this.#begin(op, id, sector);
    this.bytes[1] = segments;
  }

  segment(index: number, gref: number, sectors: number): void {
    writeSegment(this.#view, this.#layout.segments + index * SEGMENT_BYTES, gref, sectors);
  }

  discard(op: FrontOp, id: number, sector: number, sectors: number): void {
    this.#begin(op, id, sector);
    this.bytes[1] = op === FrontOp.SECURE_DISCARD ? DISCARD_SECURE : 0;
    this.#writeNumber(this.#layout.nrSectors, sectors);
  }

  /** `gref`: of the page where the segments are. */
  indirect(op: FrontOp, id: number, sector: number, segments: number, gref: number): void {
    this.#begin(BlkifOp.INDIRECT, id, sector);
    this.bytes[1] = op;
    this.#view.setUint16(2, segments, true);
    this.#view.setUint32(this.#layout.indirectGrefs, gref, true);
  }

  #begin(op: number, id: number, sector: number): void {
    this.bytes.fill(0);
    this.bytes[0] = op;
    this.#writeNumber(this.#layout.id, id);
    this.#writeNumber(this.#layout.sectorNumber, sector);
  }

  #writeNumber(at: number, value: number): void {
    this.#view.setUint32(at, value >>> 0, true);
    this.#view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
  }
}

/** A segment from the start of its page, as it lies in a slot or in an indirect request's page. */
export function writeSegment(view: DataView, at: number, gref: number, sectors: number): void {
  view.setUint32(at, gref, true);
  view.setUint8(at + 4, 0);
  view.setUint8(at + 5, sectors - 1);
}

/** A response's private copy. `id`: undefined if it is more than any that we give. */
export function responseId(slot: Uint8Array): number | undefined {
  return readU32(slot, 4) === 0 ? readU32(slot, 0) : undefined;
}

export function responseOp(slot: Uint8Array): number {
  return slot[8]!;
}

export function responseStatus(slot: Uint8Array): number {
  return (readU16(slot, 10) << 16) >> 16;
}
