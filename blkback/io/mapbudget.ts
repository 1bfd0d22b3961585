/**
 * How many pages of guests' a process may keep mapped: each is a mapping of its own, and Linux gives a process so many (vm.max_map_count). Disks reserve
 * theirs as they connect; who comes when all are given away has its data copied. Maps nothing itself.
 */
import { readFileSync } from 'node:fs';

/** What a process needs for itself: libraries, heaps, rings. */
const OWN_SHARE = 1 / 4;
/** Linux's default. */
const USUAL = 65_530;

export class MapBudget {
  #left: number;

  constructor(mappings: number = allowed()) {
    this.#left = Math.floor(mappings * (1 - OWN_SHARE));
  }

  /** As many as are wanted, or as are left; to be given back. */
  reserve(wanted: number): number {
    const given = Math.min(wanted, this.#left);
    this.#left -= given;
    return given;
  }

  giveBack(count: number): void {
    this.#left += count;
  }
}

function allowed(): number {
  try {
    return Number(readFileSync('/proc/sys/vm/max_map_count', 'latin1')) || USUAL;
  } catch {
    return USUAL;
  }
}
