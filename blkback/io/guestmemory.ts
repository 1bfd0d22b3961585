/**
 * A guest's data pages as a disk's transfers see them: a pool of our own, into and out of which the hypervisor copies, and granted pages that
 * stay mapped. Copies are gathered as columns of numbers and done in one call; nothing is allocated for one. Knows nothing of requests but
 * their numbers.
 */
import { OsError } from '../../osdep/errno.ts';
import { type Copier, type CopyTable, type Gnttab, GrantStatus } from '../../osdep/gnttab.ts';
import { type Mapping, PAGE_SIZE } from '../../osdep/mapping.ts';
import { IoMemory } from '../../osdep/os/iomemory.ts';

interface Mapped {
  readonly mapping: Mapping;
  readonly memory: IoMemory;
}

/** Who wants to know what became of copies, by request; the core is one. */
export interface CopyAnswers {
  /** `bytes`: what was fetched, from a byte on, until the next call. */
  fetched(request: number, bytes: Uint8Array | undefined, from: number): void;
  loaded(request: number, ok: boolean): void;
  stored(request: number, ok: boolean): void;
}

export interface GuestMemoryOptions {
  readonly gnttab: Gnttab;
  readonly domid: number;
  readonly poolPages: number;
  readonly answers: CopyAnswers;
}

/** What is answered for a group of copies. */
const Group = { FETCH: 0, LOAD: 1, STORE: 2 } as const;
type GroupKind = (typeof Group)[keyof typeof Group];

/** Pages behind the pool for what is fetched by itself; one request takes at most eight. */
const FETCH_PAGES = 64;
/** Groups in one call at most. */
const GROUPS = 1024;

/** The next call's copies. */
class Copies implements CopyTable {
  count = 0;
  readonly domids: Uint16Array;
  readonly grefs: Uint32Array;
  readonly offsets: Uint16Array;
  readonly positions: Uint32Array;
  readonly lengths: Uint16Array;
  readonly toGuest: Uint8Array;
  readonly statuses: Int16Array;

  constructor(domid: number, capacity: number) {
    this.domids = new Uint16Array(capacity).fill(domid);
    this.grefs = new Uint32Array(capacity);
    this.offsets = new Uint16Array(capacity);
    this.positions = new Uint32Array(capacity);
    this.lengths = new Uint16Array(capacity);
    this.toGuest = new Uint8Array(capacity);
    this.statuses = new Int16Array(capacity);
  }

  add(toGuest: 0 | 1, gref: number, offset: number, position: number, length: number): void {
    const at = this.count++;
    if (at === this.grefs.length) throw new RangeError('more copies than pages');
    this.toGuest[at] = toGuest;
    this.grefs[at] = gref;
    this.offsets[at] = offset;
    this.positions[at] = position;
    this.lengths[at] = length;
  }

  /** Whether all of some copies went well. */
  ok(from: number, end: number): boolean {
    for (let i = from; i < end; i++) if (this.statuses[i] !== GrantStatus.OKAY) return false;
    return true;
  }
}

export class GuestMemory {
  readonly #gnttab: Gnttab;
  readonly #domid: number;
  readonly #poolPages: number;
  readonly #answers: CopyAnswers;
  readonly #copier: Copier;
  readonly #pool: IoMemory;
  readonly #mapped: (Mapped | undefined)[] = [];
  readonly #copies: Copies;
  /** The pages behind the pool. */
  readonly #fetchPages: readonly Uint8Array[];
  #fetchNext = 0;
  #fetchFirst = 0;
  /** Groups of copies that belong together: where each ends, and whose it is. */
  readonly #groupEnd: Uint32Array = new Uint32Array(GROUPS);
  readonly #groupKind: Uint8Array = new Uint8Array(GROUPS);
  readonly #groupRequest: Uint32Array = new Uint32Array(GROUPS);
  /** Of a FETCH, where its bytes are. */
  readonly #groupFrom: Uint32Array = new Uint32Array(GROUPS);
  #groups = 0;

