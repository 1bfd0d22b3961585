/**
 * The memory of the simulated machine across processes: each extent a memory file without a name, whose size is fixed
 * for good. The hypervisor reads and writes through mappings of its own, made at first use. Knows nothing of who may
 * have what; it hands out descriptors.
 */
import { OsError } from '../errno.ts';
import { createMemory, reopenReadOnly } from '../os/fdpass.ts';
import type { Descriptor } from '../os/ffi.ts';
import { type MappedArea, mapDescriptor } from '../os/mmap.ts';
import { close } from '../os/sock.ts';
import { copyBytes, type Stretch } from './copybytes.ts';
import type { Memory } from './world/effects.ts';

const PAGE = 4096;

interface Extent {
  readonly fd: Descriptor;
  readonly length: number;
  readonly owner: number;
  readOnlyFd: Descriptor | undefined;
  area: MappedArea | undefined;
  /** Of the whole area, once it is mapped. */
  stretch: Stretch | undefined;
}

export class Extents implements Memory {
  readonly #extents = new Map<number, Extent>();
  readonly #counts = new Map<number, number>();
  readonly #perDomain: number;
  /** On whose behalf memory is allocated: each descriptor costs the hypervisor, so that they are counted. */
  caller = 0;

  /** `perDomain`: extents that one domain may have allocated; the control domain is not counted. */
  constructor(perDomain: number) {
    this.#perDomain = perDomain;
  }

  allocate(extent: number, pages: number): boolean {
    const owner = this.caller;
    const count = this.#counts.get(owner) ?? 0;
    if (owner !== 0 && count >= this.#perDomain) return false;
    try {
      const length = pages * PAGE;
      const fd = createMemory('stubdom0', length);
      this.#extents.set(extent, {
        fd,
        length,
        owner,
        readOnlyFd: undefined,
        area: undefined,
        stretch: undefined,
      });
    } catch (error) {
      if (error instanceof OsError) return false;
      throw error;
    }
    this.#counts.set(owner, count + 1);
    return true;
  }

  free(extent: number): void {
    const found = this.#extents.get(extent);
    if (found === undefined) return;
    this.#extents.delete(extent);
    const count = (this.#counts.get(found.owner) ?? 1) - 1;
    if (count > 0) this.#counts.set(found.owner, count);
    else this.#counts.delete(found.owner);
    found.area?.unmap();
    close(found.fd);
    if (found.readOnlyFd !== undefined) close(found.readOnlyFd);
  }

  read(extent: number, offset: number, length: number): Uint8Array {
    return this.#stretch(extent).bytes.slice(offset, offset + length);
  }

  write(extent: number, offset: number, bytes: Uint8Array): void {
    this.#stretch(extent).bytes.set(bytes, offset);
  }

  copy(source: number, sourceOffset: number, dest: number, destOffset: number, length: number): void {
    copyBytes(this.#stretch(source), sourceOffset, this.#stretch(dest), destOffset, length);
  }

  load32(extent: number, offset: number): number {
    return Atomics.load(this.#stretch(extent).words, offset >> 2) >>> 0;
  }

  compareExchange32(extent: number, offset: number, expected: number, replacement: number): number {
    const { words } = this.#stretch(extent);
    return Atomics.compareExchange(words, offset >> 2, expected | 0, replacement | 0) >>> 0;
  }

  and16(extent: number, offset: number, mask: number): void {
    const shift = (offset & 2) * 8;
    Atomics.and(this.#stretch(extent).words, offset >> 2, ~((~mask & 0xffff) << shift));
  }

  /** The last bytes of an extent, for the hypervisor itself; not to be used once the extent is freed. */
  tail(extent: number, length: number): Uint8Array {
    const { bytes } = this.#stretch(extent);
    return bytes.subarray(bytes.length - length);
  }

  /** A descriptor to send to somebody who may have the extent like that. It stays the hypervisor's to close. */
  descriptor(extent: number, access: 'r' | 'rw'): Descriptor {
    const found = this.#find(extent);
    if (access === 'rw') return found.fd;
    found.readOnlyFd ??= reopenReadOnly(found.fd);
    return found.readOnlyFd;
  }

  #find(extent: number): Extent {
    const found = this.#extents.get(extent);
    if (found === undefined) throw new Error(`extent ${extent} does not exist`);
    return found;
  }

  #stretch(extent: number): Stretch {
    const found = this.#find(extent);
    if (found.stretch !== undefined) return found.stretch;
    found.area = mapDescriptor(found.fd, 0, found.length, 'rw');
    const { bytes } = found.area;
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    found.stretch = { bytes, words };
    return found.stretch;
  }
}
