/**
 * A frontend's ring of commands, mapped, with its port and its record: requests come out one by one, responses go in, in any order and at the end of a
 * turn. Whoever attaches after a kill goes on where the record says that the last one was. The guest is hostile: an index that cannot be is an answer,
 * and no request is taken whose response would have no slot. Knows what no command means. (xen/include/public/io/ring.h)
 */
import type { Gnttab } from '../../../osdep/gnttab.ts';
import type { Mapping } from '../../../osdep/mapping.ts';
import { named } from '../../../osdep/named.ts';
import type { Ports } from '../../../osdep/ports.ts';
import { Page } from '../../../osdep/ring/page.ts';
import { Back } from '../../../osdep/ring/slotring.ts';
import { decodeRequest, encodeResponse, type Request, type Response, SLOT_BYTES } from '../core/pvcalls.ts';
import { SocketRecord } from './record.ts';

const RSP_PROD = 8;

export interface CommandRingOptions {
  readonly gnttab: Gnttab;
  readonly ports: Ports;
  readonly domid: number;
  readonly ringRef: number;
  /** The guest's. */
  readonly port: number;
  /** Where its record lies. */
  readonly recordPath: string;
  readonly how: 'fresh' | 'attach';
  /** The guest has rung: its port stays shut until `listen`. */
  readonly onEvent: () => void;
}

export class CommandRing {
  /** Told of every change of a socket, before the response that shows it. */
  readonly record: SocketRecord;
  /** Requests that a predecessor took and did not answer: to be done again, before any other is taken. */
  readonly waiting: readonly Request[];
  readonly #ports: Ports;
  readonly #mapping: Mapping;
  readonly #port: number;
  readonly #back: Back;
  readonly #slot: Uint8Array = new Uint8Array(SLOT_BYTES);

  /** Maps and binds. Throws an Error of one line, and then has nothing. */
  constructor({ gnttab, ports, domid, ringRef, port, recordPath, how, onEvent }: CommandRingOptions) {
    this.#ports = ports;
    this.#mapping = named(`ring-ref ${ringRef} cannot be mapped`, () =>
      gnttab.mapGrantRef(domid, ringRef, 'rw'),
    );
    let record: SocketRecord | undefined;
    try {
      const { bytes } = this.#mapping;
      record = new SocketRecord(recordPath, how, new Page(bytes).load(RSP_PROD));
      this.record = record;
      this.#back = Back.attach(bytes, SLOT_BYTES);
      this.#recover();
      this.#port = named(`port ${port} cannot be bound`, () => ports.bind(domid, port, onEvent));
    } catch (error) {
      record?.leave();
      this.#mapping.unmap();
      throw error;
    }
    this.record.onFull = () => this.publish();
    this.waiting = this.record.requests.map(decodeRequest);
  }

  /** The next request, a private copy. `none`: the guest rings when it has one. `broken`: its index is impossible. */
  next(): Request | 'none' | 'broken' {
    if (!this.record.hasRoom) this.publish();
    const there = this.#back.finalCheck();
    if (!there.ok) return 'broken';
    if (there.slots === 0) return 'none';
    this.#back.take(this.#slot);
    this.record.took(this.#slot);
    return decodeRequest(this.#slot);
  }

  /** A response to a request that has none yet; it goes out with the next `publish`. */
  respond(response: Response): void {
    encodeResponse(response, this.#slot);
    this.record.answer(this.#slot);
  }

  /** A request that is never going to be answered. Its slot is lost to the guest as long as the ring lasts. */
  drop(request: Request): void {
    this.record.drop(request);
  }

  /** Shows what was answered, and rings if the guest wants that. From now on a successor knows of it. */
  publish(): void {
    const count = this.record.commit();
    if (count === 0) return;
    for (let i = 0; i < count; i++) {
      this.record.response(i, this.#slot);
      this.#back.respond(this.#slot);
    }
    if (this.#back.publish()) this.ring();
  }

  /** Rings the guest, whether it wants that or not. */
  ring(): void {
    this.#ports.notify(this.#port);
  }

  /** Lets the port bring events again; what came meanwhile comes now. */
  listen(): void {
    this.#ports.open(this.#port);
  }

  /** Unmaps and unbinds; the record stays. */
  close(): void {
    this.#ports.unbind(this.#port);
    this.#mapping.unmap();
    this.record.leave();
  }

  /** Says what the last process was about to say, and takes what it had taken. */
  #recover(): void {
    const page = new Page(this.#mapping.bytes);
    const unsaid = this.record.unsaid(page.load(RSP_PROD));
    const { reqCons, rspProd } = this.record;
    for (const _ of unsaid) this.#back.take(this.#slot);
    for (const response of unsaid) this.#back.respond(response);
    this.#back.publish();
    if (page.load(RSP_PROD) !== rspProd) throw new Error('ring of commands: rsp_prod is not as it was left');
    for (let index = rspProd; index !== reqCons; index = (index + 1) >>> 0) this.#back.take(this.#slot);
  }
}