  /** Throws OsError without memory. */
  constructor({ gnttab, domid, poolPages, answers }: GuestMemoryOptions) {
    this.#gnttab = gnttab;
    this.#domid = domid;
    this.#poolPages = poolPages;
    this.#answers = answers;
    this.#copier = gnttab.openCopier((poolPages + FETCH_PAGES) * PAGE_SIZE);
    const { memory } = this.#copier;
    this.#pool = new IoMemory(memory);
    this.#copies = new Copies(domid, poolPages + FETCH_PAGES);
    this.#fetchPages = Array.from({ length: FETCH_PAGES }, (_, i) => {
      const at = (poolPages + i) * PAGE_SIZE;
      return memory.subarray(at, at + PAGE_SIZE);
    });
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

  /** The end: nothing is mapped, and nothing can be copied. */
  close(): void {
    for (const page of this.#mapped.keys()) this.unmap(this.#poolPages + page);
    this.#copier.close();
  }

  /** Where a page lies: the memory, and the offset in it. */
  memoryOf(page: number): IoMemory {
    return page < this.#poolPages ? this.#pool : this.#mapped[page - this.#poolPages]!.memory;
  }

  offsetOf(page: number): number {
    return page < this.#poolPages ? page * PAGE_SIZE : 0;
  }

  /** Pages one after the other are to be fetched, each by `fetch`; then `fetched`. */
  beginFetch(pages: number): void {
    if (this.#fetchNext + pages > FETCH_PAGES) this.copy();
    this.#fetchFirst = this.#fetchNext;
  }

  /** So many bytes of a guest's page: of one that is mapped (`page`; below 0: of none), else with the next `copy`. */
  fetch(page: number, gref: number, length: number): void {
    const at = this.#fetchNext++;
    const mapped = page < 0 ? undefined : this.#mapped[page - this.#poolPages];
    if (mapped !== undefined) this.#fetchPages[at]!.set(mapped.mapping.bytes);
    else this.#copies.add(0, gref, 0, (this.#poolPages + at) * PAGE_SIZE, length);
  }

  fetched(request: number): void {
    this.#groupFrom[this.#groups] = (this.#poolPages + this.#fetchFirst) * PAGE_SIZE;
    this.#group(Group.FETCH, request);
  }

  /** Out of the guest's page into a page of the pool, at the same offset in both; then `loaded`. */
  load(gref: number, page: number, offset: number, length: number): void {
    this.#copies.add(0, gref, offset, page * PAGE_SIZE + offset, length);
  }

  loaded(request: number): void {
    this.#group(Group.LOAD, request);
  }

  /** The other way; then `stored`. */
  store(gref: number, page: number, offset: number, length: number): void {
    this.#copies.add(1, gref, offset, page * PAGE_SIZE + offset, length);
  }

  stored(request: number): void {
    this.#group(Group.STORE, request);
  }

  /** Does all copies that were asked for, and tells of each request's. */
  copy(): void {
    const count = this.#groups;
    if (count === 0) return;
    const copies = this.#copies;
    if (copies.count > 0) this.#copier.copy(copies);
    for (let group = 0, from = 0; group < count; group++) {
      const end = this.#groupEnd[group]!;
      this.#answer(group, copies.ok(from, end));
      from = end;
    }
    copies.count = 0;
    this.#groups = 0;
    this.#fetchNext = 0;
  }

  #group(kind: GroupKind, request: number): void {
    const group = this.#groups++;
    this.#groupKind[group] = kind;
    this.#groupRequest[group] = request;
    this.#groupEnd[group] = this.#copies.count;
    if (this.#groups === GROUPS) this.copy();
  }

  #answer(group: number, ok: boolean): void {
    const request = this.#groupRequest[group]!;
    switch (this.#groupKind[group]) {
      case Group.FETCH:
        this.#answers.fetched(request, ok ? this.#copier.memory : undefined, this.#groupFrom[group]!);
        break;
      case Group.LOAD:
        this.#answers.loaded(request, ok);
        break;
      default:
        this.#answers.stored(request, ok);
    }
  }
}
