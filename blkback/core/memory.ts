/**
 * Where a request's data goes through, a page for each segment: the guest's own page, if it is one that stays mapped, else a page of
 * ours, from and to which the hypervisor copies. Nothing is mapped for one request alone: a map and an unmap with what they flush cost more than
 * copying a page. Pages below `poolPages` are ours, those from there on are mapped ones. Has neither memory nor maps itself.
 */
import { BlkifOp, INDIRECT_PAGES } from './blkif.ts';
import { Effect, type EffectKind } from './effects.ts';
import { NONE } from './fifo.ts';
import { GrantCache } from './grants.ts';
import { PagePool } from './pool.ts';
import type { Requests } from './requests.ts';
import type { Statistics } from './statistics.ts';

export interface MemoryOptions {
  readonly poolPages: number;
  /** 0: the guest has none. */
  readonly persistentGrants: number;
}

export class DiskMemory {
  readonly poolPages: number;
  readonly #requests: Requests;
  readonly #statistics: Statistics;
  readonly #persistent: boolean;
  readonly #grants: GrantCache;
  readonly #pool: PagePool;
  readonly #tell: (kind: EffectKind, page: number) => void;

  /** `tell`: takes MAP and UNMAP. */
  constructor(
    requests: Requests,
    statistics: Statistics,
    { poolPages, persistentGrants }: MemoryOptions,
    tell: (kind: EffectKind, page: number) => void,
  ) {
    this.poolPages = poolPages;
    this.#requests = requests;
    this.#statistics = statistics;
    this.#persistent = persistentGrants > 0;
    this.#grants = new GrantCache(persistentGrants);
    this.#pool = new PagePool(poolPages);
    this.#tell = tell;
  }

  /** Pages that are mapped. */
  get mappedPages(): number {
    return this.#grants.size;
  }

  grefOf(page: number): number {
    return this.#grants.grefOf(page - this.poolPages);
  }

  /** Whether there is enough for a request, however many of its pages turn out to be mapped. */
  hasRoom(request: number): boolean {
    return this.#pool.free >= this.#requests.segments[request]!;
  }

  /** Gives a request its pages; there must be room. True: they have to be mapped, or filled, first. */
  assign(request: number): boolean {
    const { gref, page, segments, maxSegments, op } = this.#requests;
    const reads = op[request] === BlkifOp.READ;
    const base = request * maxSegments;
    const end = base + segments[request]!;
    let wanting = false;
    for (let i = base; i < end; i++) {
      const place = this.#persistent ? this.#place(gref[i]!) : NONE;
      if (place === NONE) {
        page[i] = this.#pool.take();
        this.#statistics.copied++;
        wanting ||= !reads;
      } else {
        page[i] = this.poolPages + place;
        this.#statistics.persistent++;
        wanting ||= !this.#grants.isMapped(place);
      }
    }
    return wanting;
  }

  /** Maps the pages in which an indirect request's segments are, where grants stay mapped. */
  assignDescriptors(request: number): void {
    if (!this.#persistent) return;
    const { descriptorPage } = this.#requests;
    const base = request * INDIRECT_PAGES;
    for (let i = this.#requests.descriptorPages(request) - 1; i >= 0; i--) {
      const place = this.#place(this.#requests.descriptorGref(request, i));
      descriptorPage[base + i] = place === NONE ? NONE : this.poolPages + place;
    }
  }

  releaseDescriptors(request: number): void {
    const { descriptorPage } = this.#requests;
    const base = request * INDIRECT_PAGES;
    for (let i = base; i < base + INDIRECT_PAGES; i++) {
      if (descriptorPage[i] === NONE) continue;
      this.#grants.release(descriptorPage[i]! - this.poolPages);
      descriptorPage[i] = NONE;
    }
  }

  /** What became of a MAP. */
  mapped(page: number, ok: boolean): void {
    this.#grants.mapped(page - this.poolPages, ok);
  }

  /** Whether all that a request wanted mapped is. */
  complete(request: number): boolean {
    const { page, segments, maxSegments } = this.#requests;
    const base = request * maxSegments;
    const end = base + segments[request]!;
    for (let i = base; i < end; i++) {
      const place = page[i]! - this.poolPages;
      if (place >= 0 && !this.#grants.isMapped(place)) return false;
    }
    return true;
  }

  /** Whether some of a request's data is copied. */
  copies(request: number): boolean {
    const { page, segments, maxSegments } = this.#requests;
    const base = request * maxSegments;
    const end = base + segments[request]!;
    for (let i = base; i < end; i++) if (page[i]! < this.poolPages) return true;
    return false;
  }

  /** Takes back what a request has, if it has any. */
  release(request: number): void {
    const { page, segments, maxSegments } = this.#requests;
    const base = request * maxSegments;
    const end = base + segments[request]!;
    for (let i = base; i < end; i++) {
      const given = page[i]!;
      if (given === NONE) continue;
      if (given < this.poolPages) this.#pool.give(given);
      else this.#grants.release(given - this.poolPages);
      page[i] = NONE;
    }
  }

  /** Time goes on by one tick. */
  expire(): void {
    this.#grants.expire((place) => this.#tell(Effect.UNMAP, this.poolPages + place));
  }

  /** The end. */
  unmapAll(): void {
    this.#grants.all((place) => this.#tell(Effect.UNMAP, this.poolPages + place));
  }

  #place(gref: number): number {
    const known = this.#grants.use(gref);
    if (known !== NONE) return known;
    const place = this.#grants.claim(gref);
    if (place !== NONE) this.#tell(Effect.MAP, this.poolPages + place);
    return place;
  }
}
