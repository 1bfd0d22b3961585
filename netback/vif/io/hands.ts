/**
 * The hands of one interface: its rings and ports, and how what the core of it decides gets from and into them. Called by the exchange in its
 * turns. Decides nothing, and knows neither the store nor other interfaces.
 */
import { OsError } from '../../../osdep/errno.ts';
import type { Gnttab } from '../../../osdep/gnttab.ts';
import type { Ports } from '../../../osdep/ports.ts';
import type { VifFrontKeys } from '../../../xenstored/xenbus/vif.ts';
import { RX_SLOT_BYTES, TX_RESPONSE_BYTES, TX_SLOT_BYTES } from '../core/netif.ts';
import type { Vif } from '../core/vif.ts';
import { BackRing } from './ring.ts';

export interface HandsOptions {
  readonly gnttab: Gnttab;
  readonly ports: Ports;
  readonly domid: number;
  readonly front: VifFrontKeys;
  /** Something may have come: a turn is wanted. */
  readonly onEvent: () => void;
}

interface Queue {
  readonly tx: BackRing;
  readonly rx: BackRing;
  /** The same where they are not split. */
  readonly txPort: number;
  readonly rxPort: number;
}

export class Hands {
  readonly #options: HandsOptions;
  readonly #rings: BackRing[] = [];
  readonly #ports: number[] = [];
  readonly #queues: readonly Queue[];
  #vif: Vif | undefined;

  /** Maps and binds. Throws an Error of one line, and then has nothing. */
  constructor(options: HandsOptions) {
    this.#options = options;
    try {
      this.#queues = options.front.queues.map((keys, index) => {
        const tx = this.#map(`tx ring ${index}`, keys.txRingRef, TX_SLOT_BYTES, TX_RESPONSE_BYTES);
        const rx = this.#map(`rx ring ${index}`, keys.rxRingRef, RX_SLOT_BYTES, RX_SLOT_BYTES);
        const split = keys.txEventChannel !== keys.rxEventChannel;
        const txPort = this.#bind(keys.txEventChannel, split ? [tx] : [tx, rx]);
        return { tx, rx, txPort, rxPort: split ? this.#bind(keys.rxEventChannel, [rx]) : txPort };
      });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** From now on events are the interface's. */
  serve(vif: Vif): void {
    this.#vif = vif;
  }

  /** Takes all that the guest wants sent. True: there may be more. */
  takeTx(vif: Vif): boolean {
    let more = false;
    for (const [index, { tx }] of this.#queues.entries()) {
      const count = tx.take(Number.POSITIVE_INFINITY);
      if (count === undefined) vif.broken(tx.name);
      else if (count > 0) {
        vif.take(index, tx.requests, count);
        more = true;
      }
    }
    return more;
  }

  /** Takes as many of the buffers that the guest has posted as are of use. */
  takeRx(vif: Vif): void {
    for (const [index, { rx }] of this.#queues.entries()) {
      const queue = vif.rx[index]!;
      while (vif.failure === undefined && queue.wants > 0) {
        const count = rx.take(queue.wants);
        if (count === undefined) vif.broken(rx.name);
        else if (count === 0) break;
        else queue.post(rx.requests, count);
      }
    }
  }

  respondTx(vif: Vif): void {
    for (const [index, { tx, txPort }] of this.#queues.entries())
      if (tx.respond((into) => vif.txResponse(index, into))) this.#options.ports.notify(txPort);
  }

  respondRx(vif: Vif): void {
    for (const [index, { rx, rxPort }] of this.#queues.entries())
      if (rx.respond((into) => vif.rx[index]!.response(into))) this.#options.ports.notify(rxPort);
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

  #map(name: string, ringRef: number, slotBytes: number, responseBytes: number): BackRing {
    const { gnttab, domid } = this.#options;
    const ring = new BackRing({ name, gnttab, domid, ringRef, slotBytes, responseBytes });
    this.#rings.push(ring);
    return ring;
  }

  #bind(remotePort: number, rings: readonly BackRing[]): number {
    const { ports, domid, onEvent } = this.#options;
    try {
      const port = ports.bind(domid, remotePort, () => {
        // Every one is asked, so that each remembers what it has seen.
        const useful = rings.filter((ring) => ring.news()).length > 0;
        if (this.#vif?.event(useful) !== false) ports.open(port);
        onEvent();
      });
      this.#ports.push(port);
      return port;
    } catch (error) {
      if (error instanceof OsError) throw new Error(`port ${remotePort} cannot be bound: ${error.code}`);
      throw error;
    }
  }
}
