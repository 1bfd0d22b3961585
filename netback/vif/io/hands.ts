/**
 * The hands of one interface: its rings and ports, and how what the core of it decides gets from and into them. Called by the exchange in its
 * turns. Decides nothing, and knows neither the store nor other interfaces.
 */
import type { Gnttab } from '../../../osdep/gnttab.ts';
import { named } from '../../../osdep/named.ts';
import type { Ports } from '../../../osdep/ports.ts';
import type { RecordFile } from '../../../xenstored/client/ringrecord.ts';
import type { VifFrontKeys, VifQueue } from '../../../xenstored/xenbus/vif.ts';
import { CTRL_SLOT_BYTES, RX_SLOT_BYTES, TX_RESPONSE_BYTES, TX_SLOT_BYTES } from '../core/netif.ts';
import { NONE } from '../core/packets.ts';
import type { Vif } from '../core/vif.ts';
import { OrdersRecord } from './orders.ts';
import { BackRing, type RingOptions } from './ring.ts';

/** Orders of the control ring in a turn: some make tables. */
const TURN_ORDERS = 4;

export interface HandsOptions {
  readonly gnttab: Gnttab;
  readonly ports: Ports;
  readonly domid: number;
  readonly front: VifFrontKeys;
  /** What the last process was about to say: the control ring's, then each queue's tx and rx; then what the guest has ordered. */
  readonly records: RecordFile;
  /** Something may have come: a turn is wanted. */
  readonly onEvent: () => void;
}

/** How many records an interface needs. */
export function recordsOf({ queues }: VifFrontKeys): number {
  return 2 + queues.length * 2;
}

/** Copies `length` bytes from the start of a guest's page; undefined: it cannot be read. */
export type Fetch = (domid: number, gref: number, length: number) => Uint8Array | undefined;

interface Queue {
  readonly tx: BackRing;
  readonly rx: BackRing;
  /** The same where they are not split. */
  readonly txPort: number;
  readonly rxPort: number;
}

interface Control {
  readonly ring: BackRing;
  readonly port: number;
}

export class Hands {
  readonly #options: HandsOptions;
  readonly #rings: BackRing[] = [];
  readonly #ports: number[] = [];
  readonly #queues: readonly Queue[];
  readonly #control: Control | undefined;
  readonly #orders: OrdersRecord;
  /** Orders may be waiting. */
  #ordered = true;
  #vif: Vif | undefined;

