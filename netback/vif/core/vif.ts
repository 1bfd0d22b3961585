/**
 * One guest's interface on our side: its queues, what it may send and what it can take. Events and slots copied out of its rings go in;
 * copies to do, responses, or the reason to close it come out. Whatever it does costs itself alone. Knows no store, no ring pages,
 * no other interface; the handshake is xenbus's.
 */
import type { VifFeatures, VifFrontKeys, VifOrder } from '../../../xenstored/xenbus/vif.ts';
import { Control } from './control.ts';
import type { CopyBatch } from './copies.ts';
import { Credit } from './credit.ts';
import { EventCredit } from './events.ts';
import type { Header } from './header.ts';
import { MulticastFilter } from './multicast.ts';
import { Gso, MAX_PACKET_BYTES, PAGE_BYTES } from './netif.ts';
import { Need, type Network, type Port } from './network.ts';
import { putOrders, takeOrders } from './orders.ts';
import { PacketFlag } from './packets.ts';
import { type RxLimits, RxQueue, rxLimits } from './rx.ts';
import { Statistics } from './statistics.ts';
import { Steering } from './steering.ts';
import { guestPort, type PortOptions } from './switch.ts';
import { type PacketSink, TxQueue } from './tx.ts';

/** Slots in a page of either ring. */
const RING_SLOTS = 256;
const MTU_USUAL = 1500;
/** An Ethernet header and a VLAN tag, beyond the MTU. */
const FRAMING_BYTES = 18;
/** Events in a row that may bring nothing. */
const IDLE_EVENTS_MAX = 64;

export interface VifOptions {
  readonly domid: number;
  /** What was ordered, what the guest answered, and what it had been offered. */
  readonly order: VifOrder;
  readonly front: VifFrontKeys;
  readonly offer: VifFeatures;
  readonly limits?: RxLimits;
  /** What it has ordered of somebody who served it before: what he had from `takeOrders`. */
  readonly orders?: Uint8Array;
  /** Ours if not given: `guestPort`. */
  readonly port?: Omit<PortOptions, 'mac'>;
  /** A packet waits for the guest. */
  readonly onWaiting?: () => void;
}

export class Vif implements Port, PacketSink {
  readonly statistics: Statistics = new Statistics();
  readonly events: EventCredit = new EventCredit(IDLE_EVENTS_MAX);
  readonly rx: readonly RxQueue[];
  readonly control: Control;
  readonly frameMax: number;
  /** The number of its port. */
  readonly port: number;
  /** Why it has to be closed: for its error node. Nothing goes in or out from then on. */
  failure: string | undefined;
  /** The link is up; changed by whoever owns the other end of it. */
  carrier = true;
  /** Only multicast that it has asked for; the guest may change its mind while connected. */
  filtersMulticast: boolean;
  /** Sees every packet that the guest sends and that waits for it; it is not kept. Undefined: nobody looks. */
  watcher: ((packet: number) => void) | undefined;
  readonly #network: Network;
  readonly #front: VifFrontKeys;
  readonly #tx: readonly TxQueue[];
  readonly #steering: Steering;
  readonly #multicast: MulticastFilter = new MulticastFilter();
  readonly #mtuFrameBytes: number;
  #regrouped = false;
  readonly #credit: Credit | undefined;
  readonly #onWaiting: () => void;
  #now = 0;
  #turn = 0;

