/**
 * How many sockets of the machine all guests together may have: what the process may open, but for some of its own. A guest who finds none left
 * gets an error number; whatever else the process does, it can still open a file. Knows no guest.
 */

/** For files, links to the store, mappings on their way. */
const RESERVED = 128;

export class Descriptors {
  #left: number;

  /** `limit`: what the process may open. */
  constructor(limit: number) {
    this.#left = Math.max(limit - RESERVED, 0);
  }

  /** False: there are none left. */
  take(): boolean {
    if (this.#left === 0) return false;
    this.#left -= 1;
    return true;
  }

  giveBack(): void {
    this.#left += 1;
  }
}
