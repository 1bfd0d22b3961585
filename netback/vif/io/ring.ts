/**
 * One of a guest's rings that is mapped, seen from our end: requests come out in bulk, responses go in, and who posted nothing since his last
 * event is found out. A successor of a killed process finds either a request or its response in a slot, never half of it. Follows
 * xen/include/public/io/ring.h. Knows nothing of what slots say, and no ports.
 */
import type { Gnttab } from '../../../osdep/gnttab.ts';
import type { Mapping } from '../../../osdep/mapping.ts';
import { named } from '../../../osdep/named.ts';
import { Page } from '../../../osdep/ring/page.ts';
import { Back } from '../../../osdep/ring/slotring.ts';
import type { RingRecord } from '../../../xenstored/client/ringrecord.ts';
import { NONE } from '../core/packets.ts';

const RSP_PROD = 8;
/** Requests are counted in so many bits: numbers that V8 keeps without garbage. */
const COUNT_MASK = 0x3fff_ffff;

export interface RingOptions {
  /** For messages: `tx ring 0`. */
  readonly name: string;
  readonly gnttab: Gnttab;
  readonly domid: number;
  readonly ringRef: number;
  readonly slotBytes: number;
  readonly responseBytes: number;
  readonly record: RingRecord;
}

export class BackRing {
  readonly name: string;
  /** Requests taken last, one after the other. */
  readonly requests: Uint8Array;
  /** What `answer` says. */
  readonly response: Uint8Array;
  readonly #mapping: Mapping;
  readonly #back: Back;
  readonly #slots: readonly Uint8Array[];
  readonly #record: RingRecord;
  #rspProd: number;
  #taken = 0;
  /** The furthest that was posted when somebody asked. */
  #seen = 0;

  /** Maps; goes on where page and record say that the last one was. Throws an Error of one line, and then has nothing. */
  constructor({ name, gnttab, domid, ringRef, slotBytes, responseBytes, record }: RingOptions) {
    this.name = name;
    this.#record = record;
    this.#mapping = named(`${name}: ${ringRef} cannot be mapped`, () =>
      gnttab.mapGrantRef(domid, ringRef, 'rw'),
    );
    const { bytes } = this.#mapping;
    this.#rspProd = new Page(bytes).load(RSP_PROD);
    this.#back = Back.attach(bytes, slotBytes);
    this.requests = new Uint8Array(this.#back.size * slotBytes);
    this.#slots = Array.from({ length: this.#back.size }, (_, slot) =>
      this.requests.subarray(slot * slotBytes, (slot + 1) * slotBytes),
    );
    this.response = new Uint8Array(responseBytes);
    this.#recover();
  }

  /** Copies at most `limit` requests out. 0: there are none, and the guest rings for the next one. NONE: his index is impossible. */
  take(limit: number): number {
    const there = this.#back.finalCheck();
    if (!there.ok) return NONE;
    const count = Math.min(there.slots, limit);
    for (let i = 0; i < count; i++) this.#back.take(this.#slots[i]!);
    this.#taken = (this.#taken + count) & COUNT_MASK;
    return count;
  }

  /** Whether there have come requests since the last time this was asked. What cannot be, or was there before, is none. */
  news(): boolean {
    const there = this.#back.unconsumed();
    if (!there.ok) return false;
    const posted = (this.#taken + there.slots) & COUNT_MASK;
    const more = (posted - this.#seen) & COUNT_MASK;
    // Far ahead is behind: a guest that takes requests back and posts them again says nothing new.
    if (more === 0 || more > COUNT_MASK / 2) return false;
    this.#seen = posted;
    return true;
  }

  /** `response` goes out with the next `publish`. */
  answer(): void {
    this.#record.add(this.response);
  }

  /** Shows what was answered. True: the guest wants to be told. */
  publish(): boolean {
    const count = this.#record.added;
    if (count === 0) return false;
    this.#rspProd = (this.#rspProd + count) >>> 0;
    this.#record.seal(this.#rspProd);
    for (let i = 0; i < count; i++) this.#say(i);
    const wanted = this.#back.publish();
    this.#record.clear();
    return wanted;
  }

  close(): void {
    this.#mapping.unmap();
  }

  #say(recorded: number): void {
    this.#record.response(recorded, this.response);
    this.#back.respond(this.response);
  }

  /** Says what the last process was about to say, before anything is done again. A guest whose index is impossible hears nothing. */
  #recover(): void {
    const count = this.#record.unsaid(this.#rspProd);
    const there = this.#back.unconsumed();
    if (there.ok && there.slots >= count && count > 0) {
      for (let i = 0; i < count; i++) {
        this.#back.take(this.#slots[0]!);
        this.#say(i);
      }
      this.#back.publish();
      this.#rspProd = (this.#rspProd + count) >>> 0;
    }
    this.#record.clear();
  }
}
