/** Mapped areas of the simulator: bytes from the machine, and the world's name for them to unmap by. */
import { OsError } from '../errno.ts';
import { type Mapping, PAGE_SIZE } from '../mapping.ts';
import type { Area, Machine } from './machine.ts';

const NOTHING = new Uint8Array(0);

export class SimMapping implements Mapping {
  readonly pages: number;
  readonly writable: boolean;
  readonly #machine: Machine;
  readonly #map: number;
  #area: Area | undefined;

  constructor(machine: Machine, map: number, area: Area, pages: number, writable: boolean) {
    this.#machine = machine;
    this.#map = map;
    this.#area = area;
    this.pages = pages;
    this.writable = writable;
  }

  get bytes(): Uint8Array {
    return this.#area?.bytes ?? NOTHING;
  }

  page(index: number): Uint8Array {
    const area = this.#area;
    if (area === undefined) {
      return NOTHING;
    }
    return area.page?.(index) ?? area.bytes.subarray(index * PAGE_SIZE, (index + 1) * PAGE_SIZE);
  }

  unmap(): void {
    const area = this.#area;
    if (area === undefined) {
      return;
    }
    this.#area = undefined;
    area.release();
    try {
      this.#machine.call('unmap', { map: this.#map });
    } catch (error) {
      // The domain has ended meanwhile, and its mappings with it.
      if (!(error instanceof OsError)) {
        throw error;
      }
    }
  }

  get mapped(): boolean {
    return this.#area !== undefined;
  }
}
