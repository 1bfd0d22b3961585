/**
 * Datagrams of the loopback driver: each whole or not at all, dropped where too many wait. As Linux's, nobody hears that there was nobody, but a connected
 * socket whose peer's port is nobody's: its next call answers ECONNREFUSED. (udp(7))
 */
import { Errno } from '../../../osdep/errno.ts';
import { formatAddress, type InetAddress, isAny, isLoopback, plain } from '../core/address.ts';
import type { Ports } from '../core/localports.ts';
import { type Message, type Outcome, Ready } from './driver.ts';
import { type LoopbackEnd, loopbackOf, type Raise } from './loopback-end.ts';

/** The largest there is: what IPv4 has room for. */
const MOST_BYTES = 65_507;

interface Queue {
  readonly waiting: { readonly bytes: Uint8Array; readonly from: InetAddress }[];
  bytes: number;
}

export class LoopbackDatagrams {
  readonly #ports: Ports<LoopbackEnd>;
  readonly #bytes: number;
  readonly #raise: Raise;
  readonly #queues = new WeakMap<LoopbackEnd, Queue>();

  constructor(ports: Ports<LoopbackEnd>, bytes: number, raise: Raise) {
    this.#ports = ports;
    this.#bytes = bytes;
    this.#raise = raise;
  }

  bind(end: LoopbackEnd, address: InetAddress, only6: boolean): number {
    const taken = this.#ports.take(end, address, only6);
    if (!taken.ok) return -taken.errno;
    end.binding = taken.value;
    return 0;
  }

  async connect(end: LoopbackEnd, address: InetAddress): Outcome {
    const to = aimed(address);
    if (!isLoopback(to)) return -Errno.ENETUNREACH;
    const errno = this.#bound(end);
    if (errno < 0) return errno;
    end.peerAddress = end.own(to);
    end.at = end.own(this.#source(end, to));
    return 0;
  }

  receive(end: LoopbackEnd, message: Message): number {
    if (end.error !== 0) return -end.takeError();
    const queue = this.#queues.get(end);
    const next = queue?.waiting.shift();
    if (next === undefined) return -Errno.EAGAIN;
    queue!.bytes -= next.bytes.length;
    let count = 0;
    for (const part of message.parts) {
      const piece = next.bytes.subarray(count, count + part.length);
      part.set(piece);
      count += piece.length;
    }
    message.address = next.from;
    message.truncated = count < next.bytes.length;
    return count;
  }

  send(end: LoopbackEnd, { parts, address }: Message): number {
    if (end.error !== 0) return -end.takeError();
    const aim = address ?? end.peerAddress;
    if (aim === undefined) return -Errno.EDESTADDRREQ;
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length > MOST_BYTES) return -Errno.EMSGSIZE;
    const to = aimed(aim);
    if (!isLoopback(to)) return -Errno.ENETUNREACH;
    const errno = this.#bound(end);
    if (errno < 0) return errno;
    this.#deliver(end, to, parts, length);
    return length;
  }

  poll(end: LoopbackEnd): number {
    const waits = (this.#queues.get(end)?.waiting.length ?? 0) > 0;
    return Ready.OUT | (waits ? Ready.IN : 0) | (end.error !== 0 ? Ready.IN | Ready.ERROR : 0);
  }

  close(end: LoopbackEnd): void {
    if (end.binding !== undefined) this.#ports.drop(end.binding);
    this.#queues.delete(end);
  }

  #deliver(end: LoopbackEnd, to: InetAddress, parts: readonly Uint8Array[], length: number): void {
    const source = this.#source(end, to);
    const hears = ({ peerAddress }: LoopbackEnd): boolean =>
      peerAddress === undefined || formatAddress(plain(peerAddress)) === formatAddress(source);
    const receiver = this.#ports.find(to, hears);
    if (receiver === undefined) {
      if (end.peerAddress === undefined) return;
      end.error = Errno.ECONNREFUSED;
      this.#raise(end, Ready.IN | Ready.ERROR);
      return;
    }
    const queue = this.#queues.get(receiver) ?? { waiting: [], bytes: 0 };
    if (queue.bytes + length > this.#bytes) return;
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.#queues.set(receiver, queue);
    queue.waiting.push({ bytes, from: receiver.own(source) });
    queue.bytes += length;
    this.#raise(receiver, Ready.IN);
  }

  /** An unbound socket gets a port by its first datagram. */
  #bound(end: LoopbackEnd): number {
    return end.binding === undefined ? this.bind(end, end.ownAddress, false) : 0;
  }

  #source({ binding }: LoopbackEnd, to: InetAddress): InetAddress {
    const { address } = binding!;
    return isAny(address) ? loopbackOf(to, address.port) : plain(address);
  }
}

function aimed(address: InetAddress): InetAddress {
  const to = plain(address);
  return isAny(to) ? loopbackOf(to, to.port) : to;
}
