/**
 * One socket, whichever driver it is of: the operations of a driver without the argument. A socket for which there were several drivers when it
 * was made is of none until an address says which: bind, connect, or the first datagram's. What was asked before (options, a bind to the wildcard
 * of a stream) is kept and asked of the driver that is chosen. Looks into no address but for the wildcard.
 */
import { Errno } from '../../../osdep/errno.ts';
import { isAny, SocketType } from '../core/address.ts';
import { ENOTSUP } from '../core/pvcalls.ts';
import { plainMemory } from './chunks.ts';
import {
  type Allocator,
  type Message,
  type Outcome,
  Ready,
  type SocketAddress,
  type SocketDriver,
  type SocketKind,
} from './driver.ts';
import { isInet } from './routes.ts';

type Driver = SocketDriver<unknown, SocketAddress>;

interface Option {
  readonly level: number;
  readonly name: number;
  readonly value: Uint8Array;
}

/** Where options are unknown to the driver that was chosen later, they are left out. */
const UNKNOWN_OPTION: ReadonlySet<number> = new Set([-ENOTSUP, -Errno.EOPNOTSUPP, -Errno.ENOPROTOOPT]);

export class SocketHandle {
  readonly kind: SocketKind;
  readonly #onReady: (bits: number) => void;
  readonly #choose: (address: SocketAddress) => Driver | undefined;
  readonly #options: Option[] = [];
  #bound: SocketAddress | undefined;
  #driver: Driver | undefined;
  #state: unknown;

  /** Of no driver yet. */
  constructor(
    kind: SocketKind,
    onReady: (bits: number) => void,
    choose: (address: SocketAddress) => Driver | undefined,
  ) {
    this.kind = kind;
    this.#onReady = onReady;
    this.#choose = choose;
  }

  static of(kind: SocketKind, driver: Driver, state: unknown): SocketHandle {
    const handle = new SocketHandle(
      kind,
      () => {},
      () => driver,
    );
    handle.#driver = driver;
    handle.#state = state;
    return handle;
  }

  /** undefined: not chosen yet. */
  get driver(): string | undefined {
    return this.#driver?.name;
  }

  /** Of whoever carries it; without a driver nothing is received. */
  get allocator(): Allocator {
    return this.#driver?.allocator ?? plainMemory;
  }

