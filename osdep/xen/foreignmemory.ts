/**
 * libxenforeignmemory on Linux: frames of a domain, mapped through privcmd, and resources that belong to a domain and lie in no
 * frame of it. Knows no page's meaning. (xen/tools/libs/foreignmemory, linux/include/uapi/xen/privcmd.h)
 */
import { Errno, OsError } from '../errno.ts';
import type { Foreignmemory, PartialMapping, ResourceFrames } from '../foreignmemory.ts';
import type { Protection } from '../gnttab.ts';
import { type Mapping, PAGE_SIZE } from '../mapping.ts';
import { addressOf } from '../os/ffi.ts';
import type { MappedArea } from '../os/mmap.ts';
import type { HandleRegistry } from '../toolcore.ts';
import { DeviceMapping, mapDevice } from './area.ts';
import { ioc, orUnsupported } from './device.ts';
import { Privcmd } from './privcmd.ts';

const MMAPBATCH_V2: number = ioc('P', 4, 32);
const MMAP_RESOURCE: number = ioc('P', 7, 32);
/** Frames that are paged out come back soon, or not at all. */
const PAGED_OUT_TRIES = 100;
const PAGED_OUT_WAIT_MS = 0.1;

export class XenForeignmemory implements Foreignmemory {
  readonly #handles: HandleRegistry;
  readonly #privcmd: Privcmd;

  constructor(handles: HandleRegistry) {
    this.#handles = handles;
    this.#privcmd = new Privcmd();
    handles.register(this);
  }

  get fd(): number {
    return this.#privcmd.fd;
  }

  map(domid: number, protection: Protection, gfns: readonly number[]): Mapping {
    const { mapping, errors } = this.#map(domid, protection, gfns);
    const failed = errors.find((error) => error !== 0);
    if (failed !== undefined) {
      mapping.unmap();
      throw new OsError(failed, what(domid));
    }
    return mapping;
  }

  mapPartial(domid: number, protection: Protection, gfns: readonly number[]): PartialMapping {
    const mapped = this.#map(domid, protection, gfns);
    // The hypervisor says this of the domain, and the kernel of each frame.
    const [first = 0] = mapped.errors;
    const refused = first === Errno.EPERM || first === Errno.ESRCH;
    if (refused && mapped.errors.every((error) => error === first)) {
      mapped.mapping.unmap();
      throw new OsError(first, what(domid));
    }
    return mapped;
  }

  mapResource(frames: ResourceFrames, protection: Protection): Mapping {
    const { domid, type, frame, count } = frames;
    const text = `map resource ${type} of domain ${domid}`;
    if (!(frame >= 0 && frame + count <= 2 ** 32)) {
      throw new OsError(Errno.EINVAL, text);
    }
    const area = this.#area(count, protection, text);
    const mapping = new DeviceMapping(area);
    try {
      this.#resource(frames, area.address, text);
      return mapping;
    } catch (error) {
      mapping.unmap();
      throw error;
    }
  }

  resourceSize(domid: number, type: number, id: number): number {
    const text = `size of resource ${type} of domain ${domid}`;
    return this.#resource({ domid, type, id, frame: 0, count: 0 }, 0n, text) * PAGE_SIZE;
  }

  restrict(domid: number): void {
    this.#privcmd.restrict(domid);
  }

  close(): void {
    this.#handles.deregister(this);
    this.#privcmd.close();
  }

  #map(domid: number, protection: Protection, gfns: readonly number[]): PartialMapping {
    const count = gfns.length;
    const area = this.#area(count, protection, what(domid));
    const mapping = new DeviceMapping(area);
    const frames = BigUint64Array.from(gfns, BigInt);
    const errors = new Int32Array(count);
    const batch = (first: number, num: number) =>
      this.#batch({ domid, at: area.address + BigInt(first * PAGE_SIZE), num, frames, errors, first });
    try {
      let pagedOut = batch(0, count);
      for (let tried = 0; pagedOut && tried < PAGED_OUT_TRIES; tried += 1) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAGED_OUT_WAIT_MS);
        pagedOut = false;
        for (const [index, error] of errors.entries()) {
          pagedOut = (error === -Errno.ENOENT && batch(index, 1)) || pagedOut;
        }
      }
    } catch (error) {
      mapping.unmap();
      throw error;
    }
    return { mapping, errors: Array.from(errors, (error) => Math.abs(error)) };
  }

  /** True where a frame is paged out. */
  #batch(part: {
    readonly domid: number;
    readonly at: bigint;
    readonly num: number;
    readonly frames: BigUint64Array;
    readonly errors: Int32Array;
    readonly first: number;
  }): boolean {
    const request = new DataView(new ArrayBuffer(32));
    request.setUint32(0, part.num, true);
    request.setUint16(4, part.domid, true);
    request.setBigUint64(8, part.at, true);
    request.setBigUint64(16, addressOf(part.frames) + BigInt(part.first * 8), true);
    request.setBigUint64(24, addressOf(part.errors) + BigInt(part.first * 4), true);
    try {
      this.#privcmd.control(MMAPBATCH_V2, new Uint8Array(request.buffer), what(part.domid));
      return false;
    } catch (error) {
      if (error instanceof OsError && error.errno === Errno.ENOENT) {
        return true;
      }
      throw error;
    }
  }

  /** Maps at `address`, or at 0 answers how many frames there are. */
  #resource({ domid, type, id, frame, count }: ResourceFrames, address: bigint, text: string): number {
    const request = new DataView(new ArrayBuffer(32));
    request.setUint16(0, domid, true);
    request.setUint32(4, type, true);
    request.setUint32(8, id, true);
    request.setUint32(12, frame, true);
    request.setBigUint64(16, BigInt(count), true);
    request.setBigUint64(24, address, true);
    try {
      this.#privcmd.control(MMAP_RESOURCE, new Uint8Array(request.buffer), text);
    } catch (error) {
      // Kernels before 4.19.
      throw orUnsupported(error, text);
    }
    return Number(request.getBigUint64(16, true));
  }

  #area(pages: number, protection: Protection, text: string): MappedArea {
    if (!(pages > 0)) {
      throw new OsError(Errno.EINVAL, text);
    }
    return mapDevice({ fd: this.fd, offset: 0, pages, protection }, text);
  }
}

function what(domid: number): string {
  return `map frames of domain ${domid}`;
}
