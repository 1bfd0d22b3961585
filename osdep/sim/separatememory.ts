/**
 * Memory of a world within one process as it is across processes: each mapping has addresses of its own, and whoever loses it has lost the
 * page, though he keep a view. For tests in which a program is killed and its code goes on. Knows nothing of who may map what.
 */
import { PAGE_SIZE } from '../mapping.ts';
import { mapPieces } from '../os/mmap.ts';
import { Extents } from './extents.ts';
import type { Area } from './machine.ts';
import type { MappedMemory } from './world/requests.ts';

export class SeparateMemory extends Extents {
  #count = 0;

  constructor() {
    super(Number.POSITIVE_INFINITY);
  }

  override allocate(extent: number, pages: number): boolean {
    const done = super.allocate(extent, pages);
    if (done) this.#count += 1;
    return done;
  }

  override free(extent: number): void {
    this.#count -= 1;
    super.free(extent);
  }

  /** Scattered pages lie side by side in it. Read-only ones can be written to: that would end the process. */
  area({ runs }: MappedMemory): Area {
    const pieces = runs.map(({ extent, page, pages }) => ({
      fd: extent === 0 ? undefined : this.descriptor(extent, 'rw'),
      offset: page * PAGE_SIZE,
      length: pages * PAGE_SIZE,
    }));
    const area = mapPieces(pieces, 'rw');
    return {
      get bytes() {
        return area.bytes;
      },
      release: () => area.unmap(),
    };
  }

  /** How many extents are in use. */
  get size(): number {
    return this.#count;
  }
}
