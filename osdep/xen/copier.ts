/**
 * Grant copies over gntdev without allocation: the memory, the list of segments and the argument of the call are made once, and a copy is a few
 * numbers put into the list. Knows no packets and no disks. (linux/include/uapi/xen/gntdev.h)
 */
import { Errno, OsError } from '../errno.ts';
import { type Copier, type CopyTable, GrantStatus } from '../gnttab.ts';
import { PAGE_SIZE } from '../mapping.ts';
import { addressOf, type Descriptor, ioctl } from '../os/ffi.ts';
import { type MappedArea, mapPieces } from '../os/mmap.ts';
import { closeDevice, devices, openDevice } from './device.ts';
import { COPY_SEGMENT_BYTES, DEST_GREF, GRANT_COPY, SOURCE_GREF } from './grantcopy.ts';

/** In one call; a longer table takes several. */
const SEGMENTS = 2048;
const SEGMENT_WORDS = COPY_SEGMENT_BYTES / 4;
const TWO_TO_32 = 2 ** 32;

export class XenCopier implements Copier {
  #fd: Descriptor;
  readonly #area: MappedArea;
  /** Where the memory starts. Below 2^53 on the machines that we know. */
  readonly #base: number;
  readonly #length: number;
  readonly #words: Uint32Array = new Uint32Array(SEGMENTS * SEGMENT_WORDS);
  readonly #statuses: Int16Array = new Int16Array(this.#words.buffer);
  /** struct ioctl_gntdev_grant_copy: u32 count, pad, u64 address of the segments. */
  readonly #request: Uint32Array = new Uint32Array(4);

  constructor(memoryBytes: number) {
    if (!(memoryBytes > 0) || memoryBytes % PAGE_SIZE !== 0) throw new OsError(Errno.EINVAL, 'open a copier');
    this.#area = mapPieces([{ fd: undefined, offset: 0, length: memoryBytes }], 'rw');
    this.#base = Number(this.#area.address);
    this.#length = memoryBytes;
    putAddress(this.#request, 2, Number(addressOf(this.#words)));
    try {
      this.#fd = openDevice(devices.gntdev);
    } catch (error) {
      this.#area.unmap();
      throw error;
    }
  }

  get memory(): Uint8Array {
    return this.#area.bytes;
  }

  copy(table: CopyTable): void {
    for (let i = 0; i < table.count; i++) {
      if (table.positions[i]! + table.lengths[i]! > this.#length)
        throw new RangeError('a copy outside of the memory');
    }
    for (let from = 0; from < table.count; from += SEGMENTS) {
      if (!this.#carryOut(table, from, Math.min(SEGMENTS, table.count - from))) {
        table.statuses.fill(GrantStatus.GENERAL_ERROR, 0, table.count);
        return;
      }
    }
  }

  close(): void {
    if (this.#fd < 0) return;
    closeDevice(this.#fd);
    this.#fd = -1;
    this.#area.unmap();
  }

  /** Segments: source 8 bytes, dest 8, u16 length, u16 flags, s16 status, pad. A side is an address, or u32 ref, u16 offset, u16 domid. */
  #carryOut(table: CopyTable, from: number, count: number): boolean {
    const words = this.#words;
    for (let i = from, at = 0; i < from + count; i++, at += SEGMENT_WORDS) {
      const toGuest = table.toGuest[i] === 1;
      const guest = toGuest ? at + 2 : at;
      words[guest] = table.grefs[i]!;
      words[guest + 1] = (table.offsets[i]! | (table.domids[i]! << 16)) >>> 0;
      putAddress(words, toGuest ? at : at + 2, this.#base + table.positions[i]!);
      words[at + 4] = (table.lengths[i]! | ((toGuest ? DEST_GREF : SOURCE_GREF) << 16)) >>> 0;
      words[at + 5] = 0;
    }
    this.#request[0] = count;
    if (ioctl(this.#fd, GRANT_COPY, this.#request) < 0) return false;
    for (let i = 0, at = 10; i < count; i++, at += 2 * SEGMENT_WORDS) {
      table.statuses[from + i] = this.#statuses[at]!;
    }
    return true;
  }
}

function putAddress(words: Uint32Array, at: number, address: number): void {
  words[at] = address % TWO_TO_32;
  words[at + 1] = address / TWO_TO_32;
}
