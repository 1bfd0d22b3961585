/**
 * Streams of the loopback driver: listeners with their backlog, and connections as two queues of bytes. Errors are those that Linux gives for TCP: what was
 * received before a reset can still be read; a socket that is closed with bytes unread resets its peer; what is sent to one that is gone is
 * lost, and the next send hears of it.
 */
import { Errno } from '../../../osdep/errno.ts';
import { type InetAddress, isAny, isLoopback, plain } from '../core/address.ts';
import type { Ports } from '../core/localports.ts';
import { ByteQueue } from './bytequeue.ts';
import { type Message, type Outcome, Ready } from './driver.ts';
import { LoopbackEnd, loopbackOf, type Raise } from './loopback-end.ts';
import { resetsAtClose } from './loopback-options.ts';

/** One end's half of a connection. */
interface Half {
  readonly inbox: ByteQueue;
  /** undefined: the other end is closed. */
  peer: LoopbackEnd | undefined;
  /** Nothing more will come in. */
  ended: boolean;
  /** A send found no room. */
  wantsRoom: boolean;
  shutWrite: boolean;
  shutRead: boolean;
}

interface Waiting {
  readonly client: LoopbackEnd;
  readonly to: InetAddress;
  readonly settle: (errno: number) => void;
}

interface Listener {
  backlog: number;
  /** Connections that stand and are not accepted. */
  readonly queue: LoopbackEnd[];
  /** Connects for which the queue had no room. */
  readonly waiting: Waiting[];
}

export class LoopbackStreams {
  readonly #ports: Ports<LoopbackEnd>;
  readonly #bytes: number;
  readonly #raise: Raise;
  readonly #halves = new WeakMap<LoopbackEnd, Half>();
  readonly #listeners = new WeakMap<LoopbackEnd, Listener>();
  /** Where a connect waits, by who waits. */
  readonly #connecting = new Map<LoopbackEnd, Listener>();

  constructor(ports: Ports<LoopbackEnd>, bytes: number, raise: Raise) {
    this.#ports = ports;
    this.#bytes = bytes;
    this.#raise = raise;
  }