  constructor(network: Network, options: VifOptions, now: number) {
    const { domid, order, front, offer, limits = rxLimits, port = guestPort, onWaiting, orders } = options;
    const { pool } = network;
    const { statistics } = this;
    this.#network = network;
    this.#front = front;
    this.filtersMulticast = front.multicastControl;
    this.frameMax = front.features.sg ? MAX_PACKET_BYTES : PAGE_BYTES;
    // A toolstack writes it where it is another; who has the usual one is given what others send.
    this.#mtuFrameBytes = order.mtu === MTU_USUAL ? MAX_PACKET_BYTES : order.mtu + FRAMING_BYTES;
    this.#onWaiting = onWaiting ?? (() => {});
    this.#steering = new Steering(front.queues.length);
    this.control = new Control(this.#steering);
    if (orders !== undefined) takeOrders(orders, this.#steering, this.#multicast);
    this.#credit = order.rate && Credit.ofRate(order.rate.bytes, order.rate.microseconds, now);
    const tx = {
      domid,
      pool,
      statistics,
      credit: this.#credit,
      offersGso: (type: number) => (type === Gso.TCPV4 ? offer.gsoTcpv4 : offer.gsoTcpv6),
      filter: (type: number, bytes: Uint8Array, at: number) => {
        this.#regrouped = true;
        return this.#multicast.amend(type, bytes, at);
      },
    };
    const rx = {
      domid,
      pool,
      statistics,
      held: { small: 0, large: 0 },
      notifies: front.rxNotify,
      gsoPrefix: (type: number) => (type === Gso.TCPV4 ? !front.features.gsoTcpv4 : !front.features.gsoTcpv6),
    };
    this.#tx = front.queues.map(() => new TxQueue(tx, RING_SLOTS));
    this.rx = front.queues.map(() => new RxQueue(rx, RING_SLOTS, limits));
    this.port = network.add(this, { ...port, mac: Uint8Array.from(order.mac) }, now);
  }

  /** Takes all slots published in a tx ring, 12 bytes each. */
  take(queue: number, slots: Uint8Array, count: number): void {
    if (this.failure !== undefined) return;
    const failure = this.#tx[queue]!.take(slots, count);
    if (failure !== undefined) this.failure = `tx ring ${queue}: ${failure}`;
  }

  /** An index of a ring is impossible (XSA-39). */
  broken(ring: string): void {
    this.failure ??= `${ring}: more requests than it has slots`;
  }

  /**
   * Plans to copy at most `limit` packets out of the guest, of all queues, each time from another one on. To be followed by `copiedTx`.
   * @returns what it waits for; undefined: nothing
   */
  planTx(copies: CopyBatch, limit: number, now: number): 'turn' | 'credit' | 'memory' | 'copies' | undefined {
    let left = limit;
    let waits: 'turn' | 'credit' | 'memory' | 'copies' | undefined;
    for (let i = 0; i < this.#tx.length && this.failure === undefined; i++) {
      const queue = this.#tx[(this.#turn + i) % this.#tx.length]!;
      const before = queue.waiting;
      const pause = queue.plan(copies, left, now);
      left -= before - queue.waiting;
      if (pause !== 'idle') waits = pause;
    }
    this.#turn = (this.#turn + 1) % this.#tx.length;
    return waits;
  }

  /** When there is credit to send again, if `planTx` said so. Milliseconds. */
  get creditAtMs(): number {
    return this.#credit?.nextMs ?? 0;
  }

  /** The copies are done: packets go on to where they are sent. */
  copiedTx(copies: CopyBatch, now: number): void {
    this.#now = now;
    for (const queue of this.#tx) queue.copied(copies, this);
  }

  /** The next response of a tx ring, 4 bytes; false: there is none. */
  txResponse(queue: number, into: Uint8Array): boolean {
    return this.#tx[queue]!.response(into);
  }

  /**
   * What it has ordered, if that has changed since the last time, in ORDERS_BYTES bytes. False: it has not, nothing is written.
   */
  takeOrders(into: Uint8Array): boolean {
    if (!this.#regrouped && !this.control.changed) return false;
    this.#regrouped = false;
    this.control.changed = false;
    putOrders(into, this.#steering, this.#multicast);
    return true;
  }

  accept(packet: number): void {
    if (!this.carrier) {
      this.#network.pool.release(packet);
      return;
    }
    this.watcher?.(packet);
    const refusal = this.#network.receive(this.port, packet, this.#now);
    if (refusal === 'spoofed') this.statistics.txSpoofed++;
    else if (refusal === 'malformed') this.statistics.txErrors++;
    else if (refusal === 'flood') this.statistics.txFloods++;
  }

  enqueue(packet: number, header: Header, now: number): number {
    if (this.filtersMulticast && header.isMulticast && !header.isBroadcast)
      if (!this.#multicast.has(header.memory, header.start)) {
        this.statistics.rxFiltered++;
        return 0;
      }
    const needs = this.#needs(packet, header);
    if (needs !== 0) this.statistics.rxAdapted++;
    else this.enqueueAdapted(packet, header, now);
    return needs;
  }

  /** What the guest has not said that it can take. */
  #needs(packet: number, header: Header): number {
    const { pool } = this.#network;
    const { features, gsoTcpv4Prefix, gsoTcpv6Prefix } = this.#front;
    const gso = pool.gsoTypes[packet]!;
    const blank = (pool.flags[packet]! & PacketFlag.CSUM_BLANK) !== 0;
    const takesBlank = header.ipVersion === 6 ? features.ipv6CsumOffload : features.ipv4CsumOffload;
    // A large packet's checksum is blank: it can only be told of what comes out when it is cut.
    const takesGso =
      gso === Gso.NONE ||
      (features.sg &&
        takesBlank &&
        (gso === Gso.TCPV4 ? features.gsoTcpv4 || gsoTcpv4Prefix : features.gsoTcpv6 || gsoTcpv6Prefix));
    return (blank && !takesBlank ? Need.CHECKSUM : 0) | (takesGso ? 0 : Need.SEGMENTS);
  }

  enqueueAdapted(packet: number, header: Header, now: number): boolean {
    const { pool } = this.#network;
    const length = pool.lengths[packet]!;
    const fits = length <= this.frameMax && this.#needs(packet, header) === 0;
    // What is large because it is to be cut up is not too large.
    const passes = length <= this.#mtuFrameBytes || pool.gsoTypes[packet] !== Gso.NONE;
    if (fits && passes && this.carrier && this.failure === undefined) {
      const queue = this.#steering.steer(header);
      const { hashType, hashValue } = this.#steering;
      if (this.rx[queue]!.enqueue(packet, hashType, hashValue, now)) {
        this.watcher?.(packet);
        this.#onWaiting();
        return true;
      }
    }
    this.dropped();
    return false;
  }

  dropped(): void {
    this.statistics.rxDropped++;
  }

  blame(reason: string): void {
    this.failure ??= reason;
    this.#onWaiting();
  }

  /** Plans to copy what waits into the buffers that the guest has posted. To be followed by `copiedRx`. False: there was no room for all. */
  planRx(copies: CopyBatch, now: number): boolean {
    let room = true;
    for (const queue of this.rx) if (!queue.plan(copies, now)) room = false;
    return room;
  }

  copiedRx(copies: CopyBatch): void {
    for (const queue of this.rx) queue.copied(copies);
  }

  /** To be called some times a second. True: its port, which was shut because of a storm of events, may bring some again. */
  tick(now: number): boolean {
    for (const queue of this.rx) queue.tick(now);
    return this.events.refill();
  }

  /** Somebody has to look whether there are buffers: the guest does not say. */
  get wantsLooking(): boolean {
    return !this.#front.rxNotify && this.#hasWaiting;
  }

  get #hasWaiting(): boolean {
    for (const queue of this.rx) if (queue.count > 0) return true;
    return false;
  }

  /** Time may pass: nothing waits for buffers, and no port is shut. */
  get isQuiet(): boolean {
    return !this.#hasWaiting && !this.events.shut;
  }

  /** An event of one of its ports came, with or without requests. False: leave the port shut until the next tick. */
  event(useful: boolean): boolean {
    if (!useful) this.statistics.idleEvents++;
    if (this.events.event(useful)) return true;
    this.statistics.delayedEvents++;
    return false;
  }

  /** Nothing comes or goes from now on, and no packet is kept, wherever it was on its way (XSA-457). */
  close(): void {
    this.#network.remove(this.port);
    for (const queue of this.#tx) queue.close();
    for (const queue of this.rx) queue.close();
  }
}
