/**
 * What a guest's data rings may cost: pages that are mapped, the order of a ring, and bytes in each direction and second, over all its devices, as its
 * `Account` says at the moment. Who has used up his bytes is told when there are some again. Knows no ring.
 */
import type { Clock } from '../../../osdep/clock.ts';
import type { Account } from '../core/account.ts';
import type { PageBudget } from './dataring.ts';

/** How often there are bytes again, and of how many such parts of a second nothing is lost that was not used. */
const REFILL_MS = 20;
const SAVED_MS = 100;

class Meter {
  readonly #clock: Clock;
  readonly #account: Account;
  /** Below 0: more was moved than there was. */
  #left = 0;
  #filledMs: number;
  readonly #waiters = new Set<() => void>();

  constructor(clock: Clock, account: Account) {
    this.#clock = clock;
    this.#account = account;
    this.#filledMs = clock.now();
  }

  may(bytes: number, again: () => void): number {
    const { bytesPerSecond } = this.#account.limits;
    if (bytesPerSecond === 0) return bytes;
    const now = this.#clock.now();
    const most = Math.max(1, (bytesPerSecond * SAVED_MS) / 1000);
    this.#left = Math.min(most, this.#left + ((now - this.#filledMs) * bytesPerSecond) / 1000);
    this.#filledMs = now;
    if (this.#left >= 1) return Math.min(bytes, Math.floor(this.#left));
    if (this.#waiters.size === 0) this.#clock.after(REFILL_MS, () => this.#tell());
    this.#waiters.add(again);
    return 0;
  }

  moved(bytes: number): void {
    if (this.#account.limits.bytesPerSecond !== 0) this.#left -= bytes;
  }

  #tell(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const again of waiters) again();
  }
}

export class Allowance implements PageBudget {
  readonly #account: Account;
  readonly #in: Meter;
  readonly #out: Meter;

  constructor(account: Account, clock: Clock) {
    this.#account = account;
    this.#in = new Meter(clock, account);
    this.#out = new Meter(clock, account);
  }

  get ringOrder(): number {
    return this.#account.limits.ringOrder;
  }

  take(pages: number): boolean {
    return this.#account.take('pages', pages);
  }

  giveBack(pages: number): void {
    this.#account.give('pages', pages);
  }

  /** How many of so many bytes may be moved now. If it is none, `again` is called when there are some. */
  may(direction: 'in' | 'out', bytes: number, again: () => void): number {
    return (direction === 'in' ? this.#in : this.#out).may(bytes, again);
  }

  moved(direction: 'in' | 'out', bytes: number): void {
    (direction === 'in' ? this.#in : this.#out).moved(bytes);
  }
}
