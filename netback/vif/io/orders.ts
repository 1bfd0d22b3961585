/**
 * What a guest has ordered (core/orders.ts), in memory that survives the process: two places, one of which holds what counts, so that a kill while the
 * other is written costs nothing. Knows nothing of what it says.
 */
import { Page } from '../../../osdep/ring/page.ts';
import { ORDERS_BYTES } from '../core/orders.ts';

/** Which place counts: 1 or 2; 0: nothing was ordered. */
const COUNTS = 0;
const FIRST = 64;
const PLACE_BYTES = 4096;

export class OrdersRecord {
  readonly #page: Page;
  /** To be filled before `keep`. */
  readonly orders: Uint8Array = new Uint8Array(ORDERS_BYTES);

  /** Zeroed at first. */
  constructor(bytes: Uint8Array) {
    this.#page = new Page(bytes);
  }

  keep(): void {
    const place = this.#page.load(COUNTS) === 1 ? 2 : 1;
    this.#page.bytes.set(this.orders, startOf(place));
    this.#page.store(COUNTS, place);
  }

  /** Undefined: there are none. */
  kept(): Uint8Array | undefined {
    const place = this.#page.load(COUNTS);
    if (place !== 1 && place !== 2) return undefined;
    return this.#page.bytes.slice(startOf(place), startOf(place) + ORDERS_BYTES);
  }
}

function startOf(place: 1 | 2): number {
  return FIRST + (place - 1) * PLACE_BYTES;
}
