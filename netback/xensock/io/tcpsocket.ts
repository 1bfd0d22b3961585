/**
 * A TCP socket of the machine, as long as it is there: made when something is to be done with it that the kernel has to know of, counted, watched for
 * every change of what it is ready for. Knows no ring and no guest. Errors are positive numbers, 0: done.
 */
import { Errno, OsError } from '../../../osdep/errno.ts';
import * as inet from '../../../osdep/os/inet.ts';
import { EDGE, PEER_DONE, type Poller, READABLE, URGENT, WRITABLE } from '../../../osdep/os/poll.ts';
import { Family, type InetAddress } from '../core/address.ts';
import type { Answer } from '../core/hands.ts';
import type { Descriptors } from './descriptors.ts';
import { nameOf, put, sockaddr } from './sockaddr.ts';

export interface TcpSocketHost {
  readonly poller: Poller;
  readonly descriptors: Descriptors;
}

const MOST_BACKLOG = 4096;
const ECONNABORTED = 103;
/**
 * Told once for each change, so that nothing has to be said to the kernel when a ring is full or a peer slow: that would be a call of 0.5 us each time,
 * which is what finding out by a receive in vain costs.
 */
const EVERYTHING = (READABLE | WRITABLE | PEER_DONE | URGENT | EDGE) >>> 0;

export class TcpSocket {
  readonly #host: TcpSocketHost;
  readonly #onReady: (events: number) => void;
  #fd = -1;
  #family: number;
  #watched = false;
  /** A connection that is accepted though nobody has asked yet, so that it is known to be there. */
  #ahead = -1;

  constructor(host: TcpSocketHost, family: number, onReady: (events: number) => void) {
    this.#host = host;
    this.#family = family;
    this.#onReady = onReady;
  }

  /** -1: there is none. */
  get fd(): number {
    return this.#fd;
  }

  /** Answers the port. */
  bind(address: InetAddress): Answer<number> {
    const length = this.#open(address) || put(this.#family, address);
    if (this.#fd < 0) return { ok: false, errno: length };
    if (length === 0) return { ok: false, errno: Errno.EINVAL };
    inet.setNumber(this.#fd, inet.Option.SOL_SOCKET, inet.Option.SO_REUSEADDR, 1);
    const bound = inet.bind(this.#fd, sockaddr, length);
    if (bound < 0) return { ok: false, errno: -bound };
    const name = nameOf(this.#fd, 'own');
    return typeof name === 'number' ? { ok: false, errno: name } : { ok: true, value: name.port };
  }

  listen(backlog: number): number {
    return -inet.listen(this.#fd, Math.min(Math.max(backlog, 1), MOST_BACKLOG)) || this.#watch();
  }

  /** 0: it stands; EINPROGRESS: `onReady` is called, and `inet.pendingError` knows. */
  connect(address: InetAddress): number {
    const length = this.#open(address) || put(this.#family, address);
    if (this.#fd < 0) return length;
    if (length === 0) return Errno.EINVAL;
    const errno = -inet.connect(this.#fd, sockaddr, length);
    return errno === 0 || errno === Errno.EINPROGRESS ? this.#watch() || errno : errno;
  }

  /** The first connection that waits becomes `into`'s. EAGAIN: none. */
  accept(into: TcpSocket): number {
    const fd = this.#next();
    if (fd < 0) return -fd;
    this.#ahead = -1;
    into.#fd = fd;
    into.#family = this.#family;
    const errno = into.#watch();
    if (errno !== 0) into.close(inet.abort);
    return errno;
  }

  /** Whether `accept` would answer anything but EAGAIN. */
  accepts(): boolean {
    const fd = this.#next();
    if (fd >= 0) this.#ahead = fd;
    return fd !== -Errno.EAGAIN;
  }

  name(which: 'own' | 'peer'): Answer<InetAddress> {
    const name = this.#fd < 0 ? Errno.ENOTCONN : nameOf(this.#fd, which);
    return typeof name === 'number' ? { ok: false, errno: name } : { ok: true, value: name };
  }

  getOption(level: number, name: number): Answer<Uint8Array> {
    const errno = this.#open();
    if (errno !== 0) return { ok: false, errno };
    const value = inet.getOption(this.#fd, level, name);
    return typeof value === 'number' ? { ok: false, errno: value } : { ok: true, value };
  }

  setOption(level: number, name: number, value: Uint8Array): number {
    return this.#open() || -inet.setOption(this.#fd, level, name, value);
  }

  /** The kernel's socket for somebody else, who closes it and gives its number back. Not watched any more. */
  handOver(): number {
    const fd = this.#fd;
    this.#unwatch();
    this.#fd = -1;
    return fd;
  }

  /** Idempotent. */
  close(how: (fd: number) => void = inet.closeInOrder): void {
    const { descriptors } = this.#host;
    if (this.#ahead >= 0) {
      inet.abort(this.#ahead);
      this.#ahead = -1;
      descriptors.giveBack();
    }
    if (this.#fd < 0) return;
    how(this.handOver());
    descriptors.giveBack();
  }

  /** The next connection, or minus an error number. */
  #next(): number {
    if (this.#ahead >= 0) return this.#ahead;
    const { descriptors } = this.#host;
    if (!descriptors.take()) return -Errno.EMFILE;
    let fd: number;
    do fd = inet.accept(this.#fd);
    while (fd === -ECONNABORTED || fd === -Errno.EINTR);
    if (fd < 0) descriptors.giveBack();
    return fd;
  }

  /** Makes it, if there is none yet, so that it goes with an address. */
  #open(address?: InetAddress): number {
    if (this.#fd >= 0) return 0;
    if (address?.family === Family.INET6) this.#family = Family.INET6;
    const { descriptors } = this.#host;
    if (!descriptors.take()) return Errno.EMFILE;
    const fd = inet.open(this.#family, 1);
    if (fd < 0) {
      descriptors.giveBack();
      return -fd;
    }
    this.#fd = fd;
    inet.endAbruptly(fd);
    // What a guest writes is gathered in its ring: the kernel need not wait for more. Connections that are accepted have both from their listener.
    inet.setNumber(fd, inet.Option.IPPROTO_TCP, inet.Option.TCP_NODELAY, 1);
    return 0;
  }

  #watch(): number {
    if (this.#watched) return 0;
    try {
      this.#host.poller.add(this.#fd, EVERYTHING, (events) => this.#onReady(events));
      this.#watched = true;
      return 0;
    } catch (error) {
      if (error instanceof OsError) return error.errno;
      throw error;
    }
  }

  #unwatch(): void {
    if (!this.#watched) return;
    this.#watched = false;
    this.#host.poller.remove(this.#fd);
  }
}
