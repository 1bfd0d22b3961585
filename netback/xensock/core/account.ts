/**
 * What one guest holds of us, over all its devices, against what its policy allows: sockets, listening sockets, pages mapped, connections begun in
 * a second. Taken before and given back after; knows nothing of what is held.
 */

export interface Limits {
  readonly sockets: number;
  readonly listening: number;
  /** Of rings: index pages and data pages. */
  readonly pages: number;
  /** Of one data ring, as a power of two. */
  readonly ringOrder: number;
  /** The longest that a guest may ask for. */
  readonly backlog: number;
  /** 0: as many as it likes. */
  readonly connectsPerSecond: number;
  /** In each direction, 0: as many as it likes. */
  readonly bytesPerSecond: number;
}

type Held = 'sockets' | 'listening' | 'pages';

export class Account {
  /** May change at any time; what is held already stays. */
  limits: Limits;
  readonly held: Record<Held, number> = { sockets: 0, listening: 0, pages: 0 };
  #connects = 0;
  #second = Number.NEGATIVE_INFINITY;

  constructor(limits: Limits) {
    this.limits = limits;
  }

  /** False: that would be too many, and nothing is taken. */
  take(what: Held, count = 1): boolean {
    if (this.held[what] + count > this.limits[what]) return false;
    this.held[what] += count;
    return true;
  }

  give(what: Held, count = 1): void {
    this.held[what] -= count;
  }

  /** One more connection begun by the guest. False: too many in this second. */
  connect(nowMs: number): boolean {
    const { connectsPerSecond } = this.limits;
    if (nowMs - this.#second >= 1000) {
      this.#second = nowMs;
      this.#connects = 0;
    }
    return ++this.#connects <= connectsPerSecond || connectsPerSecond === 0;
  }
}
