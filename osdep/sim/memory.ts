/** Memory of a world within one process: an ArrayBuffer for each extent. Knows nothing of frames or domains. */
import { Errno, OsError } from '../errno.ts';
import { PAGE_SIZE } from '../mapping.ts';
import { copyBytes } from './copybytes.ts';
import type { Area } from './machine.ts';
import type { Memory } from './world/effects.ts';
import type { MappedMemory } from './world/requests.ts';

interface Extent {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly halves: Uint16Array;
}

export class LocalMemory implements Memory {
  readonly #extents = new Map<number, Extent>();

  allocate(extent: number, pages: number): boolean {
    const buffer = new ArrayBuffer(pages * PAGE_SIZE);
    this.#extents.set(extent, {
      bytes: new Uint8Array(buffer),
      words: new Int32Array(buffer),
      halves: new Uint16Array(buffer),
    });
    return true;
  }

  free(extent: number): void {
    this.#extents.delete(extent);
  }

  read(extent: number, offset: number, length: number): Uint8Array {
    return this.#at(extent).bytes.slice(offset, offset + length);
  }

  write(extent: number, offset: number, bytes: Uint8Array): void {
    this.#at(extent).bytes.set(bytes, offset);
  }

  copy(source: number, sourceOffset: number, dest: number, destOffset: number, length: number): void {
    copyBytes(this.#at(source), sourceOffset, this.#at(dest), destOffset, length);
  }

  load32(extent: number, offset: number): number {
    return Atomics.load(this.#at(extent).words, offset >> 2) >>> 0;
  }

  compareExchange32(extent: number, offset: number, expected: number, replacement: number): number {
    const { words } = this.#at(extent);
    return Atomics.compareExchange(words, offset >> 2, expected | 0, replacement | 0) >>> 0;
  }

  and16(extent: number, offset: number, mask: number): void {
    Atomics.and(this.#at(extent).halves, offset >> 1, mask);
  }

  /** The pages themselves. Scattered ones have no common view (EOPNOTSUPP). */
  area({ runs }: MappedMemory): Area {
    const views = runs.map(({ extent, page, pages }) =>
      extent === 0
        ? new Uint8Array(pages * PAGE_SIZE)
        : new Uint8Array(this.#at(extent).bytes.buffer, page * PAGE_SIZE, pages * PAGE_SIZE),
    );
    const pages = views.flatMap((view) =>
      Array.from({ length: view.length / PAGE_SIZE }, (_, index) =>
        view.subarray(index * PAGE_SIZE, (index + 1) * PAGE_SIZE),
      ),
    );
    return {
      get bytes(): Uint8Array {
        const [whole] = views;
        if (whole === undefined || views.length > 1) {
          throw new OsError(Errno.EOPNOTSUPP, 'one view of scattered frames');
        }
        return whole;
      },
      page: (index) => pages[index] ?? new Uint8Array(0),
      release: () => {},
    };
  }

  /** How many extents are in use. */
  get size(): number {
    return this.#extents.size;
  }

  #at(extent: number): Extent {
    const found = this.#extents.get(extent);
    if (found === undefined) {
      throw new Error(`extent ${extent} is not there`);
    }
    return found;
  }
}
