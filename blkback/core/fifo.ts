/**
 * Queues of requests as chains through one column of numbers. A request stands in one queue at a time, so queues that share a column
 * need no memory of their own.
 */

export const NONE = -1;

export class Fifo {
  readonly #link: Int32Array;
  #last: number = NONE;
  /** NONE: it is empty. */
  first: number = NONE;

  constructor(link: Int32Array) {
    this.#link = link;
  }

  push(item: number): void {
    this.#link[item] = NONE;
    if (this.first === NONE) this.first = item;
    else this.#link[this.#last] = item;
    this.#last = item;
  }

  /** The first, taken off; it must be there. */
  shift(): number {
    const item = this.first;
    this.first = this.#link[item]!;
    return item;
  }

  /** Puts back what was taken off. */
  unshift(item: number): void {
    if (this.first === NONE) this.push(item);
    else {
      this.#link[item] = this.first;
      this.first = item;
    }
  }
}
