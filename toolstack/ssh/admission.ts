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

  /** `chance`: at least 0, less than 1. Who is admitted is counted until `leave`. */
  arrive(one: S, chance: number): Admitted<S> {
    if (!this.#takeToken(one.sinceMs) || this.#inside >= this.#limits.connections) return { admit: false };
    const [oldest] = this.#crowd(one.address, chance);
    if (oldest !== undefined) {
      if (one.sinceMs - oldest.sinceMs < CHANCE_MS) return { admit: false };
      this.#startups.delete(oldest);
    }
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

  #takeToken(nowMs: number): boolean {
    const { newPerSecond, newAtOnce } = this.#limits;
    const fresh = ((nowMs - this.#filledMs) / 1000) * newPerSecond;
    this.#tokens = Math.min(newAtOnce, this.#tokens + fresh);
    this.#filledMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Those of whom one has to go, the oldest first; none: there is room. */
  #crowd(address: string, chance: number): S[] {
    const { perAddress, connections } = this.#limits;
    const all = [...this.#startups];
    const neighbours = all.filter((one) => one.address === address);
    if (neighbours.length >= perAddress) return neighbours;
    return all.length + this.#inside >= connections || this.#unlucky(chance) ? all : [];
  }

  #unlucky(chance: number): boolean {
    const { begin, full, rate } = this.#limits.startups;
    const waiting = this.#startups.size;
    return waiting >= begin && chance < rate + ((1 - rate) * (waiting - begin)) / (full - begin);
  }
}
