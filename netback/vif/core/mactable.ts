/**
 * Which Ethernet address is behind which port: a hash table that costs the same whatever is in it. A port's own addresses are fixed; others
 * are learned, up to a limit for each port, where the newest takes the place of the port's own oldest: who invents addresses forgets
 * his own. The place of an address depends on a seed, so that nobody can choose addresses that share one. Time is an argument.
 */
import { NONE } from './packets.ts';

/** Capacities are powers of two. */
const FIRST_CAPACITY = 256;
/** An address seen again so soon keeps its rank: most packets write nothing. */
const RANK_MS = 1000;

interface PortAddresses {
  readonly limit: number;
  /** Learned ones, by when they were seen. */
  oldest: number;
  newest: number;
  count: number;
  fixed: number;
}

export class MacTable {
  readonly #seed: number;
  readonly #ageMs: number;
  readonly #ports = new Map<number, PortAddresses>();
  #high: Uint16Array = new Uint16Array(FIRST_CAPACITY);
  #low: Uint32Array = new Uint32Array(FIRST_CAPACITY);
  #port: Int32Array = new Int32Array(FIRST_CAPACITY);
  #seen: Float64Array = new Float64Array(FIRST_CAPACITY);
  #fixed: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  /** Chain of the hash, or of what is free. */
  #next: Int32Array = new Int32Array(FIRST_CAPACITY);
  /** Neighbours in rank. */
  #older: Int32Array = new Int32Array(FIRST_CAPACITY);
  #newer: Int32Array = new Int32Array(FIRST_CAPACITY);
  #buckets: Int32Array = new Int32Array(FIRST_CAPACITY).fill(NONE);
  #free: number = NONE;
  #used = 0;
  size = 0;

  /** @param seed any 32 bits that guests don't know */
  constructor(seed: number, ageMs: number) {
    this.#seed = seed;
    this.#ageMs = ageMs;
  }

  /** Addresses that there is memory for. */
  get capacity(): number {
    return this.#low.length;
  }

  /** @param limit addresses that are learned at most */
  addPort(port: number, limit: number): void {
    this.#ports.set(port, { limit, oldest: NONE, newest: NONE, count: 0, fixed: NONE });
  }

  /** Forgets a port and its addresses. */
  removePort(port: number): void {
    const addresses = this.#ports.get(port)!;
    while (addresses.oldest !== NONE) this.#forget(addresses.oldest);
    if (addresses.fixed !== NONE) this.#forget(addresses.fixed);
    this.#ports.delete(port);
  }

  /** The port's own address. Whoever had it has it no longer. */
  fix(port: number, mac: Uint8Array, at: number): void {
    const known = this.#find(mac, at);
    if (known !== NONE) this.#forget(known);
    const entry = this.#add(port, mac, at);
    this.#fixed[entry] = 1;
    this.#ports.get(port)!.fixed = entry;
  }

