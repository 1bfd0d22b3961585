/**
 * One of a guest's rings that is mapped, seen from our end: requests come out in bulk, responses go in, and who posted nothing since his last
 * event is found out. Follows xen/include/public/io/ring.h. Knows nothing of what slots say, and no ports.
 */
import { OsError } from '../../../osdep/errno.ts';
import type { Gnttab } from '../../../osdep/gnttab.ts';
import type { Mapping } from '../../../osdep/mapping.ts';
import { Back } from '../../../osdep/ring/slotring.ts';

export interface RingOptions {
  /** For messages: `tx ring 0`. */
  readonly name: string;
  readonly gnttab: Gnttab;
  readonly domid: number;
  readonly ringRef: number;
  readonly slotBytes: number;
  readonly responseBytes: number;
}

export class BackRing {
  readonly name: string;
  /** Requests taken last, one after the other. */
  readonly requests: Uint8Array;
  readonly #mapping: Mapping;
  readonly #back: Back;
  readonly #slots: readonly Uint8Array[];
  readonly #response: Uint8Array;
  #taken = 0;
  #postedBefore = 0;

  /** Maps; goes on where the page says that the last one was. Throws an Error of one line, and then has nothing. */
  constructor({ name, gnttab, domid, ringRef, slotBytes, responseBytes }: RingOptions) {
    this.name = name;
    try {
      this.#mapping = gnttab.mapGrantRef(domid, ringRef, 'rw');
    } catch (error) {
      if (error instanceof OsError) throw new Error(`${name}: ${ringRef} cannot be mapped: ${error.code}`);
      throw error;
    }
    this.#back = Back.attach(this.#mapping.bytes, slotBytes);
    this.requests = new Uint8Array(this.#back.size * slotBytes);
    this.#slots = Array.from({ length: this.#back.size }, (_, slot) =>
      this.requests.subarray(slot * slotBytes, (slot + 1) * slotBytes),
    );
    this.#response = new Uint8Array(responseBytes);
  }

  /** Copies at most `limit` requests out. 0: there are none, and the guest rings for the next one. Undefined: his index is impossible. */
  take(limit: number): number | undefined {
    const there = this.#back.finalCheck();
    if (!there.ok) return undefined;
    const count = Math.min(there.slots, limit);
    for (let i = 0; i < count; i++) this.#back.take(this.#slots[i]!);
    this.#taken += count;
    return count;
  }

  /** Whether there have come requests since the last time this was asked. An impossible index is news, too. */
  news(): boolean {
    const there = this.#back.unconsumed();
    if (!there.ok) return true;
    const posted = this.#taken + there.slots;
    const news = posted !== this.#postedBefore;
    this.#postedBefore = posted;
    return news;
  }

  /** Puts in whatever `next` fills a response with, until it is false, and shows it. True: the guest wants to be told. */
  respond(next: (into: Uint8Array) => boolean): boolean {
    let any = false;
    while (next(this.#response)) {
      this.#back.respond(this.#response);
      any = true;
    }
    return any && this.#back.publish();
  }

  close(): void {
    this.#mapping.unmap();
  }
}
