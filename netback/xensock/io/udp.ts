/**
 * A UDP socket of the machine, as one of a guest's datagram sockets has it: datagrams leave from the guest's ring and arrive in it, no byte copied in
 * between. Knows how the kernel wants to be asked, and whether there may be something to ask for; nothing of rings and records.
 */
import { Errno, OsError } from '../../../osdep/errno.ts';
import * as inet from '../../../osdep/os/inet.ts';
import { EDGE, type Poller, READABLE, WRITABLE } from '../../../osdep/os/poll.ts';
import { Family, type InetAddress } from '../core/address.ts';
import type { Answer } from '../core/hands.ts';
import type { Descriptors } from './descriptors.ts';
import { nameOf, put, sockaddr } from './sockaddr.ts';

const EVERYTHING = (READABLE | WRITABLE | EDGE) >>> 0;

/** What earlier datagrams came to is told before what comes next. */
const MOST_ERRORS = 8;

export interface UdpHost {
  readonly poller: Poller;
  readonly descriptors: Descriptors;
}

export class UdpPort {
  readonly family: 2 | 10;
  /** The kernel has not said otherwise since it was last told. */
  readable = false;
  writable = true;
  readonly #host: UdpHost;
  readonly #onReady: () => void;
  #fd = -1;

  /** `onReady`: it is worth asking again. */
  constructor(host: UdpHost, family: 2 | 10, onReady: () => void) {
    this.#host = host;
    this.family = family;
    this.#onReady = onReady;
  }

  /** Makes the kernel's socket, if there is none yet. 0, or a positive error number. */
  open(): number {
    if (this.#fd >= 0) return 0;
    const { descriptors, poller } = this.#host;
    if (!descriptors.take()) return Errno.EMFILE;
    const fd = inet.open(this.family, 2);
    if (fd < 0) {
      descriptors.giveBack();
      return -fd;
    }
    try {
      poller.add(fd, EVERYTHING, (events) => {
        if ((events & ~WRITABLE) !== 0) this.readable = true;
        if ((events & ~READABLE) !== 0) this.writable = true;
        this.#onReady();
      });
    } catch (error) {
      inet.close(fd);
      descriptors.giveBack();
      if (error instanceof OsError) return error.errno;
      throw error;
    }
    this.#fd = fd;
    return 0;
  }

  /** Answers the port. */
  bind(address: InetAddress): Answer<number> {
    const errno = this.open() || this.#ask(inet.bind, address);
    if (errno !== 0) return { ok: false, errno };
    const name = nameOf(this.#fd, 'own');
    return typeof name === 'number' ? { ok: false, errno: name } : { ok: true, value: name.port };
  }

  connect(address: InetAddress): number {
    return this.open() || this.#ask(inet.connect, address);
  }

  name(which: 'own' | 'peer'): Answer<InetAddress> {
    const name = this.open() || nameOf(this.#fd, which);
    return typeof name === 'number' ? { ok: false, errno: name } : { ok: true, value: name };
  }

  getOption(level: number, name: number): Answer<Uint8Array> {
    const errno = this.open();
    if (errno !== 0) return { ok: false, errno };
    const value = inet.getOption(this.#fd, level, name);
    return typeof value === 'number' ? { ok: false, errno: value } : { ok: true, value };
  }

  setOption(level: number, name: number, value: Uint8Array): number {
    return this.open() || -inet.setOption(this.#fd, level, name, value);
  }

  /** What was aimed at (osdep/os/inet.ts); `to` undefined: the peer. 0: sent, or nothing to be done about it; EAGAIN: `onReady` is called. */
  send(to: InetAddress | undefined): number {
    const errno = this.open();
    if (errno !== 0) return errno;
    const length = to === undefined ? 0 : put(this.family, to, inet.peer);
    // To an address that this socket cannot have nothing goes, least of all to its peer.
    if (to !== undefined && length === 0) return 0;
    // What an earlier datagram came to is told once, and by the next one.
    let sent = inet.sendTo(this.#fd, length);
    if (sent === -Errno.ECONNREFUSED) sent = inet.sendTo(this.#fd, length);
    if (sent !== -Errno.EAGAIN && sent !== -Errno.ENOBUFS) return 0;
    this.writable = sent !== -Errno.EAGAIN;
    return this.writable ? 0 : Errno.EAGAIN;
  }

  /** How long the next one is; -1: there is none now. */
  next(): number {
    for (let tries = 0; this.#fd >= 0 && this.readable; tries++) {
      const length = inet.peekLength(this.#fd);
      if (length >= 0) return length;
      if (length === -Errno.EAGAIN || tries === MOST_ERRORS) this.readable = false;
    }
    return -1;
  }

  /** Into what was aimed at: how much of it, or -1. `inet.received` tells the rest. */
  receive(): number {
    return inet.recvFrom(this.#fd);
  }

  close(): void {
    if (this.#fd < 0) return;
    this.#host.poller.remove(this.#fd);
    inet.close(this.#fd);
    this.#fd = -1;
    this.#host.descriptors.giveBack();
  }

  #ask(call: (fd: number, address: Uint8Array, length: number) => number, address: InetAddress): number {
    const length = put(this.family, address);
    return length === 0 ? Errno.EINVAL : -call(this.#fd, sockaddr, length);
  }
}

/** A socket for addresses of that family and, with IPv6, of the other. */
export function familyFor(address: InetAddress, wanted: 2 | 10): 2 | 10 {
  return address.family === Family.INET6 ? Family.INET6 : wanted;
}
