/**
 * Datagrams as Node's `dgram.Socket` has them, over a socket of any driver. A datagram that the driver has no room for waits, few of them; more are refused
 * with ENOBUFS, as a network would drop them.
 */
import { EventEmitter } from 'node:events';
import { Errno } from '../../../osdep/errno.ts';
import { Family, formatIp, type InetAddress, SocketType } from '../core/address.ts';
import { failure, portOf, SocketError } from './errors.ts';
import type { SocketHandle } from './handle.ts';
import { type AddressInfo, infoOf, type Lookup, literal, lookUp } from './hosts.ts';
import type { SocketRegistry } from './registry.ts';
import { isInet } from './routes.ts';
import { broadcast } from './sockopt.ts';

const WAITING_MOST = 256;
const DATAGRAMS_A_TURN = 256;
/** Room for any: a datagram is received whole or cut. */
const arriving = new Uint8Array(65_536);

export interface DatagramOptions {
  readonly type: 'udp4' | 'udp6';
  readonly lookup?: Lookup | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Of a message that has come. */
export interface RemoteInfo extends AddressInfo {
  readonly size: number;
}

export interface BindOptions {
  readonly port?: number | undefined;
  readonly address?: string | undefined;
}

type Message = Uint8Array | string | readonly (Uint8Array | string)[];
type Sent = (error: Error | null, bytes: number) => void;

interface Outgoing {
  readonly parts: readonly Uint8Array[];
  readonly to: InetAddress | undefined;
  readonly done: Sent | undefined;
}

export class DatagramSocket extends EventEmitter {
  readonly #handle: SocketHandle;
  readonly #family: number;
  readonly #lookup: Lookup | undefined;
  readonly #waiting: Outgoing[] = [];
  #own: InetAddress | undefined;
  #peer: InetAddress | undefined;
  #state: 'unbound' | 'binding' | 'bound' | 'closed' = 'unbound';
  /** What the last attempt to receive answered, if that was an error. */
  #lastError = 0;

