/**
 * Who may begin to log in: OpenSSH's MaxStartups, a limit for each address and one on how many begin in a second. When it gets crowded, who has
 * waited longest makes room rather than who comes: who has a key is in within a second, who only holds a place is not. Knows no socket.
 */
import type { Limits } from './limits.ts';

/** One that has connected and not logged in; made by whoever calls. */
export interface Startup {
  readonly address: string;
  readonly sinceMs: number;
}

export type Admitted<S> =
  | { readonly admit: true /** Who makes room. */; readonly evict: S | undefined }
  | { readonly admit: false };

/** Who has waited as long has had its chance. */
const CHANCE_MS = 1000;

export class Admission<S extends Startup> {
  readonly #limits: Limits;
  /** In the order in which they came. */
  readonly #startups = new Set<S>();
  #inside = 0;
  #tokens: number;
  #filledMs = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#tokens = limits.newAtOnce;
  }

  /** `chance`: from 0 to 1. Who is admitted is counted until `leave`. */
  arrive(one: S, chance: number): Admitted<S> {
    const { startups, perAddress, connections, newPerSecond, newAtOnce } = this.#limits;
    const now = one.sinceMs;
    this.#tokens = Math.min(newAtOnce, this.#tokens + ((now - this.#filledMs) / 1000) * newPerSecond);
    this.#filledMs = now;
    if (this.#tokens < 1) return { admit: false };
    this.#tokens -= 1;

    const neighbours = [...this.#startups].filter(({ address }) => address === one.address);
    const crowd =
      neighbours.length >= perAddress
        ? neighbours
        : this.#startups.size + this.#inside >= connections || this.#unlucky(chance)
          ? [...this.#startups]
          : [];
    const oldest = crowd[0];
    if (crowd.length > 0 || this.#inside >= connections) {
      if (oldest === undefined || now - oldest.sinceMs < CHANCE_MS) return { admit: false };
      this.#startups.delete(oldest);
    }
    // Beyond `full` there is no chance: somebody has to go for each that comes.
    if (this.#startups.size >= startups.full) return { admit: false };
    this.#startups.add(one);
    return { admit: true, evict: oldest };
  }

  /** It has logged in. */
  enter(one: S): void {
    if (this.#startups.delete(one)) this.#inside++;
  }

  /** Its connection is closed; `entered`: it had logged in. */
  leave(one: S, entered: boolean): void {
    if (entered) this.#inside--;
    else this.#startups.delete(one);
  }

  get waiting(): number {
    return this.#startups.size;
  }

  #unlucky(chance: number): boolean {
    const { begin, full, rate } = this.#limits.startups;
    const waiting = this.#startups.size;
    if (waiting < begin) return false;
    return chance < rate + ((1 - rate) * (waiting - begin)) / Math.max(1, full - begin);
  }
}
