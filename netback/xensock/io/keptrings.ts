/**
 * Data rings that a guest has let go of and is going to use again, as it said: they stay mapped, since to map, bind and unmap costs more than all else of
 * a short connection. A bounded number of pages; those that lie longest go first. Knows no socket.
 */
import type { DataRing } from './dataring.ts';

/** Of all that lie idle, in pages. */
const MOST_PAGES = 4096;

interface Kept {
  readonly ring: DataRing;
  readonly evtchn: number;
}

export class KeptRings {
  /** By the index page's reference, the longest kept first. */
  readonly #rings = new Map<number, Kept>();
  #pages = 0;

  /** Nobody has it from now on. */
  keep(ref: number, evtchn: number, ring: DataRing): void {
    this.#forget(ref)?.ring.close();
    ring.rest();
    this.#rings.set(ref, { ring, evtchn });
    this.#pages += ring.pages;
    for (const [oldest] of this.#rings) {
      if (this.#pages <= MOST_PAGES) return;
      this.#forget(oldest)?.ring.close();
    }
  }

  /** The ring that these name, as if it were new. Undefined: there is none, or the guest has made another of it. */
  take(ref: number, evtchn: number, onEvent: () => void): DataRing | undefined {
    const kept = this.#forget(ref);
    if (kept === undefined) return undefined;
    if (kept.evtchn === evtchn && kept.ring.renew(onEvent)) return kept.ring;
    kept.ring.close();
    return undefined;
  }

  /** Lets go of all. False: there were none. */
  drop(): boolean {
    const any = this.#rings.size > 0;
    for (const { ring } of this.#rings.values()) ring.close();
    this.#rings.clear();
    this.#pages = 0;
    return any;
  }

  #forget(ref: number): Kept | undefined {
    const kept = this.#rings.get(ref);
    if (kept === undefined) return undefined;
    this.#rings.delete(ref);
    this.#pages -= kept.ring.pages;
    return kept;
  }
}
