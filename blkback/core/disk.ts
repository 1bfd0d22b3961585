/**
 * What requests are checked against: how large a disk is and what may be done with it. Knows no file, no device and no image
 * format; who opens one of these says what it is like.
 */

import { BlkifOp, BlkifStatus, SECTOR_BYTES } from './blkif.ts';
import type { Requests } from './requests.ts';

export interface Disk {
  /** In units of 512 bytes, whatever `sectorSize` is; below 2^53. */
  readonly sectors: number;
  /** Bytes, a power of two from 512 to 4096: requests start and end at multiples of it. */
  readonly sectorSize: number;
  readonly readOnly: boolean;
  /** What has been offered to the guest; what has not is answered EOPNOTSUPP. */
  readonly flush: boolean;
  readonly barrier: boolean;
  readonly discard: boolean;
  /** Without it a discard's secure flag is ignored, as the header wants it. */
  readonly secureDiscard: boolean;
}

/** A drive without a medium: every request fails. */
export const noMedium: Disk = {
  sectors: 0,
  sectorSize: 512,
  readOnly: true,
  flush: false,
  barrier: false,
  discard: false,
  secureDiscard: false,
};

/** OKAY, or how a request is refused on this disk as it is now. */
export function refusal(disk: Disk, requests: Requests, request: number): number {
  const op = requests.op[request]!;
  // Not EOPNOTSUPP: a frontend that hears it once flushes no more, whatever medium comes next.
  if (disk === noMedium) return BlkifStatus.ERROR;
  if (!offers(disk, op)) return BlkifStatus.EOPNOTSUPP;
  const empty = requests.segments[request] === 0 && op !== BlkifOp.DISCARD;
  const changes = op !== BlkifOp.READ && !(empty && op === BlkifOp.FLUSH_DISKCACHE);
  if (changes && disk.readOnly) return BlkifStatus.ERROR;
  if (empty) return BlkifStatus.OKAY;
  const fits =
    within(disk, requests.sector[request]!, requests.sectors[request]!) &&
    requests.aligned(request, disk.sectorSize / SECTOR_BYTES);
  return fits ? BlkifStatus.OKAY : BlkifStatus.ERROR;
}

function offers(disk: Disk, op: number): boolean {
  if (op === BlkifOp.WRITE_BARRIER) return disk.barrier;
  if (op === BlkifOp.FLUSH_DISKCACHE) return disk.flush;
  return op === BlkifOp.DISCARD ? disk.discard : true;
}

function within(disk: Disk, sector: number, sectors: number): boolean {
  // By subtraction: a guest's sum of two 64-bit numbers may come out small.
  if (sectors === 0 || sectors > disk.sectors || sector > disk.sectors - sectors) return false;
  const unit = disk.sectorSize / SECTOR_BYTES;
  return sector % unit === 0 && sectors % unit === 0;
}