  /** Maps and binds. Throws an Error of one line, and then has nothing. */
  constructor(options: HandsOptions) {
    this.#options = options;
    const { ctrl, queues } = options.front;
    this.#orders = new OrdersRecord(options.records.bytes(recordsOf(options.front) - 1));
    try {
      this.#control = ctrl && this.#openControl(ctrl);
      this.#queues = queues.map((keys, index) => this.#queue(keys, index));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** What the guest has ordered of the last process. */
  get orders(): Uint8Array | undefined {
    return this.#orders.kept();
  }

  /** From now on events are the interface's. */
  serve(vif: Vif): void {
    this.#vif = vif;
  }

  /** Takes all that the guest wants sent. True: there may be more. */
  takeTx(vif: Vif): boolean {
    let more = false;
    for (let queue = 0; queue < this.#queues.length; queue++) {
      const { tx } = this.#queues[queue]!;
      const count = tx.take(Number.POSITIVE_INFINITY);
      if (count === NONE) vif.broken(tx.name);
      else if (count > 0) {
        vif.take(queue, tx.requests, count);
        more = true;
      }
    }
    return more;
  }

  /** Takes as many of the buffers that the guest has posted as are of use. */
  takeRx(vif: Vif): void {
    for (let at = 0; at < this.#queues.length; at++) {
      const { rx } = this.#queues[at]!;
      const queue = vif.rx[at]!;
      while (vif.failure === undefined && queue.wants > 0) {
        const count = rx.take(queue.wants);
        if (count === NONE) vif.broken(rx.name);
        else if (count === 0) break;
        else queue.post(rx.requests, count);
      }
    }
  }

  respondTx(vif: Vif): void {
    this.#keep(vif);
    for (let queue = 0; queue < this.#queues.length; queue++) {
      const { tx, txPort } = this.#queues[queue]!;
      while (vif.txResponse(queue, tx.response)) tx.answer();
      if (tx.publish()) this.#options.ports.notify(txPort);
    }
  }

  respondRx(vif: Vif): void {
    for (let at = 0; at < this.#queues.length; at++) {
      const { rx, rxPort } = this.#queues[at]!;
      const queue = vif.rx[at]!;
      while (queue.response(rx.response)) rx.answer();
      if (rx.publish()) this.#options.ports.notify(rxPort);
    }
  }

  /** Carries out some of what the guest orders on its control ring. True: there may be more. */
  obey(vif: Vif, fetch: Fetch): boolean {
    if (this.#control === undefined || !this.#ordered) return false;
    const { ring, port } = this.#control;
    let left = TURN_ORDERS;
    for (; left > 0; left--) {
      const count = ring.take(1);
      if (count === NONE) vif.broken(ring.name);
      if (count !== 1) break;
      const { control } = vif;
      if (control.request(ring.requests))
        control.copied(fetch(this.#options.domid, control.copyGref, control.copyLength));
      control.response(ring.response);
      ring.answer();
    }
    this.#keep(vif);
    if (ring.publish()) this.#options.ports.notify(port);
    this.#ordered = left === 0;
    return this.#ordered;
  }

  /** Orders outlive us before their answers are given. */
  #keep(vif: Vif): void {
    if (vif.takeOrders(this.#orders.orders)) this.#orders.keep();
  }

  /** Wakes the guest: whoever served it before may have died between its answer and the bell. */
  notify(): void {
    for (const port of this.#ports) this.#options.ports.notify(port);
  }

  /** Lets ports that were left shut bring events again. */
  listen(): void {
    for (const port of this.#ports) this.#options.ports.open(port);
  }

  close(): void {
    for (const port of this.#ports) this.#options.ports.unbind(port);
    for (const ring of this.#rings) ring.close();
  }

  #openControl({
    ringRef,
    eventChannel,
  }: {
    readonly ringRef: number;
    readonly eventChannel: number;
  }): Control {
    const shape = { slotBytes: CTRL_SLOT_BYTES, responseBytes: CTRL_SLOT_BYTES };
    const ring = this.#map({ name: 'control ring', ringRef, ...shape }, 0);
    const port = this.#bind(eventChannel, [ring], () => {
      this.#ordered = true;
    });
    return { ring, port };
  }

  #queue(keys: VifQueue, index: number): Queue {
    const { txRingRef, rxRingRef, txEventChannel, rxEventChannel } = keys;
    const txShape = { slotBytes: TX_SLOT_BYTES, responseBytes: TX_RESPONSE_BYTES };
    const rxShape = { slotBytes: RX_SLOT_BYTES, responseBytes: RX_SLOT_BYTES };
    const tx = this.#map({ name: `tx ring ${index}`, ringRef: txRingRef, ...txShape }, 1 + index * 2);
    const rx = this.#map({ name: `rx ring ${index}`, ringRef: rxRingRef, ...rxShape }, 2 + index * 2);
    const split = txEventChannel !== rxEventChannel;
    const txPort = this.#bind(txEventChannel, split ? [tx] : [tx, rx]);
    return { tx, rx, txPort, rxPort: split ? this.#bind(rxEventChannel, [rx]) : txPort };
  }

  #map(
    shape: Pick<RingOptions, 'name' | 'ringRef' | 'slotBytes' | 'responseBytes'>,
    record: number,
  ): BackRing {
    const { gnttab, domid, records } = this.#options;
    const ring = new BackRing({ ...shape, gnttab, domid, record: records.record(record) });
    this.#rings.push(ring);
    return ring;
  }

  #bind(remotePort: number, rings: readonly BackRing[], before?: () => void): number {
    const { ports, domid, onEvent } = this.#options;
    const port: number = named(`port ${remotePort} cannot be bound`, () =>
      ports.bind(domid, remotePort, () => {
        before?.();
        let useful = false;
        // Every one is asked, so that each remembers what it has seen.
        for (const ring of rings) if (ring.news()) useful = true;
        if (this.#vif?.event(useful) !== false) ports.open(port);
        onEvent();
      }),
    );
    this.#ports.push(port);
    return port;
  }
}