  /** A packet from this address came in by this port. False: the address is another port's own. */
  learn(port: number, mac: Uint8Array, at: number, now: number): boolean {
    const entry = this.#find(mac, at);
    if (entry !== NONE) {
      if (this.#fixed[entry] === 1) return this.#port[entry] === port;
      if (this.#port[entry] === port) {
        if (now - this.#seen[entry]! >= RANK_MS) {
          this.#unrank(entry);
          this.#rank(entry, now);
        }
        return true;
      }
      this.#forget(entry);
    }
    const addresses = this.#ports.get(port)!;
    if (addresses.limit === 0) return true;
    if (addresses.count === addresses.limit) this.#forget(addresses.oldest);
    this.#rank(this.#add(port, mac, at), now);
    return true;
  }

  /** The port's own address and no other. */
  isOwn(port: number, mac: Uint8Array, at: number): boolean {
    const entry = this.#find(mac, at);
    return entry !== NONE && this.#fixed[entry] === 1 && this.#port[entry] === port;
  }

  /** NONE: nobody knows. */
  portOf(mac: Uint8Array, at: number, now: number): number {
    const entry = this.#find(mac, at);
    if (entry === NONE) return NONE;
    if (this.#fixed[entry] === 0 && now - this.#seen[entry]! >= this.#ageMs) {
      this.#forget(entry);
      return NONE;
    }
    return this.#port[entry]!;
  }

  #find(mac: Uint8Array, at: number): number {
    const high = highOf(mac, at);
    const low = lowOf(mac, at);
    let entry = this.#buckets[this.#bucket(high, low)]!;
    while (entry !== NONE && (this.#low[entry] !== low || this.#high[entry] !== high))
      entry = this.#next[entry]!;
    return entry;
  }

  #bucket(high: number, low: number): number {
    let hash = Math.imul(low ^ this.#seed, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13) ^ high, 0xc2b2ae35);
    hash = Math.imul(hash ^ (hash >>> 16) ^ this.#seed, 0x27d4eb2f);
    return (hash ^ (hash >>> 15)) & (this.#buckets.length - 1);
  }

  #add(port: number, mac: Uint8Array, at: number): number {
    const entry = this.#takeEntry();
    this.#high[entry] = highOf(mac, at);
    this.#low[entry] = lowOf(mac, at);
    this.#port[entry] = port;
    this.#fixed[entry] = 0;
    this.#chain(entry);
    this.size++;
    return entry;
  }

  #chain(entry: number): void {
    const bucket = this.#bucket(this.#high[entry]!, this.#low[entry]!);
    this.#next[entry] = this.#buckets[bucket]!;
    this.#buckets[bucket] = entry;
  }

  #takeEntry(): number {
    if (this.#free !== NONE) {
      const entry = this.#free;
      this.#free = this.#next[entry]!;
      return entry;
    }
    if (this.#used === this.#low.length) this.#grow();
    return this.#used++;
  }

  #forget(entry: number): void {
    if (this.#fixed[entry] === 1) this.#ports.get(this.#port[entry]!)!.fixed = NONE;
    else this.#unrank(entry);
    const bucket = this.#bucket(this.#high[entry]!, this.#low[entry]!);
    if (this.#buckets[bucket] === entry) this.#buckets[bucket] = this.#next[entry]!;
    else {
      let before = this.#buckets[bucket]!;
      while (this.#next[before] !== entry) before = this.#next[before]!;
      this.#next[before] = this.#next[entry]!;
    }
    this.#next[entry] = this.#free;
    this.#free = entry;
    this.size--;
  }

  #rank(entry: number, now: number): void {
    const addresses = this.#ports.get(this.#port[entry]!)!;
    this.#seen[entry] = now;
    this.#older[entry] = addresses.newest;
    this.#newer[entry] = NONE;
    if (addresses.newest === NONE) addresses.oldest = entry;
    else this.#newer[addresses.newest] = entry;
    addresses.newest = entry;
    addresses.count++;
  }

  #unrank(entry: number): void {
    const addresses = this.#ports.get(this.#port[entry]!)!;
    const older = this.#older[entry]!;
    const newer = this.#newer[entry]!;
    if (older === NONE) addresses.oldest = newer;
    else this.#newer[older] = newer;
    if (newer === NONE) addresses.newest = older;
    else this.#older[newer] = older;
    addresses.count--;
  }

  /** Twice the room; all ports' limits bound it. Every entry is in use then. */
  #grow(): void {
    const size = this.#low.length * 2;
    this.#high = copyOf(new Uint16Array(size), this.#high);
    this.#low = copyOf(new Uint32Array(size), this.#low);
    this.#port = copyOf(new Int32Array(size), this.#port);
    this.#seen = copyOf(new Float64Array(size), this.#seen);
    this.#fixed = copyOf(new Uint8Array(size), this.#fixed);
    this.#next = copyOf(new Int32Array(size), this.#next);
    this.#older = copyOf(new Int32Array(size), this.#older);
    this.#newer = copyOf(new Int32Array(size), this.#newer);
    this.#buckets = new Int32Array(size).fill(NONE);
    for (let entry = 0; entry < this.#used; entry++) this.#chain(entry);
  }
}

function copyOf<T extends { set(from: T): void }>(to: T, from: T): T {
  to.set(from);
  return to;
}

function highOf(mac: Uint8Array, at: number): number {
  return (mac[at]! << 8) | mac[at + 1]!;
}

function lowOf(mac: Uint8Array, at: number): number {
  return ((mac[at + 2]! << 24) | (mac[at + 3]! << 16) | (mac[at + 4]! << 8) | mac[at + 5]!) >>> 0;
}
