/**
 * How much memory for data that is copied each disk of a process gets: the first ones as much as they can use, the later ones a share of what is left, so
 * that many disks do not cost what one does, many times. Has no memory itself.
 */
import { vbdLimits } from '../core/limits.ts';

/** What is shared out; disks that come later have the least. */
const PAGES = 65_536;
/** Of what is left. */
const SHARE = 1 / 32;
/** A disk's own, besides what it is given. */
const OWN_PAGES = 64;

export class PoolBudget {
  readonly #least: number;
  #left = PAGES;

  /** `least`: a disk cannot do with less. */
  constructor(least: number) {
    this.#least = least;
  }

  /** Pages, to be given back. Never none: whether there is that much then is for the machine to say. */
  reserve(): number {
    const share = Math.min(vbdLimits.poolPages, Math.floor(this.#left * SHARE));
    const given = Math.max(this.#least, share);
    this.#left -= given + OWN_PAGES;
    return given;
  }

  giveBack(pages: number): void {
    this.#left += pages + OWN_PAGES;
  }
}
