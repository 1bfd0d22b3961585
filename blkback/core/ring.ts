/**
 * One ring as a disk sees it: its requests that are not answered, in the order in which they stand in it, for whoever answers in that
 * order; and how many events it may cost. Knows neither indices nor pages of the ring.
 */
import { NONE } from './fifo.ts';

export class RingOrder {
  /** Most requests taken and not answered. */
  readonly limit: number;
  readonly #requests: Int32Array;
  readonly #eventCredit: number;
  #head = 0;
  #count = 0;
  #credit: number;
  /** Responses have been told since the last publishing. */
  dirty = false;
  /** Its port stays shut until the next tick. */
  shut = false;

  constructor(limit: number, eventCredit: number) {
    this.limit = limit;
    this.#requests = new Int32Array(limit);
    this.#eventCredit = eventCredit;
    this.#credit = eventCredit;
  }

  get count(): number {
    return this.#count;
  }

  push(request: number): void {
    this.#requests[(this.#head + this.#count++) % this.limit] = request;
  }

  /** The oldest that is not answered; NONE. */
  get first(): number {
    return this.#count === 0 ? NONE : this.#requests[this.#head]!;
  }

  shift(): void {
    this.#head = (this.#head + 1) % this.limit;
    this.#count--;
  }

  /** One of them is answered, whichever; from then on nobody asks which is the first. */
  drop(): void {
    this.#count--;
  }

  /** An event came, with or without requests. False: that was one too many without; it has none until `refill`. */
  event(useful: boolean): boolean {
    this.#credit = useful ? Math.min(this.#credit + 1, this.#eventCredit) : this.#credit - 1;
    this.shut = this.#credit <= 0;
    return !this.shut;
  }

  /** True: it was shut. */
  refill(): boolean {
    const wasShut = this.shut;
    this.#credit = this.#eventCredit;
    this.shut = false;
    return wasShut;
  }
}
