/**
 * How many events a guest may cost us: one that brings nothing takes from a credit, one that brings something gives back. When it is
 * used up, the port stays shut until the next tick (XSA-332: storms of events).
 */
export class EventCredit {
  readonly #most: number;
  #left: number;
  /** Do not let the port bring events again before the next tick. */
  shut = false;

  constructor(most: number) {
    this.#most = most;
    this.#left = most;
  }

  /** An event came. False: that was one too many. */
  event(useful: boolean): boolean {
    this.#left = useful ? Math.min(this.#left + 1, this.#most) : this.#left - 1;
    this.shut = this.#left <= 0;
    return !this.shut;
  }

  /** To be called now and then. True: the port was shut, and may bring events again. */
  refill(): boolean {
    const wasShut = this.shut;
    this.#left = this.#most;
    this.shut = false;
    return wasShut;
  }
}
