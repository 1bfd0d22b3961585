/**
 * A driver for streams and datagrams within one guest: 127.0.0.0/8 and ::1, as Linux's loopback interface would have them, without a network. Nothing
 * happens by itself: what a call brings about is told to the other end in a later turn of the loop, all at once and in order, so that one
 * history follows from one sequence of calls. There is no time: a connection that finds the backlog full waits until there is room. What streams do is
 * in `loopback-stream.ts`, datagrams are in `loopback-datagram.ts`.
 */
import { Errno } from '../../../osdep/errno.ts';
import { Family, type InetAddress, SocketType } from '../core/address.ts';
import { Ports } from '../core/localports.ts';
import { plainMemory } from './chunks.ts';
import type { Allocator, Message, Outcome, SocketDriver, SocketKind } from './driver.ts';
import { LoopbackDatagrams } from './loopback-datagram.ts';
import { type Deferred, LoopbackEnd } from './loopback-end.ts';
import { getOption, ONLY6, optionSet, setOption } from './loopback-options.ts';
import { LoopbackStreams } from './loopback-stream.ts';

export interface LoopbackOptions {
  /** For messages and route tables; `loopback`: those of the guest's own addresses go there without a route. */
  readonly name?: string;
  /** What waits in one direction of a stream, a power of two; 256 KiB. */
  readonly streamBytes?: number;
  /** Datagrams that wait at a socket, in bytes; more are dropped. 208 KiB. */
  readonly datagramBytes?: number;
  /** Does the work in a later turn of the loop; `setImmediate`. */
  readonly defer?: Deferred;
}

export class LoopbackDriver implements SocketDriver<LoopbackEnd> {
  readonly name: string;
  readonly families: readonly number[] = [Family.INET, Family.INET6];
  readonly allocator: Allocator = plainMemory;
  readonly #streams: LoopbackStreams;
  readonly #datagrams: LoopbackDatagrams;
  readonly #ready: LoopbackEnd[] = [];
  readonly #defer: Deferred;
  #scheduled = false;

  constructor(options: LoopbackOptions = {}) {
    const {
      name = 'loopback',
      streamBytes = 1 << 18,
      datagramBytes = 212_992,
      defer = setImmediate,
    } = options;
    this.name = name;
    this.#defer = defer;
    const raise = (end: LoopbackEnd, bits: number): void => this.#raise(end, bits);
    this.#streams = new LoopbackStreams(new Ports(), streamBytes, raise);
    this.#datagrams = new LoopbackDatagrams(new Ports(), datagramBytes, raise);
  }

  create(kind: SocketKind, onReady: (bits: number) => void): LoopbackEnd | number {
    if (!this.families.includes(kind.family)) return -Errno.EAFNOSUPPORT;
    if (kind.type !== SocketType.STREAM && kind.type !== SocketType.DGRAM) return -Errno.ESOCKTNOSUPPORT;
    const own = kind.type === SocketType.STREAM ? 6 : 17;
    if (kind.protocol !== 0 && kind.protocol !== own) return -Errno.EPROTONOSUPPORT;
    return new LoopbackEnd(kind, onReady);
  }

  async bind(end: LoopbackEnd, address: InetAddress): Outcome {
    if (end.closed) return -Errno.EBADF;
    if (address.family !== end.kind.family) return -Errno.EAFNOSUPPORT;
    if (end.binding !== undefined) return -Errno.EINVAL;
    return this.#of(end).bind(end, address, optionSet(end, ONLY6));
  }

  async listen(end: LoopbackEnd, backlog: number): Outcome {
    if (end.closed) return -Errno.EBADF;
    return end.stream ? this.#streams.listen(end, backlog) : -Errno.EOPNOTSUPP;
  }

  connect(end: LoopbackEnd, address: InetAddress): Outcome {
    if (end.closed) return Promise.resolve(-Errno.EBADF);
    if (address.family !== end.kind.family) return Promise.resolve(-Errno.EAFNOSUPPORT);
    return this.#of(end).connect(end, address);
  }

  accept(end: LoopbackEnd, onReady: (bits: number) => void): LoopbackEnd | number {
    if (end.closed) return -Errno.EBADF;
    return end.stream ? this.#streams.accept(end, onReady) : -Errno.EOPNOTSUPP;
  }

  async shutdown(end: LoopbackEnd, how: 'read' | 'write' | 'both'): Outcome {
    if (end.closed) return -Errno.EBADF;
    if (end.peerAddress === undefined) return -Errno.ENOTCONN;
    return end.stream ? this.#streams.shutdown(end, how) : 0;
  }

  recv(end: LoopbackEnd, into: Uint8Array): number {
    return this.recvmsg(end, { parts: [into] });
  }

  recvfrom(end: LoopbackEnd, into: Uint8Array): { readonly count: number; readonly from?: InetAddress } {
    const message: Message = { parts: [into] };
    const count = this.recvmsg(end, message);
    return message.address === undefined ? { count } : { count, from: message.address };
  }

  recvmsg(end: LoopbackEnd, message: Message): number {
    if (end.closed) return -Errno.EBADF;
    return this.#of(end).receive(end, message);
  }

  send(end: LoopbackEnd, bytes: Uint8Array): number {
    return this.sendmsg(end, { parts: [bytes] });
  }

  sendto(end: LoopbackEnd, bytes: Uint8Array, to: InetAddress): number {
    return this.sendmsg(end, { parts: [bytes], address: to });
  }

  sendmsg(end: LoopbackEnd, message: Message): number {
    if (end.closed) return -Errno.EBADF;
    if (message.address !== undefined && message.address.family !== end.kind.family)
      return -Errno.EAFNOSUPPORT;
    return this.#of(end).send(end, message);
  }

  async getpeername(end: LoopbackEnd): Promise<InetAddress | number> {
    if (end.closed) return -Errno.EBADF;
    return end.peerAddress ?? -Errno.ENOTCONN;
  }

  async getsockname(end: LoopbackEnd): Promise<InetAddress | number> {
    return end.closed ? -Errno.EBADF : end.ownAddress;
  }

  async getsockopt(end: LoopbackEnd, level: number, name: number): Promise<Uint8Array | number> {
    return end.closed ? -Errno.EBADF : getOption(end, level, name);
  }

  async setsockopt(end: LoopbackEnd, level: number, name: number, value: Uint8Array): Outcome {
    return end.closed ? -Errno.EBADF : setOption(end, level, name, value);
  }

  poll(end: LoopbackEnd): number {
    return end.closed ? 0 : this.#of(end).poll(end);
  }

  async close(end: LoopbackEnd): Promise<void> {
    if (end.closed) return;
    end.closed = true;
    this.#of(end).close(end);
  }

  #of(end: LoopbackEnd): LoopbackStreams | LoopbackDatagrams {
    return end.stream ? this.#streams : this.#datagrams;
  }

  #raise(end: LoopbackEnd, bits: number): void {
    if (end.raised === 0) this.#ready.push(end);
    end.raised |= bits;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#defer(() => this.#tell());
  }

  #tell(): void {
    this.#scheduled = false;
    const told = this.#ready.splice(0);
    let next = 0;
    try {
      while (next < told.length) {
        const end = told[next++]!;
        const bits = end.raised;
        end.raised = 0;
        if (!end.closed) end.onReady(bits);
      }
    } finally {
      // Only where a callback threw is anything left.
      if (next < told.length) {
        this.#ready.unshift(...told.slice(next));
        this.#schedule();
      }
    }
  }
}
