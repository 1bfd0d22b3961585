/**
 * The groups that a guest listens to, which it amends by orders in its tx ring. Addresses are kept as they come, like Linux's: an
 * address added twice has to be deleted twice.
 */
import { ExtraType } from './netif.ts';

/** Linux's limit for each interface. */
export const MULTICAST_MAX = 64;

export class MulticastFilter {
  /** Six bytes each, the first `count`. */
  readonly addresses: Uint8Array = new Uint8Array(MULTICAST_MAX * 6);
  count = 0;

  /** Carries out an order; the address is six bytes from `at`. False: there is no room. */
  amend(order: number, bytes: Uint8Array, at: number): boolean {
    if (order === ExtraType.MCAST_ADD) {
      if (this.count === MULTICAST_MAX) return false;
      this.addresses.set(bytes.subarray(at, at + 6), this.count++ * 6);
      return true;
    }
    const index = this.#find(bytes, at);
    if (index >= 0) {
      this.count--;
      this.addresses.copyWithin(index * 6, this.count * 6, this.count * 6 + 6);
    }
    return true;
  }

  /** Six bytes each. */
  restore(addresses: Uint8Array): void {
    this.addresses.set(addresses);
    this.count = addresses.length / 6;
  }

  has(bytes: Uint8Array, at: number): boolean {
    return this.#find(bytes, at) >= 0;
  }

  #find(bytes: Uint8Array, at: number): number {
    for (let index = 0; index < this.count; index++) {
      let same = 0;
      while (same < 6 && this.addresses[index * 6 + same] === bytes[at + same]) same++;
      if (same === 6) return index;
    }
    return -1;
  }
}
