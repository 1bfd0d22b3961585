/**
 * Memory for hypercall arguments, by whole pages: where it comes from, and a small store of pages that were given back, by
 * size, as libxencall keeps one (xen/tools/libs/call). Pages of /dev/xen/hypercall never move; without that device
 * they are locked ones, which can. Knows no hypercall.
 */
import type { CallBuffer } from '../call.ts';
import { Errno, OsError } from '../errno.ts';
import { PAGE_SIZE } from '../mapping.ts';
import { type Descriptor, errno, mlock } from '../os/ffi.ts';
import { type MappedArea, mapDescriptor, mapPieces } from '../os/mmap.ts';
import { closeDevice, devices, openDevice } from './device.ts';

/** Areas of 1 to this many pages are kept, and of each size this many. */
const MAX_PAGES_KEPT = 4;
const MAX_AREAS_KEPT = 4;
const NOTHING = new Uint8Array(0);

class PooledBuffer implements CallBuffer {
  readonly area: MappedArea;
  bytes: Uint8Array;

  constructor(area: MappedArea, sizeBytes: number) {
    this.area = area;
    this.bytes = area.bytes.subarray(0, sizeBytes);
  }

  get address(): bigint {
    return this.area.address;
  }
}

export class CallBuffers {
  /** undefined where the kernel has no such device. */
  #fd: Descriptor | undefined;
  readonly #used = new Set<PooledBuffer>();
  readonly #kept = new Map<number, MappedArea[]>();

  constructor() {
    this.#fd = openHypercallDevice();
  }

  /** False where a page may move under a call, which then is EFAULT. */
  get neverFault(): boolean {
    return this.#fd !== undefined;
  }

  /** Zeroed. ENOMEM, EINVAL. */
  alloc(sizeBytes: number): CallBuffer {
    if (!(sizeBytes > 0)) {
      throw new OsError(Errno.EINVAL, 'allocate a hypercall buffer');
    }
    const length = Math.ceil(sizeBytes / PAGE_SIZE) * PAGE_SIZE;
    const kept = this.#kept.get(length)?.pop();
    kept?.bytes.fill(0);
    const buffer = new PooledBuffer(kept ?? this.#map(length), sizeBytes);
    this.#used.add(buffer);
    return buffer;
  }

  /** Freeing it again does nothing. */
  free(buffer: CallBuffer): void {
    if (!(buffer instanceof PooledBuffer) || !this.#used.delete(buffer)) {
      return;
    }
    buffer.bytes = NOTHING;
    const { area } = buffer;
    const kept = this.#kept.get(area.length) ?? [];
    if (area.length > MAX_PAGES_KEPT * PAGE_SIZE || kept.length >= MAX_AREAS_KEPT) {
      area.unmap();
      return;
    }
    kept.push(area);
    this.#kept.set(area.length, kept);
  }

  /** Idempotent. */
  close(): void {
    for (const buffer of [...this.#used]) {
      this.free(buffer);
    }
    for (const area of [...this.#kept.values()].flat()) {
      area.unmap();
    }
    this.#kept.clear();
    if (this.#fd !== undefined) {
      closeDevice(this.#fd);
      this.#fd = undefined;
    }
  }

  #map(length: number): MappedArea {
    if (this.#fd !== undefined) {
      return mapDescriptor(this.#fd, 0, length, 'rw');
    }
    const area = mapPieces([{ fd: undefined, offset: 0, length }], 'rw');
    if (mlock(area.address, length) < 0) {
      const error = errno();
      area.unmap();
      throw new OsError(error, `lock ${length} bytes of memory`);
    }
    return area;
  }
}

function openHypercallDevice(): Descriptor | undefined {
  try {
    return openDevice(devices.hypercall);
  } catch (error) {
    // Kernels before 4.18.
    if (error instanceof OsError && error.errno === Errno.ENOENT) {
      return undefined;
    }
    throw error;
  }
}
