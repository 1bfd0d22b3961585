/**
 * Requests written and responses read as a frontend does it, in either layout: the guest's half of blkif for tests, made apart from the
 * backend's so that a mistake in one does not hide in the other.
 */
import type { BlkifLayout } from '../../blkback/core/blkif.ts';

export interface Segment {
  readonly gref: number;
  readonly first: number;
  readonly last: number;
}

export interface Asked {
  readonly op: number;
  readonly id: bigint | number;
  readonly sector?: bigint | number;
  readonly handle?: number;
  readonly segments?: readonly Segment[];
  /** Instead of the number of segments that there are. */
  readonly nrSegments?: number;
  /** Of a discard. */
  readonly nrSectors?: bigint | number;
  readonly flag?: number;
  /** Of an indirect request; its segments are in these pages, see `descriptors`. */
  readonly indirect?: { readonly op: number; readonly count: number; readonly grefs: readonly number[] };
}

export interface Response {
  readonly id: bigint;
  readonly op: number;
  readonly status: number;
}

export function slotOf(layout: BlkifLayout, asked: Asked): Uint8Array {
  const narrow = layout.slotBytes === 108;
  const bytes = new Uint8Array(layout.slotBytes);
  const view = new DataView(bytes.buffer);
  const { segments = [], indirect, handle = 0 } = asked;
  view.setUint8(0, asked.op);
  view.setBigUint64(narrow ? 4 : 8, BigInt(asked.id), true);
  view.setBigUint64(narrow ? 12 : 16, BigInt(asked.sector ?? 0), true);
  const rest = narrow ? 20 : 24;
  if (indirect !== undefined) {
    view.setUint8(1, indirect.op);
    view.setUint16(2, indirect.count, true);
    view.setUint16(rest, handle, true);
    for (const [i, gref] of indirect.grefs.entries()) view.setUint32(rest + 4 + 4 * i, gref, true);
    return bytes;
  }
  view.setUint16(2, handle, true);
  if (asked.nrSectors !== undefined) {
    view.setUint8(1, asked.flag ?? 0);
    view.setBigUint64(rest, BigInt(asked.nrSectors), true);
    return bytes;
  }
  view.setUint8(1, asked.nrSegments ?? segments.length);
  bytes.set(descriptors(segments.slice(0, 11)), rest);
  return bytes;
}

/** Segments as they lie in a page of an indirect request. */
export function descriptors(segments: readonly Segment[]): Uint8Array {
  const bytes = new Uint8Array(segments.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [i, { gref, first, last }] of segments.entries()) {
    view.setUint32(i * 8, gref, true);
    view.setUint8(i * 8 + 4, first);
    view.setUint8(i * 8 + 5, last);
  }
  return bytes;
}

export function readResponse(bytes: Uint8Array): Response {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { id: view.getBigUint64(0, true), op: view.getUint8(8), status: view.getInt16(10, true) };
}
