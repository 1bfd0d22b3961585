/**
 * What a guest writes into a ring and reads out of it: requests of up to eleven pages and responses, in the layout that 64-bit guests
 * have (xen/include/public/io/blkif.h). Knows no grant and no ring.
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
  readonly segments: readonly FrontSegment[];
  /** Of a discard. */
  readonly sectors: number;
}

export function encodeRequest({ op, id, sector, segments, sectors }: FrontRequest): Uint8Array {
  const bytes = new Uint8Array(SLOT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, op);
  view.setBigUint64(layout.id, BigInt(id), true);
  view.setBigUint64(layout.sectorNumber, BigInt(sector), true);
  if (op === BlkifOp.DISCARD) {
    view.setBigUint64(layout.nrSectors, BigInt(sectors), true);
    return bytes;
  }
  view.setUint8(1, segments.length);
  for (const [index, { gref, first, last }] of segments.entries()) {
    const at = layout.segments + index * SEGMENT_BYTES;
    view.setUint32(at, gref, true);
    view.setUint8(at + 4, first);
    view.setUint8(at + 5, last);
  }
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
