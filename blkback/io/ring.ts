/**
 * A guest's ring that is mapped, its port and its record: requests come out, responses go in, so that a successor of a killed process finds
 * either a request or its response in a slot, never half of it. Follows xen/include/public/io/ring.h. Knows nothing of what slots say.
 */
import type { Gnttab } from '../../osdep/gnttab.ts';
import type { Mapping } from '../../osdep/mapping.ts';
import { named } from '../../osdep/named.ts';
import type { Ports } from '../../osdep/ports.ts';
import { Page } from '../../osdep/ring/page.ts';
import { Back, type Unconsumed } from '../../osdep/ring/slotring.ts';
import type { RingRecord } from '../../xenstored/client/ringrecord.ts';
import type { BlkifLayout } from '../core/blkif.ts';

const RSP_PROD = 8;

export interface RingOptions {
  readonly domid: number;
  readonly ringRefs: readonly number[];
  readonly eventChannel: number;
  readonly layout: BlkifLayout;
  readonly gnttab: Gnttab;
  readonly ports: Ports;
  readonly record: RingRecord;
  readonly onEvent: () => void;
}

export class BackRing {
  readonly size: number;
  readonly #ports: Ports;
  readonly #record: RingRecord;
  readonly #mapping: Mapping;
  readonly #port: number;
  readonly #back: Back;
  readonly #layout: BlkifLayout;
  readonly #response: Uint8Array;
  #rspProd: number;

  /** Maps and binds; goes on where the page says that the last one was. Throws an Error of one line, and then has nothing. */
  constructor({ domid, ringRefs, eventChannel, layout, gnttab, ports, record, onEvent }: RingOptions) {
    this.#ports = ports;
    this.#record = record;
    this.#layout = layout;
    this.#response = new Uint8Array(layout.responseBytes);
    this.#mapping = named(`ring-ref ${ringRefs.join(', ')} cannot be mapped`, () =>
      gnttab.mapDomainGrantRefs(domid, ringRefs, 'rw'),
    );
    try {
      this.#port = named(`event-channel ${eventChannel} cannot be bound`, () =>
        ports.bind(domid, eventChannel, onEvent),
      );
    } catch (error) {
      this.#mapping.unmap();
      throw error;
    }
    const { bytes } = this.#mapping;
    this.#rspProd = new Page(bytes).load(RSP_PROD);
    this.#back = Back.attach(bytes, layout.slotBytes);
    this.size = this.#back.size;
    this.#recover();
  }

  unconsumed(): Unconsumed {
    return this.#back.unconsumed();
  }

  /** Looks once more, and asks to be told of the next request. */
  finalCheck(): Unconsumed {
    return this.#back.finalCheck();
  }

  take(into: Uint8Array): void {
    this.#back.take(into);
  }

  /** A response that goes out with the next `publish`. */
  answer(response: Uint8Array): void {
    this.#record.add(response);
  }

  /** Shows the answers to the guest, and tells him if he wants that. */
  publish(): void {
    const count = this.#record.added;
    this.#rspProd = (this.#rspProd + count) >>> 0;
    this.#record.seal(this.#rspProd);
    for (let i = 0; i < count; i++) this.#respond(i);
    const wanted = this.#back.publish();
    this.#record.clear();
    if (wanted) this.notify();
  }

  notify(): void {
    this.#ports.notify(this.#port);
  }

  /** Lets the port bring events again. */
  listen(): void {
    this.#ports.open(this.#port);
  }

  close(): void {
    this.#ports.unbind(this.#port);
    this.#mapping.unmap();
  }

  #respond(recorded: number): void {
    this.#record.response(recorded, this.#response);
    this.#back.respond(this.#response);
  }

  /** Says what the last process was about to say, before anything is done again. */
  #recover(): void {
    const count = this.#record.unsaid(this.#rspProd);
    const slot = new Uint8Array(this.#layout.slotBytes);
    for (let i = 0; i < count; i++) {
      this.#back.take(slot);
      this.#respond(i);
    }
    if (count > 0) this.#back.publish();
    this.#rspProd = (this.#rspProd + count) >>> 0;
    this.#record.clear();
  }
}
