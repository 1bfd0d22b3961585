/**
 * Persistent grants: pages of the guest that stay mapped because he uses them again and again. Bounded as Linux bounds it: so
 * many for each ring, and what has not been used for a minute goes, a few at a time. A grant that finds no place is copied
 * instead of pushing out another. Maps nothing itself; every entry leaves through `expire` or `all` and is unmapped then (advisories 365, 371).
 */
import { NONE } from './fifo.ts';

const State = { FREE: 0, MAPPING: 1, MAPPED: 2, FAILED: 3 } as const;

/** Ticks without use after which a mapping goes. */
const IDLE_TICKS = 60;
/** How many of all places may be emptied in one tick: one in twenty. */
const EXPIRY_SHARE = 20;

export class GrantCache {
  readonly #places: Map<number, number> = new Map();
  readonly #gref: Uint32Array;
  readonly #state: Uint8Array;
  readonly #users: Uint32Array;
  readonly #used: Uint32Array;
  readonly #free: Int32Array;
  #freeCount: number;
  #now = 0;

  constructor(capacity: number) {
    this.#gref = new Uint32Array(capacity);
    this.#state = new Uint8Array(capacity);
    this.#users = new Uint32Array(capacity);
    this.#used = new Uint32Array(capacity);
    this.#free = Int32Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
    this.#freeCount = capacity;
  }

  /** Mappings, also those that are being made. */
  get size(): number {
    return this.#gref.length - this.#freeCount;
  }

  grefOf(place: number): number {
    return this.#gref[place]!;
  }

  /** The place of a grant that has one, now with one more user. NONE: it has none. */
  use(gref: number): number {
    const place = this.#places.get(gref) ?? NONE;
    if (place !== NONE) this.#users[place]! += 1;
    return place;
  }

  /** A new place with its first user, to be mapped. NONE: there is none left. */
  claim(gref: number): number {
    if (this.#freeCount === 0) return NONE;
    const place = this.#free[--this.#freeCount]!;
    this.#gref[place] = gref;
    this.#state[place] = State.MAPPING;
    this.#users[place] = 1;
    this.#places.set(gref, place);
    return place;
  }

  /** What became of mapping it. */
  mapped(place: number, ok: boolean): void {
    if (this.#state[place] !== State.MAPPING) throw new Error(`place ${place} was not being mapped`);
    this.#state[place] = ok ? State.MAPPED : State.FAILED;
    if (this.#users[place] === 0 && !ok) this.#drop(place);
  }

  isMapped(place: number): boolean {
    return this.#state[place] === State.MAPPED;
  }

  /** One user less. */
  release(place: number): void {
    this.#used[place] = this.#now;
    this.#users[place]! -= 1;
    if (this.#users[place] === 0 && this.#state[place] === State.FAILED) this.#drop(place);
  }

  /** Time goes on by one tick: tells the places to unmap, which are free from now on. */
  expire(unmap: (place: number) => void): void {
    this.#now++;
    let left = Math.ceil(this.#gref.length / EXPIRY_SHARE);
    for (let place = 0; place < this.#gref.length && left > 0; place++) {
      const idle = this.#state[place] === State.MAPPED && this.#users[place] === 0;
      if (!idle || this.#now - this.#used[place]! < IDLE_TICKS) continue;
      unmap(place);
      this.#drop(place);
      left--;
    }
  }

  /** The end: tells all places to unmap, used or not. */
  all(unmap: (place: number) => void): void {
    for (let place = 0; place < this.#gref.length; place++) {
      if (this.#state[place] !== State.MAPPED) continue;
      unmap(place);
      this.#drop(place);
    }
  }

  #drop(place: number): void {
    this.#places.delete(this.#gref[place]!);
    this.#state[place] = State.FREE;
    this.#free[this.#freeCount++] = place;
  }
}
