/**
 * How much a guest may send: so many bytes in each period (the store's `rate`, as Linux's netback reads it), or so many packets a second
 * to everybody. What is not used is saved up to a limit. Time is an argument, in milliseconds of any steady clock.
 */

/** Linux's: a packet of any size must fit, whatever the rate. */
const BURST_MIN_BYTES = 131072;

export class Credit {
  readonly #perPeriod: number;
  readonly #periodMs: number;
  readonly #burst: number;
  #left: number;
  #periodStart: number;

  constructor(perPeriod: number, periodMs: number, burst: number, now: number) {
    this.#perPeriod = perPeriod;
    this.#periodMs = periodMs;
    this.#burst = burst;
    this.#left = burst;
    this.#periodStart = now;
  }

  /** Bytes per so many microseconds. */
  static ofRate(bytes: number, microseconds: number, now: number): Credit {
    return new Credit(bytes, microseconds / 1000, Math.max(BURST_MIN_BYTES, bytes), now);
  }

  /** Takes an amount if it is there. False: nothing was taken. */
  spend(amount: number, now: number): boolean {
    if (amount > this.#left) this.#refill(now);
    if (amount > this.#left) return false;
    this.#left -= amount;
    return true;
  }

  /** When there will be more. */
  get nextMs(): number {
    return this.#periodStart + this.#periodMs;
  }

  #refill(now: number): void {
    const periods = Math.floor((now - this.#periodStart) / this.#periodMs);
    if (periods <= 0) return;
    this.#left = Math.min(this.#burst, this.#left + periods * this.#perPeriod);
    this.#periodStart += periods * this.#periodMs;
  }
}
