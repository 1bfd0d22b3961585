/**
 * Who has which address on a network: what was learned stays for a minute, and of more than 256 the oldest is forgotten. Knows no frames; addresses are
 * texts. (RFC 826; RFC 4861 calls it the neighbour cache)
 */
import type { Clock } from '../../../osdep/clock.ts';

const NEIGHBOURS_MAX = 256;
const REACHABLE_MS = 60_000;

interface Neighbour {
  readonly mac: Uint8Array;
  readonly until: number;
}

export class Neighbours {
  readonly #clock: Pick<Clock, 'now'>;
  /** The oldest first. */
  readonly #known = new Map<string, Neighbour>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#known.size;
  }

  learn(address: string, mac: Uint8Array): void {
    this.#known.delete(address);
    const [oldest] = this.#known.keys();
    if (this.#known.size === NEIGHBOURS_MAX && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(address, { mac, until: this.#clock.now() + REACHABLE_MS });
  }

  find(address: string): Uint8Array | undefined {
    const known = this.#known.get(address);
    return known !== undefined && this.#clock.now() < known.until ? known.mac : undefined;
  }

  clear(): void {
    this.#known.clear();
  }
}
