/**
 * Pages of the backend's own memory, through which data goes that is copied: who has which, by number. Pages taken one after the other
 * are neighbours if that is possible, so that a transfer has few vectors. Has no memory itself.
 */
export class PagePool {
  readonly #used: Uint8Array;
  #next = 0;
  free: number;

  constructor(pages: number) {
    this.#used = new Uint8Array(pages);
    this.free = pages;
  }

  /** There must be one. */
  take(): number {
    const { length } = this.#used;
    while (this.#used[this.#next] !== 0) this.#next = this.#next + 1 === length ? 0 : this.#next + 1;
    this.#used[this.#next] = 1;
    this.free--;
    return this.#next;
  }

  give(page: number): void {
    this.#used[page] = 0;
    this.free++;
    // With nothing taken, start over: the same few pages stay warm.
    if (this.free === this.#used.length) this.#next = 0;
  }
}