  bind(end: LoopbackEnd, address: InetAddress, only6: boolean): number {
    if (this.#connected(end)) return -Errno.EINVAL;
    const taken = this.#ports.take(end, address, only6);
    if (!taken.ok) return -taken.errno;
    end.binding = taken.value;
    return 0;
  }

  listen(end: LoopbackEnd, backlog: number): number {
    if (this.#connected(end)) return -Errno.EINVAL;
    if (end.binding === undefined) {
      const errno = this.bind(end, end.ownAddress, false);
      if (errno < 0) return errno;
    }
    const listener = this.#listeners.get(end);
    end.listening = true;
    if (listener !== undefined) listener.backlog = backlog;
    else this.#listeners.set(end, { backlog, queue: [], waiting: [] });
    return 0;
  }

  connect(end: LoopbackEnd, address: InetAddress): Outcome {
    return new Promise((settle) => {
      if (this.#connecting.has(end)) return settle(-Errno.EALREADY);
      if (this.#connected(end) || end.listening) return settle(-Errno.EISCONN);
      const aim = plain(address);
      const to = isAny(aim) ? loopbackOf(aim, aim.port) : aim;
      if (!isLoopback(to)) return settle(-Errno.ENETUNREACH);
      const errno = end.binding === undefined ? this.bind(end, end.own(loopbackOf(to, 0)), false) : 0;
      if (errno < 0) return settle(errno);
      const server = this.#ports.find(to, (owner) => owner.listening);
      if (server === undefined) return settle(-Errno.ECONNREFUSED);
      const listener = this.#listeners.get(server)!;
      if (listener.queue.length > listener.backlog) {
        listener.waiting.push({ client: end, to, settle });
        this.#connecting.set(end, listener);
      } else {
        this.#join(end, server, to);
        settle(0);
      }
    });
  }

  accept(end: LoopbackEnd, onReady: (bits: number) => void): LoopbackEnd | number {
    const listener = this.#listeners.get(end);
    if (listener === undefined) return -Errno.EINVAL;
    const accepted = listener.queue.shift();
    if (accepted === undefined) return -Errno.EAGAIN;
    accepted.onReady = onReady;
    const come = this.poll(accepted) & ~Ready.OUT;
    if (come !== 0) this.#raise(accepted, come);
    const next = listener.waiting.shift();
    if (next !== undefined) {
      this.#connecting.delete(next.client);
      this.#join(next.client, end, next.to);
      next.settle(0);
    }
    return accepted;
  }

  shutdown(end: LoopbackEnd, how: 'read' | 'write' | 'both'): number {
    const half = this.#halves.get(end)!;
    if (how !== 'write') {
      half.shutRead = true;
      this.#raise(end, Ready.IN);
    }
    if (how !== 'read' && !half.shutWrite) {
      half.shutWrite = true;
      this.#end(half.peer);
    }
    return 0;
  }

  receive(end: LoopbackEnd, { parts }: Message): number {
    const half = this.#halves.get(end);
    if (half === undefined) return -Errno.ENOTCONN;
    const { inbox } = half;
    if (inbox.used > 0) {
      let count = 0;
      for (const part of parts) count += inbox.take(part);
      this.#roomFor(half);
      return count;
    }
    if (half.ended || half.shutRead) return 0;
    if (end.error !== 0) return -end.takeError();
    return half.peer === undefined ? 0 : -Errno.EAGAIN;
  }

  send(end: LoopbackEnd, { parts }: Message): number {
    const half = this.#halves.get(end);
    if (end.error !== 0) return -end.takeError();
    if (half === undefined || half.shutWrite) return -Errno.EPIPE;
    const there = half.peer && this.#halves.get(half.peer)!;
    const wanted = parts.reduce((sum, { length }) => sum + length, 0);
    if (there === undefined) {
      if (!half.ended) return -Errno.EPIPE;
      this.#reset(end);
      return wanted;
    }
    let count = 0;
    for (const part of parts) count += there.inbox.put(part);
    if (count < wanted) half.wantsRoom = true;
    if (count > 0) this.#raise(half.peer!, Ready.IN);
    return count === 0 && wanted > 0 ? -Errno.EAGAIN : count;
  }

  poll(end: LoopbackEnd): number {
    const listener = this.#listeners.get(end);
    if (listener !== undefined) return listener.queue.length > 0 ? Ready.IN : 0;
    const half = this.#halves.get(end);
    if (half === undefined) return this.#connecting.has(end) ? 0 : Ready.OUT | Ready.HANGUP;
    const over = half.ended || half.shutRead || half.peer === undefined;
    const there = half.peer && this.#halves.get(half.peer);
    return (
      (half.inbox.used > 0 || over || end.error !== 0 ? Ready.IN : 0) |
      (there === undefined || there.inbox.room > 0 || half.shutWrite ? Ready.OUT : 0) |
      (end.error !== 0 ? Ready.ERROR : 0) |
      (over && (half.shutWrite || (half.peer === undefined && !half.ended)) ? Ready.HANGUP : 0)
    );
  }

  close(end: LoopbackEnd): void {
    if (end.binding !== undefined) this.#ports.drop(end.binding);
    end.listening = false;
    this.#stopListening(end);
    this.#stopConnecting(end);
    const half = this.#halves.get(end);
    if (half?.peer === undefined) return;
    const { peer } = half;
    half.peer = undefined;
    this.#halves.get(peer)!.peer = undefined;
    if (half.inbox.used > 0 || resetsAtClose(end)) this.#reset(peer);
    else if (!half.shutWrite) this.#end(peer);
  }

  #connected(end: LoopbackEnd): boolean {
    return this.#halves.has(end);
  }

  #join(client: LoopbackEnd, server: LoopbackEnd, to: InetAddress): void {
    const accepted = new LoopbackEnd({ ...server.kind }, () => {});
    const from = loopbackOf(to, client.binding!.address.port);
    const bound = client.binding!.address;
    const source = isAny(bound) ? from : bound;
    client.at = client.own(source);
    client.peerAddress = client.own(to);
    accepted.at = accepted.own(to);
    accepted.peerAddress = accepted.own(source);
    this.#halves.set(client, this.#half(accepted));
    this.#halves.set(accepted, this.#half(client));
    this.#listeners.get(server)!.queue.push(accepted);
    this.#raise(server, Ready.IN);
  }

  #half(peer: LoopbackEnd): Half {
    const inbox = new ByteQueue(this.#bytes);
    return { inbox, peer, ended: false, wantsRoom: false, shutWrite: false, shutRead: false };
  }

  /** A sender that waits is told when half of the queue is free: not for every byte. */
  #roomFor({ inbox, peer }: Half): void {
    const there = peer && this.#halves.get(peer);
    if (there === undefined || !there.wantsRoom || inbox.room < this.#bytes / 2) return;
    there.wantsRoom = false;
    this.#raise(peer!, Ready.OUT);
  }

  #end(peer: LoopbackEnd | undefined): void {
    if (peer === undefined) return;
    this.#halves.get(peer)!.ended = true;
    this.#raise(peer, Ready.IN);
  }

  #reset(end: LoopbackEnd): void {
    const half = this.#halves.get(end)!;
    end.error = half.ended ? Errno.EPIPE : Errno.ECONNRESET;
    half.peer = undefined;
    half.shutWrite = true;
    this.#raise(end, Ready.IN | Ready.OUT | Ready.ERROR | Ready.HANGUP);
  }

  #stopListening(end: LoopbackEnd): void {
    const listener = this.#listeners.get(end);
    if (listener === undefined) return;
    for (const { client, settle } of listener.waiting.splice(0)) {
      this.#connecting.delete(client);
      settle(-Errno.ECONNREFUSED);
    }
    for (const accepted of listener.queue.splice(0)) {
      accepted.closed = true;
      const { peer } = this.#halves.get(accepted)!;
      if (peer !== undefined) this.#reset(peer);
    }
  }

  #stopConnecting(end: LoopbackEnd): void {
    const listener = this.#connecting.get(end);
    if (listener === undefined) return;
    this.#connecting.delete(end);
    const at = listener.waiting.findIndex(({ client }) => client === end);
    for (const { settle } of listener.waiting.splice(at, 1)) settle(-Errno.EBADF);
  }
}