  async bind(address: SocketAddress): Outcome {
    if (this.#driver === undefined) {
      if (this.#bound !== undefined) return -Errno.EINVAL;
      if (this.kind.type === SocketType.STREAM && isInet(address) && isAny(address)) {
        this.#bound = address;
        return 0;
      }
      const errno = await this.#settle(address);
      if (errno < 0) return errno;
    }
    return this.#driver!.bind(this.#state, address);
  }

  async listen(backlog: number): Outcome {
    if (this.#driver === undefined) {
      if (this.#bound === undefined) return -Errno.EDESTADDRREQ;
      const errno = await this.#settle(this.#bound);
      if (errno < 0) return errno;
    }
    return this.#driver!.listen(this.#state, backlog);
  }

  async connect(address: SocketAddress): Outcome {
    if (this.#driver === undefined) {
      const errno = await this.#settle(address);
      if (errno < 0) return errno;
    }
    return this.#driver!.connect(this.#state, address);
  }

  /** A number: minus an error number. */
  accept(onReady: (bits: number) => void): SocketHandle | number {
    if (this.#driver === undefined) return -Errno.EINVAL;
    const state = this.#driver.accept(this.#state, onReady);
    return typeof state === 'number' ? state : SocketHandle.of(this.kind, this.#driver, state);
  }

  async shutdown(how: 'read' | 'write' | 'both'): Outcome {
    return this.#driver === undefined ? -Errno.ENOTCONN : this.#driver.shutdown(this.#state, how);
  }

  recv(into: Uint8Array): number {
    return this.#driver === undefined ? this.#nothingYet() : this.#driver.recv(this.#state, into);
  }

  recvfrom(into: Uint8Array): { readonly count: number; readonly from?: SocketAddress } {
    if (this.#driver === undefined) return { count: this.#nothingYet() };
    return this.#driver.recvfrom(this.#state, into);
  }

  recvmsg(message: Message<SocketAddress>): number {
    return this.#driver === undefined ? this.#nothingYet() : this.#driver.recvmsg(this.#state, message);
  }

  send(bytes: Uint8Array): number {
    return this.#driver === undefined ? -Errno.ENOTCONN : this.#driver.send(this.#state, bytes);
  }

  /** -EAGAIN, too, while what was asked before is asked of the driver that is chosen by the first address. */
  sendto(bytes: Uint8Array, to: SocketAddress): number {
    const errno = this.#chosenFor(to);
    return errno < 0 ? errno : this.#driver!.sendto(this.#state, bytes, to);
  }

  sendmsg(message: Message<SocketAddress>): number {
    const errno = this.#chosenFor(message.address);
    return errno < 0 ? errno : this.#driver!.sendmsg(this.#state, message);
  }

  async getpeername(): Promise<SocketAddress | number> {
    return this.#driver === undefined ? -Errno.ENOTCONN : this.#driver.getpeername(this.#state);
  }

  /** Before a driver is chosen: what the socket was bound to, port 0 though it be. */
  async getsockname(): Promise<SocketAddress | number> {
    if (this.#driver === undefined) return this.#bound ?? -Errno.ENOTCONN;
    return this.#driver.getsockname(this.#state);
  }

  /** Before a driver is chosen: what was set, or -ENOTCONN. */
  async getsockopt(level: number, name: number): Promise<Uint8Array | number> {
    if (this.#driver !== undefined) return this.#driver.getsockopt(this.#state, level, name);
    const set = this.#options.findLast((option) => option.level === level && option.name === name);
    return set?.value.slice() ?? -Errno.ENOTCONN;
  }

  async setsockopt(level: number, name: number, value: Uint8Array): Outcome {
    if (this.#driver !== undefined) return this.#driver.setsockopt(this.#state, level, name, value);
    const same = this.#options.findIndex((option) => option.level === level && option.name === name);
    if (same >= 0) this.#options.splice(same, 1);
    this.#options.push({ level, name, value: value.slice() });
    return 0;
  }

  /** Bits of `Ready`. */
  poll(): number {
    if (this.#driver !== undefined) return this.#driver.poll(this.#state);
    return this.kind.type === SocketType.STREAM ? Ready.OUT | Ready.HANGUP : Ready.OUT;
  }

  async close(): Promise<void> {
    await this.#driver?.close(this.#state);
  }

  #nothingYet(): number {
    return this.kind.type === SocketType.STREAM ? -Errno.ENOTCONN : -Errno.EAGAIN;
  }

  #chosenFor(to: SocketAddress | undefined): number {
    if (this.#driver !== undefined) return 0;
    if (to === undefined) return -Errno.ENOTCONN;
    if (this.#options.length === 0) return this.#take(to);
    void this.#settle(to).then(() => this.#onReady(Ready.OUT));
    return -Errno.EAGAIN;
  }

  /** A socket of the driver that an address is for. From here on all calls go there. */
  #take(address: SocketAddress): number {
    const driver = this.#choose(address);
    if (driver === undefined) return -Errno.EAFNOSUPPORT;
    const state = driver.create(this.kind, this.#onReady);
    if (typeof state === 'number') return state;
    this.#driver = driver;
    this.#state = state;
    return 0;
  }

  /** `#take`, and what was asked before. 0, or minus an error number. */
  async #settle(address: SocketAddress): Outcome {
    const errno = this.#take(address);
    if (errno < 0) return errno;
    for (const { level, name, value } of this.#options.splice(0)) {
      const answer = await this.#driver!.setsockopt(this.#state, level, name, value);
      if (answer < 0 && !UNKNOWN_OPTION.has(answer)) return answer;
    }
    return this.#bound === undefined ? 0 : this.#driver!.bind(this.#state, this.#bound);
  }
}
