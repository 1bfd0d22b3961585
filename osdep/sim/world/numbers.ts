/**
 * Numbers from a range, the lowest free one first, as event channel ports are given. Taking one and giving it back cost
 * the same however many are in use, so that nobody can make it slow. Knows nothing of what they number.
 */
export class Numbers {
  readonly #last: number;
  #fresh: number;
  /** Given back, all below `#fresh`; a binary heap, the lowest first. */
  readonly #returned: number[] = [];

  /** Both ends are part of the range. */
  constructor(first: number, last: number) {
    this.#fresh = first;
    this.#last = last;
  }

  /** From here on none was ever taken. */
  get fresh(): number {
    return this.#fresh;
  }

  /** undefined: all are taken. */
  take(): number | undefined {
    const heap = this.#returned;
    const lowest = heap[0];
    if (lowest === undefined) {
      if (this.#fresh > this.#last) {
        return undefined;
      }
      this.#fresh += 1;
      return this.#fresh - 1;
    }
    const moved = heap.pop() ?? lowest;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && (heap[child + 1] ?? 0) < (heap[child] ?? 0)) {
        child += 1;
      }
      const smaller = heap[child] ?? 0;
      if (smaller >= moved) {
        break;
      }
      heap[at] = smaller;
      at = child;
    }
    if (heap.length > 0) {
      heap[at] = moved;
    }
    return lowest;
  }

  /** One that was taken, once. */
  giveBack(number: number): void {
    const heap = this.#returned;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] ?? 0;
      if (above <= number) {
        break;
      }
      heap[at] = above;
      at = parent;
    }
    heap[at] = number;
  }
}
