/**
 * A datagram socket of a guest on a network of guests among themselves: what it sends goes from its ring into the receiver's, copied once, whole or
 * not at all. Nobody waits: what finds no room, or nobody, is lost. Which of a guest's datagrams come here, and where one ends in its ring, its
 * owner knows. (netback/xensock/EXTENSION.md, "Datagrams")
 */
import { Errno } from '../../../osdep/errno.ts';
import { encodeAddress, type InetAddress } from '../core/address.ts';
import type { Answer } from '../core/hands.ts';
import { Datagram } from '../core/pvcalls.ts';
import type { DataRing } from './dataring.ts';
import type { LocalHub } from './localhub.ts';
import type { BindOptions } from './localstream.ts';

/** Who made the socket. */
export interface DatagramOwner {
  /** Where what comes is put, and whose guest is told of it; undefined: nobody takes it. */
  readonly ring: DataRing | undefined;
  /** So many bytes have been put there; the guest has not been told. */
  received(bytes: number): void;
}

const header = new Uint8Array(Datagram.HEADER_BYTES);
const fields = new DataView(header.buffer);
const address = header.subarray(Datagram.ADDRESS, Datagram.FLAGS);

export class LocalDatagram {
  readonly #hub: LocalHub<LocalDatagram>;
  readonly #owner: DatagramOwner;
  #name: string | undefined;

  constructor(hub: LocalHub<LocalDatagram>, owner: DatagramOwner) {
    this.#hub = hub;
    this.#owner = owner;
  }

  /** Into a network. Answers the port. EINVAL: bound already; EADDRINUSE, EADDRNOTAVAIL. */
  bind(network: string, at: InetAddress, { only6 = false }: BindOptions = {}): Answer<number> {
    if (this.#name !== undefined) return { ok: false, errno: Errno.EINVAL };
    const bound = this.#hub.net(network).bindDatagram(this, at, only6);
    if (bound.ok) this.#name = network;
    else this.#hub.left(network);
    return bound.ok ? { ok: true, value: bound.value.port } : bound;
  }

  /** The peer for what is sent without an address, and the only one to hear from. */
  connect(network: string, to: InetAddress): number {
    return this.#within(network, () => this.#hub.net(network).connectDatagram(this, to));
  }

  get own(): InetAddress | undefined {
    return this.#name === undefined ? undefined : this.#hub.net(this.#name).own(this);
  }

  get peer(): InetAddress | undefined {
    return this.#name === undefined ? undefined : this.#hub.net(this.#name).peer(this);
  }

  /**
   * So many bytes, which begin so far into what its guest has put in `from`; to the peer, if `to` is undefined. They stay in the ring. 0: sent, or
   * lost on the way. ECONNREFUSED: nobody is there, or he hears another alone; EDESTADDRREQ, ENETUNREACH.
   */
  send(network: string, to: InetAddress | undefined, from: DataRing, skip: number, bytes: number): number {
    return this.#within(network, () => {
      const found = this.#hub.net(network).deliver(this, to);
      if (!found.ok) return found.errno;
      found.value.to.#take(found.value.from, from, skip, bytes);
      return 0;
    });
  }

  /** It is in no network any more. Idempotent. */
  release(): void {
    const name = this.#name;
    if (name === undefined) return;
    this.#name = undefined;
    this.#hub.net(name).leave(this);
    this.#hub.left(name);
  }

  /** It is in one network, the first that it has to do with. */
  #within(network: string, act: () => number): number {
    if (this.#name !== undefined && this.#name !== network) return Errno.ENETUNREACH;
    const errno = act();
    if (this.#hub.net(network).own(this) !== undefined) this.#name = network;
    this.#hub.left(network);
    return errno;
  }

  #take(sender: InetAddress, from: DataRing, skip: number, bytes: number): void {
    const ring = this.#owner.ring;
    if (ring === undefined || !ring.isOpen) return;
    const padded = (bytes + 7) & ~7;
    if (ring.inRoom() < Datagram.HEADER_BYTES + padded) return;
    header.fill(0);
    fields.setUint32(Datagram.LENGTH, bytes, true);
    fields.setUint32(Datagram.ADDRESS_LENGTH, encodeAddress(sender, address), true);
    put(ring, 0, header);
    const mask = from.size - 1;
    const start = (from.outOffset() - from.size + skip) & mask;
    const first = Math.min(bytes, from.size - start);
    put(ring, Datagram.HEADER_BYTES, from.memory.subarray(from.size + start, from.size + start + first));
    put(ring, Datagram.HEADER_BYTES + first, from.memory.subarray(from.size, from.size + bytes - first));
    ring.gave(Datagram.HEADER_BYTES + padded);
    this.#owner.received(bytes);
  }
}

/** So far behind what has been given; there is room. */
function put(ring: DataRing, skip: number, bytes: Uint8Array): void {
  const into = (ring.inOffset() + skip) & (ring.size - 1);
  const first = Math.min(bytes.length, ring.size - into);
  ring.memory.set(bytes.subarray(0, first), into);
  ring.memory.set(bytes.subarray(first), 0);
}
