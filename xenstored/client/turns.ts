/**
 * Fair turns for many devices over one store: each that has something to do waits once in one queue, a few have their turn at a time, and
 * whoever fails rests before it tries again, alone. Knows nothing of what is done in a turn.
 */
import type { Clock } from '../../osdep/clock.ts';

export interface Taker {
  /** One thing, to its end. Never called again before it has settled; a rejection means: again, after a rest. */
  turn(): Promise<void>;
  /** Told the first time of each series of failures. */
  failed(error: unknown): void;
}

export interface TurnsOptions {
  readonly clock: Pick<Clock, 'after'>;
  /** Turns at a time. */
  readonly limit: number;
}

const FIRST_REST_MS = 10;
const LONGEST_REST_MS = 1_000;

export class Turns {
  readonly #options: TurnsOptions;
  readonly #waiting = new Set<Taker>();
  readonly #running = new Set<Taker>();
  /** Asked for again during its turn. */
  readonly #again = new Set<Taker>();
  /** How to end each rest. */
  readonly #resting = new Map<Taker, () => void>();
  /** The next rest of those whose last turn failed. */
  readonly #restMs = new WeakMap<Taker, number>();
  #stopped = false;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** A turn as soon as there is one, however often it is asked for. Whoever rests goes on resting. */
  soon(taker: Taker): void {
    if (this.#stopped || this.#resting.has(taker)) return;
    if (this.#running.has(taker)) this.#again.add(taker);
    else this.#waiting.add(taker);
    this.#go();
  }

  /** No further turns; those under way end by themselves. */
  stop(): void {
    this.#stopped = true;
    this.#waiting.clear();
    for (const cancel of this.#resting.values()) cancel();
    this.#resting.clear();
  }

  #go(): void {
    for (const taker of this.#waiting) {
      if (this.#running.size >= this.#options.limit) return;
      this.#waiting.delete(taker);
      this.#running.add(taker);
      queueMicrotask(() => void this.#turn(taker));
    }
  }

  async #turn(taker: Taker): Promise<void> {
    try {
      await taker.turn();
      this.#restMs.delete(taker);
    } catch (error) {
      if (!this.#stopped) this.#rest(taker, error);
    }
    this.#running.delete(taker);
    if (this.#again.delete(taker)) this.soon(taker);
    else this.#go();
  }

  #rest(taker: Taker, error: unknown): void {
    const restMs = this.#restMs.get(taker) ?? FIRST_REST_MS;
    if (restMs === FIRST_REST_MS) taker.failed(error);
    this.#restMs.set(taker, Math.min(2 * restMs, LONGEST_REST_MS));
    const cancel = this.#options.clock.after(restMs, () => {
      this.#resting.delete(taker);
      this.soon(taker);
    });
    this.#resting.set(taker, cancel);
  }
}
