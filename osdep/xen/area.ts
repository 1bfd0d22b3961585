/**
 * Memory of a device file, mapped: what grants, shared pages, foreign frames and hypercall buffers have in common. Knows the lifetime
 * (osdep/os/mmap.ts), and that a device may want a word when an area is gone; not what the memory is.
 */

import { OsError } from '../errno.ts';
import { type Mapping, PAGE_SIZE } from '../mapping.ts';
import type { Descriptor } from '../os/ffi.ts';
import { type MappedArea, mapDescriptor, type Protection } from '../os/mmap.ts';

export class DeviceMapping implements Mapping {
  readonly pages: number;
  readonly writable: boolean;
  readonly #area: MappedArea;
  readonly #whenGone: (() => void) | undefined;
  #mapped = true;

  /** `whenGone` is called once, when the pages have left the address space. */
  constructor(area: MappedArea, whenGone?: () => void) {
    this.#area = area;
    this.#whenGone = whenGone;
    this.pages = area.length / PAGE_SIZE;
    this.writable = area.writable;
  }

  get bytes(): Uint8Array {
    return this.#area.bytes;
  }

  get mapped(): boolean {
    return this.#mapped;
  }

  page(index: number): Uint8Array {
    return this.#area.bytes.subarray(index * PAGE_SIZE, (index + 1) * PAGE_SIZE);
  }

  unmap(): void {
    if (!this.#mapped) return;
    this.#mapped = false;
    this.#area.unmap(this.#whenGone);
  }
}

export interface DeviceArea {
  readonly fd: Descriptor;
  /** What the device calls it, in bytes. */
  readonly offset: number;
  readonly pages: number;
  readonly protection: Protection;
}

/** Throws OsError, `what` said of it. */
export function mapDevice({ fd, offset, pages, protection }: DeviceArea, what: string): MappedArea {
  try {
    return mapDescriptor(fd, offset, pages * PAGE_SIZE, protection);
  } catch (error) {
    throw error instanceof OsError ? new OsError(error.errno, what) : error;
  }
}