  /** Throws what the registry says: EAFNOSUPPORT, ... */
  constructor(
    registry: SocketRegistry,
    options: DatagramOptions,
    listener?: (message: Buffer, from: RemoteInfo) => void,
  ) {
    super();
    this.#family = options.type === 'udp4' ? Family.INET : Family.INET6;
    this.#lookup = options.lookup;
    const kind = { family: this.#family, type: SocketType.DGRAM, protocol: 0 };
    const handle = registry.socket(kind, () => this.#ready());
    if (typeof handle === 'number') throw failure('socket', handle);
    this.#handle = handle;
    if (listener !== undefined) this.on('message', listener);
    const aborted = (): void => void (this.#state !== 'closed' && this.close());
    if (options.signal?.aborted) process.nextTick(aborted);
    else options.signal?.addEventListener('abort', aborted, { once: true });
  }

  bind(options: BindOptions, listener?: () => void): this;
  bind(port?: number, host?: string, listener?: () => void): this;
  bind(port?: number, listener?: () => void): this;
  bind(listener?: () => void): this;
  bind(...args: readonly unknown[]): this {
    const { port, host, listener } = ends(args);
    if (this.#state !== 'unbound')
      throw new SocketError('the socket is bound already', 'ERR_SOCKET_ALREADY_BOUND');
    if (listener !== undefined) this.once('listening', listener);
    this.#state = 'binding';
    this.#report(this.#bind(portOf(port ?? 0, 0), host));
    return this;
  }

  /** From now on datagrams go to, and come from, that peer alone. */
  connect(port: number, host?: string, listener?: () => void): this;
  connect(port: number, listener?: () => void): this;
  connect(...args: readonly unknown[]): this {
    const { port, host, listener } = ends(args);
    if (listener !== undefined) this.once('connect', listener);
    this.#report(this.#connect(portOf(port, 1), host));
    return this;
  }

  /** Of a connected socket without port and host. `done`: the driver has it, or never will. */
  send(message: Message, done?: Sent): this;
  send(message: Message, port: number, done?: Sent): this;
  send(message: Message, port: number, host: string, done?: Sent): this;
  send(message: Uint8Array | string, offset: number, length: number, done?: Sent): this;
  send(
    message: Uint8Array | string,
    offset: number,
    length: number,
    port: number,
    host?: string,
    done?: Sent,
  ): this;
  send(message: Message, ...rest: readonly unknown[]): this {
    const done = rest.findLast((value) => typeof value === 'function') as Sent | undefined;
    const host = rest.find((value) => typeof value === 'string');
    const numbers = rest.filter((value) => typeof value === 'number');
    let parts = toParts(message);
    if (numbers.length > 1) {
      const [offset, length] = numbers as [number, number];
      parts = [parts[0]!.subarray(offset, offset + length)];
    }
    const port = numbers.length === 2 ? undefined : numbers.at(-1);
    if (port === undefined) {
      this.#put({ parts, to: undefined, done });
      return this;
    }
    const to = this.#find(host, portOf(port, 1));
    if (!(to instanceof Promise)) this.#put({ parts, to, done });
    else
      to.then(
        (found) => this.#put({ parts, to: found, done }),
        (error: Error) => this.#failed(error, done),
      );
    return this;
  }

  /** Throws when it is bound nowhere yet. */
  address(): AddressInfo {
    if (this.#own === undefined) throw failure('getsockname', -Errno.EBADF);
    return infoOf(this.#own);
  }

  /** Throws when there is no peer. */
  remoteAddress(): AddressInfo {
    if (this.#peer === undefined) throw new SocketError('Not connected', 'ERR_SOCKET_DGRAM_NOT_CONNECTED');
    return infoOf(this.#peer);
  }

  setBroadcast(on: boolean): void {
    void broadcast(this.#handle, on);
  }

  /** Whether the process lives on is the platform's matter: this changes nothing. */
  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  close(listener?: () => void): this {
    if (this.#state === 'closed') throw new SocketError('Not running', 'ERR_SOCKET_DGRAM_NOT_RUNNING');
    if (listener !== undefined) this.once('close', listener);
    this.#state = 'closed';
    for (const { done } of this.#waiting.splice(0)) done?.(failure('send', -Errno.EBADF), 0);
    void this.#handle.close().finally(() => process.nextTick(() => this.emit('close')));
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state !== 'closed') await new Promise<void>((resolve) => this.close(() => resolve()));
  }

  #report(work: Promise<void>): void {
    work.catch((error: Error) => {
      process.nextTick(() => {
        if (this.#state !== 'closed') this.emit('error', error);
      });
    });
  }

  async #bind(port: number, host: string | undefined): Promise<void> {
    const address = await this.#find(host ?? (this.#family === Family.INET ? '0.0.0.0' : '::'), port);
    const errno = await this.#handle.bind(address);
    if (this.#state === 'closed') return;
    if (errno < 0) {
      this.#state = 'unbound';
      throw failure('bind', errno, { address: formatIp(address), port });
    }
    await this.#listening(address);
  }

  async #connect(port: number, host: string | undefined): Promise<void> {
    const address = await this.#find(host, port);
    const errno = await this.#handle.connect(address);
    if (this.#state === 'closed') return;
    if (errno < 0) throw failure('connect', errno, { address: formatIp(address), port });
    this.#peer = address;
    if (this.#state === 'unbound') await this.#listening();
    process.nextTick(() => this.emit('connect'));
  }

  /** It is bound: by itself, or by a connect or a first datagram. */
  async #listening(asked?: InetAddress): Promise<void> {
    this.#state = 'bound';
    const own = await this.#handle.getsockname();
    this.#own = typeof own !== 'number' && isInet(own) ? own : asked;
    process.nextTick(() => {
      if (this.#state === 'closed') return;
      this.emit('listening');
      this.#receive();
    });
  }

  #find(host: string | undefined, port: number): InetAddress | Promise<InetAddress> {
    const family = this.#family === Family.INET ? 4 : 6;
    const name = host ?? 'localhost';
    return literal(name, port, family) ?? lookUp(name, port, { family, lookup: this.#lookup });
  }

  #put(outgoing: Outgoing): void {
    if (this.#state === 'closed') this.#failed(failure('send', -Errno.EBADF), outgoing.done);
    else if (this.#waiting.length > 0 && this.#waiting.length >= WAITING_MOST)
      this.#failed(failure('send', -Errno.ENOBUFS), outgoing.done);
    else {
      this.#waiting.push(outgoing);
      if (this.#waiting.length === 1) this.#send();
    }
  }

  #send(): void {
    while (this.#waiting.length > 0) {
      const { parts, to, done } = this.#waiting[0]!;
      const count = this.#handle.sendmsg({ parts, address: to });
      if (count === -Errno.EAGAIN) return;
      this.#waiting.shift();
      const target = to && { address: formatIp(to), port: to.port };
      if (count < 0) this.#failed(failure('send', count, target), done);
      else if (done !== undefined) process.nextTick(done, null, count);
    }
    if (this.#state === 'unbound') this.#report(this.#listening());
  }

  #failed(error: Error, done: Sent | undefined): void {
    process.nextTick(() => {
      if (done !== undefined) done(error, 0);
      else if (this.#state !== 'closed') this.emit('error', error);
    });
  }

  #ready(): void {
    if (this.#waiting.length > 0) this.#send();
    this.#receive();
  }

  #receive(): void {
    // Also if a listener throws: nobody else would look again.
    let later = true;
    try {
      later = this.#receiveSome();
    } finally {
      if (later) setImmediate(() => this.#receive());
    }
  }

  /** true: there may be more, for the next turn of the loop. */
  #receiveSome(): boolean {
    for (let count = 0; count < DATAGRAMS_A_TURN; count++) {
      if (this.#state !== 'bound') return false;
      const { count: bytes, from } = this.#handle.recvfrom(arriving);
      // An error may be one datagram's (nobody is at the peer's port), or the socket's end, which is told once.
      const again = bytes < 0 && bytes === this.#lastError;
      this.#lastError = Math.min(bytes, 0);
      if (bytes === -Errno.EAGAIN || again) return false;
      if (bytes < 0) {
        this.emit('error', failure('recvmsg', bytes));
        continue;
      }
      const sender = from ?? this.#peer;
      const message = Buffer.from(arriving.subarray(0, bytes));
      if (sender !== undefined && isInet(sender))
        this.emit('message', message, { ...infoOf(sender), size: bytes });
    }
    return true;
  }
}

function toParts(message: Message): readonly Uint8Array[] {
  const parts = typeof message === 'string' || message instanceof Uint8Array ? [message] : message;
  return parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part));
}

/** As Node has them: an object, or port, host and listener, each of which may be left out. */
function ends(args: readonly unknown[]): {
  readonly port: number | undefined;
  readonly host: string | undefined;
  readonly listener: (() => void) | undefined;
} {
  const listener = args.find((arg): arg is () => void => typeof arg === 'function');
  const [first] = args;
  if (typeof first !== 'object' || first === null)
    return {
      port: args.find((arg) => typeof arg === 'number'),
      host: args.find((arg) => typeof arg === 'string'),
      listener,
    };
  const { port, address } = first as BindOptions;
  return { port, host: address, listener };
}
