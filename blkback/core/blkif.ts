/**
 * Requests and responses of block devices as bytes (xen/include/public/io/blkif.h): the two layouts there are, where a
 * field lies in them, and what its numbers mean. What comes from a guest is read once out of a private copy of its slot, never out of
 * the ring. Checks nothing and knows no disk.
 */
import type { BlkifProtocol } from '../../xenstored/xenbus/vbd.ts';

export const BlkifOp = {
  READ: 0,
  WRITE: 1,
  WRITE_BARRIER: 2,
  FLUSH_DISKCACHE: 3,
  /** Private to one distribution's drivers; nobody may take it for anything else. */
  RESERVED_1: 4,
  DISCARD: 5,
  INDIRECT: 6,
} as const;

export const BlkifStatus = { OKAY: 0, ERROR: -1, EOPNOTSUPP: -2 } as const;

/** In `flag` of a discard. */
export const DISCARD_SECURE = 1;

/** What `sector_number` and the segments count in, whatever the disk's sector-size is. */
export const SECTOR_BYTES = 512;
export const PAGE_SECTORS = 8;

/** Segments in a request that is not indirect. */
export const DIRECT_SEGMENTS = 11;
/** Pages of segments that an indirect request can name, and segments in each of them. */
export const INDIRECT_PAGES = 8;
export const PAGE_SEGMENTS = 512;
export const SEGMENT_BYTES = 8;

/** Where fields lie: those that differ between the layouts. All the others are at the same place in both. */
export interface BlkifLayout {
  /** Of a slot, which is as long as the longest request. */
  readonly slotBytes: number;
  readonly responseBytes: number;
  readonly id: number;
  readonly sectorNumber: number;
  readonly segments: number;
  /** In a discard. */
  readonly nrSectors: number;
  /** In an indirect request. */
  readonly indirectGrefs: number;
}

/** 64-bit numbers start at multiples of 8; Arm's layout too, of 32 bits or 64. */
const wide: BlkifLayout = {
  slotBytes: 112,
  responseBytes: 16,
  id: 8,
  sectorNumber: 16,
  segments: 24,
  nrSectors: 24,
  indirectGrefs: 28,
};

/** 64-bit numbers start at multiples of 4. */
const narrow: BlkifLayout = {
  slotBytes: 108,
  responseBytes: 12,
  id: 4,
  sectorNumber: 12,
  segments: 20,
  nrSectors: 20,
  indirectGrefs: 24,
};

export function layoutOf(protocol: BlkifProtocol): BlkifLayout {
  return protocol === 'x86_32-abi' ? narrow : wide;
}

export function readU16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

export function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** Exact up to 2^53; above that near enough to be more than any disk has. */
export function readU64(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at) + readU32(bytes, at + 4) * 0x1_0000_0000;
}

export interface BlkifResponse {
  /** The request's id, as two 32-bit halves. */
  readonly idLow: number;
  readonly idHigh: number;
  /** For an indirect request what it asked for (READ or WRITE): Linux's frontend gives the device up over INDIRECT. */
  readonly operation: number;
  readonly status: number;
}

/**
 * Writes `layout.responseBytes`, all of them: what is padding would otherwise show the guest what was there before (advisory 216).
 */
export function writeResponse(
  layout: BlkifLayout,
  into: Uint8Array,
  { idLow, idHigh, operation, status }: BlkifResponse,
): void {
  into.fill(0, 0, layout.responseBytes);
  for (let i = 0; i < 4; i++) {
    into[i] = idLow >>> (8 * i);
    into[4 + i] = idHigh >>> (8 * i);
  }
  into[8] = operation;
  into[10] = status;
  into[11] = status >> 8;
}
