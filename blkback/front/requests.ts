/**
 * What a guest writes into a ring and reads out of it: requests, their segments in the slot or in a page of their own, and responses, in the
 * layout that 64-bit guests have (xen/include/public/io/blkif.h). Knows no grant and no ring.
 */
import { BlkifOp, layoutOf, SEGMENT_BYTES } from '../core/blkif.ts';

const layout = layoutOf('x86_64-abi');

export const SLOT_BYTES: number = layout.slotBytes;

export interface FrontSegment {
  readonly gref: number;
  /** First and last sector of the page, of 512 bytes each. */
  readonly first: number;
  readonly last: number;
}

export interface FrontRequest {
  readonly op: number;
  readonly id: number;
  readonly sector: number;
  /** At most eleven. */
  readonly segments: readonly FrontSegment[];
  /** Of a discard. */
  readonly sectors: number;
}

export function encodeRequest({ op, id, sector, segments, sectors }: FrontRequest): Uint8Array {
  const bytes = slotOf(op, id, sector);
  const view = new DataView(bytes.buffer);
  if (op === BlkifOp.DISCARD) view.setBigUint64(layout.nrSectors, BigInt(sectors), true);
  else {
    view.setUint8(1, segments.length);
    encodeSegments(segments, bytes.subarray(layout.segments));
  }
  return bytes;
}

export interface IndirectRequest {
  readonly op: number;
  readonly id: number;
  readonly sector: number;
  readonly count: number;
  /** The page of the segments. */
  readonly gref: number;
}

export function encodeIndirect({ op, id, sector, count, gref }: IndirectRequest): Uint8Array {
  const bytes = slotOf(BlkifOp.INDIRECT, id, sector);
  const view = new DataView(bytes.buffer);
  view.setUint8(1, op);
  view.setUint16(2, count, true);
  view.setUint32(layout.indirectGrefs, gref, true);
  return bytes;
}

/** As they lie in a slot, or in an indirect request's page. */
export function encodeSegments(segments: readonly FrontSegment[], into: Uint8Array): void {
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
  for (const [index, { gref, first, last }] of segments.entries()) {
    view.setUint32(index * SEGMENT_BYTES, gref, true);
    view.setUint8(index * SEGMENT_BYTES + 4, first);
    view.setUint8(index * SEGMENT_BYTES + 5, last);
  }
}

function slotOf(op: number, id: number, sector: number): Uint8Array {
  const bytes = new Uint8Array(SLOT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, op);
  view.setBigUint64(layout.id, BigInt(id), true);
  view.setBigUint64(layout.sectorNumber, BigInt(sector), true);
  return bytes;
}

export interface FrontResponse {
  /** As we gave it, or any number if the backend makes it up. */
  readonly id: number;
  readonly status: number;
}

export function decodeResponse(slot: Uint8Array): FrontResponse {
  const view = new DataView(slot.buffer, slot.byteOffset);
  return { id: Number(view.getBigUint64(0, true)), status: view.getInt16(10, true) };
}
