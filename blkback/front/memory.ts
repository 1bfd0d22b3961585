/**
 * Memory of a guest's that its backend may read and write: pages that requests borrow one by one, and buffers that a guest keeps for data
 * that shall not be copied. Granted once and used again, the page used last first, so that a backend that keeps grants mapped has few of
 * them. Zeroed when it is granted: a backend sees nothing that was not meant for it. Knows no request.
 */
import type { Gntshr, SharedPages } from '../../osdep/gntshr.ts';
import { PAGE_SIZE } from '../../osdep/mapping.ts';
import { NONE } from '../core/fifo.ts';

/** Pages that requests borrow; a chain of them belongs to one request. */
export class PagePool {
  readonly refs: readonly number[];
  readonly #shared: SharedPages;
  /** Views of the pages, made once. */
  readonly #pages: readonly Uint8Array[];
  readonly #words: readonly DataView[];
  readonly #free: Int32Array;
  readonly #next: Int32Array;
  #freeCount: number;

  /** Throws OsError. */
  constructor(gntshr: Gntshr, domid: number, count: number) {
    this.#shared = gntshr.sharePages(domid, count, 'rw');
    this.refs = this.#shared.refs;
    this.#pages = this.refs.map((_, index) => this.#shared.page(index));
    this.#words = this.#pages.map(({ buffer, byteOffset }) => new DataView(buffer, byteOffset, PAGE_SIZE));
    this.#free = Int32Array.from({ length: count }, (_, i) => count - 1 - i);
    this.#next = new Int32Array(count).fill(NONE);
    this.#freeCount = count;
  }

  /** Pages that nobody has. */
  get room(): number {
    return this.#freeCount;
  }

  page(index: number): Uint8Array {
    return this.#pages[index]!;
  }

  words(index: number): DataView {
    return this.#words[index]!;
  }

  /** The page behind this one in its chain; NONE. */
  after(page: number): number {
    return this.#next[page]!;
  }

  /** A page in front of a chain; there must be one free. */
  take(chain: number): number {
    const page = this.#free[--this.#freeCount]!;
    this.#next[page] = chain;
    return page;
  }

  /** The whole chain. */
  give(chain: number): void {
    for (let page = chain; page !== NONE; page = this.#next[page]!) this.#free[this.#freeCount++] = page;
  }

  release(): void {
    this.#shared.unmap();
  }
}

/** Buffers for data that goes without a copy. */
export class Buffers {
  readonly #areas: SharedPages[] = [];

  /** Zeroed, whole pages. Throws OsError. */
  allocate(gntshr: Gntshr, domid: number, bytes: number): Uint8Array {
    const area = gntshr.sharePages(domid, Math.ceil(bytes / PAGE_SIZE), 'rw');
    this.#areas.push(area);
    return area.bytes.subarray(0, bytes);
  }

  /** The area that some bytes are part of, at a page's start; undefined: other memory. */
  areaOf({ buffer, byteOffset }: Uint8Array): SharedPages | undefined {
    for (let i = 0; i < this.#areas.length; i++) {
      const { bytes } = this.#areas[i]!;
      const at = byteOffset - bytes.byteOffset;
      if (bytes.buffer === buffer && at >= 0 && at < bytes.length && at % PAGE_SIZE === 0)
        return this.#areas[i];
    }
    return undefined;
  }

  release(): void {
    for (const area of this.#areas.splice(0)) area.unmap();
  }
}
