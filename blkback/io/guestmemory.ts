/**
 * A guest's data pages as a disk's transfers see them: a pool of our own, into and out of which the hypervisor copies, and granted pages that
 * stay mapped. Copies are gathered and done in one call. Knows nothing of requests but their numbers.
 */
import { OsError } from '../../osdep/errno.ts';
import { type CopySegment, type Gnttab, GrantStatus } from '../../osdep/gnttab.ts';
import { type Mapping, PAGE_SIZE } from '../../osdep/mapping.ts';
import { IoMemory } from '../../osdep/os/iomemory.ts';

interface Mapped {
  readonly mapping: Mapping;
  readonly memory: IoMemory;
}

export interface GuestMemoryOptions {
  readonly gnttab: Gnttab;
  readonly domid: number;
  readonly poolPages: number;
}

export class GuestMemory {
  readonly #gnttab: Gnttab;
  readonly #domid: number;
  readonly #poolPages: number;
  readonly #pool: IoMemory;
  readonly #mapped: (Mapped | undefined)[] = [];
  #segments: CopySegment[] = [];
  /** For each group of copies: where it ends, and who wants to know. */
  #groups: { readonly end: number; readonly copied: (ok: boolean) => void }[] = [];

  constructor({ gnttab, domid, poolPages }: GuestMemoryOptions) {
    this.#gnttab = gnttab;
    this.#domid = domid;
    this.#poolPages = poolPages;
    this.#pool = IoMemory.allocate(poolPages * PAGE_SIZE);
  }

  /** Maps a grant as page so and so: false, it does not go. */
  map(page: number, gref: number): boolean {
    try {
      const mapping = this.#gnttab.mapGrantRef(this.#domid, gref, 'rw');
      this.#mapped[page - this.#poolPages] = { mapping, memory: new IoMemory(mapping.bytes) };
      return true;
    } catch (error) {
      if (error instanceof OsError) return false;
      throw error;
    }
  }

  unmap(page: number): void {
    this.#mapped[page - this.#poolPages]?.mapping.unmap();
    this.#mapped[page - this.#poolPages] = undefined;
  }

  unmapAll(): void {
    for (const page of this.#mapped.keys()) this.unmap(this.#poolPages + page);
  }

  /** Where a page lies: the memory, and the offset in it. */
  memoryOf(page: number): IoMemory {
    return page < this.#poolPages ? this.#pool : this.#mapped[page - this.#poolPages]!.memory;
  }

  offsetOf(page: number): number {
    return page < this.#poolPages ? page * PAGE_SIZE : 0;
  }

  /** Out of the guest's page into bytes of ours, with the next `copy`. */
  fetch(ref: number, bytes: Uint8Array): void {
    this.#segments.push({
      source: { domid: this.#domid, ref, offset: 0 },
      dest: { bytes },
      length: bytes.length,
    });
  }

  /** Between a page of the pool and the guest's, at the same offset in both. */
  move(direction: 'in' | 'out', ref: number, page: number, offset: number, length: number): void {
    const guest = { domid: this.#domid, ref, offset };
    const at = page * PAGE_SIZE + offset;
    const ours = { bytes: this.#pool.bytes.subarray(at, at + length) };
    this.#segments.push(
      direction === 'in' ? { source: guest, dest: ours, length } : { source: ours, dest: guest, length },
    );
  }

  /** What was added since the last call belongs together; `copied` is called by `copy`. */
  group(copied: (ok: boolean) => void): void {
    this.#groups.push({ end: this.#segments.length, copied });
  }

  /** Does all copies that were asked for. */
  copy(): void {
    if (this.#groups.length === 0) return;
    const [segments, groups] = [this.#segments, this.#groups];
    this.#segments = [];
    this.#groups = [];
    const results = this.#copyAll(segments);
    let at = 0;
    for (const { end, copied } of groups) {
      let ok = true;
      for (; at < end; at++) if (results[at] !== GrantStatus.OKAY) ok = false;
      copied(ok);
    }
  }

  #copyAll(segments: readonly CopySegment[]): readonly number[] {
    try {
      return segments.length === 0 ? [] : this.#gnttab.grantCopy(segments);
    } catch (error) {
      if (error instanceof OsError) return [];
      throw error;
    }
  }
}
