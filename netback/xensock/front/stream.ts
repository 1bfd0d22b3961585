/**
 * A stream as Node's `net.Socket` has it, over a socket of any driver: whatever takes one of those (http, ws, undici) takes this. Bytes are read from
 * the driver when the program wants some, and a write is done when the driver has them: nothing is kept here but what Node's streams keep. Time
 * is the program's alone (`setTimeout`).
 */
import { Duplex } from 'node:stream';
import { Errno } from '../../../osdep/errno.ts';
import { formatIp, type InetAddress, SocketType } from '../core/address.ts';
import { room, taken } from './chunks.ts';
import {
  type ConnectArguments,
  type ConnectOptions,
  connectArguments,
  type SocketOptions,
} from './connectoptions.ts';
import { Ready, type SocketAddress } from './driver.ts';
import { failure, portOf, SocketError } from './errors.ts';
import type { SocketHandle } from './handle.ts';
import { type AddressInfo, infoOf, literal, lookUp } from './hosts.ts';
import { Outbox } from './outbox.ts';
import type { SocketRegistry } from './registry.ts';
import { isInet } from './routes.ts';
import { keepAlive, linger, noDelay } from './sockopt.ts';

/** Of a stream that is read as fast as it comes, in one turn of the loop. */
const TURN_BYTES = 1 << 20;

/** A connection that stands already. */
interface Accepted {
  readonly handle: SocketHandle;
  readonly own: SocketAddress | number;
  readonly peer: SocketAddress | number;
}

export class Socket extends Duplex {
  connecting = false;
  /** By `setTimeout`; undefined: none. */
  timeout: number | undefined;
  bytesRead = 0;
  readonly #registry: SocketRegistry;
  readonly #outbox = new Outbox();
  #handle: SocketHandle | undefined;
  #own: InetAddress | undefined;
  #peer: InetAddress | undefined;
  /** There may be something to receive. */
  #readable = true;
  /** The program wants more. */
  #wanted = false;
  #pulling = false;
  #idle: NodeJS.Timeout | undefined;
  #noDelay: boolean | undefined;
  /** It is going to be reset: to be closed when this is settled. */
  #lingers: Promise<number> | undefined;
  #keepAlive: { readonly on: boolean; readonly delayMs: number } | undefined;

  constructor(registry: SocketRegistry, options: SocketOptions = {}, accepted?: Accepted) {
    const { allowHalfOpen = false, highWaterMark = 65_536, signal } = options;
    super({ allowHalfOpen, highWaterMark, emitClose: false, ...(signal && { signal }) });
    this.#registry = registry;
    if (accepted === undefined) return;
    this.#handle = accepted.handle;
    this.#name(accepted.own, accepted.peer);
  }

  connect(...args: ConnectArguments): this {
    const [options, listener] = connectArguments(args);
    if (listener !== undefined) this.once('connect', listener as () => void);
    if (options.timeout) this.setTimeout(options.timeout);
    if (options.noDelay !== undefined) this.#noDelay = options.noDelay;
    if (options.keepAlive) this.#keepAlive = { on: true, delayMs: options.keepAliveInitialDelay ?? 0 };
    const { host = 'localhost', port, address } = options;
    const to = address ?? literal(host ?? 'localhost', portOf(port, 0), options.family);
    this.connecting = true;
    const found = to === undefined ? this.#lookUp(host!, portOf(port, 0), options) : undefined;
    const going =
      found === undefined ? this.#go(to!, options) : found.then((there) => this.#go(there, options));
    // What listeners throw is theirs: not a promise's, and not the connection's.
    going.then(
      (own) => process.nextTick(() => this.#connected(own)),
      (error: Error) => this.destroy(error),
    );
    return this;
  }

  /** For whoever made the socket's handle: bits of `Ready`. */
  onReady(bits: number): void {
    if ((bits & ~Ready.OUT) !== 0) {
      this.#readable = true;
      if (this.#wanted) this.#pull();
    }
    if (this.#outbox.waits) this.#flush();
  }

  get pending(): boolean {
    return this.#handle === undefined || this.connecting;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  get bytesWritten(): number {
    return this.#outbox.sent + this.writableLength;
  }

  get bufferSize(): number {
    return this.writableLength;
  }

  get remoteAddress(): string | undefined {
    return this.#peer && formatIp(this.#peer);
  }

  get remotePort(): number | undefined {
    return this.#peer?.port;
  }

  get remoteFamily(): string | undefined {
    return this.#peer && infoOf(this.#peer).family;
  }

  get localAddress(): string | undefined {
    return this.#own && formatIp(this.#own);
  }

  get localPort(): number | undefined {
    return this.#own?.port;
  }

  get localFamily(): string | undefined {
    return this.#own && infoOf(this.#own).family;
  }

  /** `{}`: unknown. */
  address(): AddressInfo | Record<string, never> {
    return this.#own === undefined ? {} : infoOf(this.#own);
  }

  /** The socket's driver; undefined: not chosen yet, or no socket. */
  get driver(): string | undefined {
    return this.#handle?.driver;
  }

  /** Milliseconds without a byte until `timeout` is emitted, and nothing else done; 0: never. */
  setTimeout(ms: number, listener?: () => void): this {
    if (this.destroyed) return this;
    clearTimeout(this.#idle);
    this.#idle = undefined;
    this.timeout = ms;
    if (ms > 0) {
      this.#idle = setTimeout(() => this.emit('timeout'), ms);
      this.#idle.unref();
      if (listener !== undefined) this.once('timeout', listener);
    } else if (listener !== undefined) this.off('timeout', listener);
    return this;
  }

  setNoDelay(on = true): this {
    this.#noDelay = on;
    if (this.#handle !== undefined) void noDelay(this.#handle, on);
    return this;
  }

  setKeepAlive(on = false, initialDelay = 0): this {
    this.#keepAlive = { on, delayMs: initialDelay };
    if (this.#handle !== undefined) void keepAlive(this.#handle, on, initialDelay);
    return this;
  }

  /** Whether the process lives on is the platform's matter: this changes nothing. */
  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  /** Once all is written. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** The peer is told by a reset; what is not sent is lost. */
  resetAndDestroy(): this {
    if (this.#handle === undefined)
      return this.destroy(new SocketError('Socket is closed', 'ERR_SOCKET_CLOSED'));
    if (this.connecting) this.once('connect', () => this.#reset());
    else this.#reset();
    return this;
  }

  override _read(): void {
    this.#wanted = true;
    if (this.#readable) this.#pull();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#outbox.fill([chunk], callback);
    this.#flush();
  }

  override _writev(
    chunks: readonly { readonly chunk: Buffer }[],
    callback: (error?: Error | null) => void,
  ): void {
    const parts = chunks.map(({ chunk }) => chunk);
    this.#outbox.fill(parts, callback);
    this.#flush();
  }

  /** A driver that cannot end one side alone does so when the socket is closed. */
  override _final(callback: (error?: Error | null) => void): void {
    if (this.connecting) {
      this.once('connect', () => this._final(callback));
      return;
    }
    const told = this.#handle?.shutdown('write') ?? Promise.resolve(0);
    told.then(
      () => callback(),
      (error: Error) => callback(error),
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const handle = this.#handle;
    this.#handle = undefined;
    this.connecting = false;
    this.#wanted = false;
    clearTimeout(this.#idle);
    this.#outbox.fail(error ?? new SocketError('Socket is closed', 'ERR_SOCKET_CLOSED'));
    callback(error);
    process.nextTick(() => this.emit('close', error !== null));
    if (this.#lingers === undefined) void handle?.close();
    else void this.#lingers.then(() => handle?.close());
  }

  async #lookUp(host: string, port: number, options: ConnectOptions): Promise<InetAddress> {
    const tell = (error: Error | null, address?: InetAddress): boolean => {
      const family = address && (address.family === 2 ? 4 : 6);
      return this.emit('lookup', error, address && formatIp(address), family, host);
    };
    try {
      const address = await lookUp(host, port, options);
      tell(null, address);
      return address;
    } catch (error) {
      tell(error as Error);
      throw Object.assign(error as Error, { port });
    }
  }

  /** Answers the own address. */
  async #go(to: SocketAddress, options: ConnectOptions): Promise<SocketAddress | number> {
    if (this.destroyed) return 0;
    const kind = { family: to.family, type: SocketType.STREAM, protocol: 0 };
    const handle = this.#registry.socket(kind, (bits) => this.onReady(bits));
    const target = isInet(to) ? { address: formatIp(to), port: to.port } : {};
    if (typeof handle === 'number') throw failure('connect', handle, target);
    this.#handle = handle;
    if (this.#noDelay !== undefined) void noDelay(handle, this.#noDelay);
    if (this.#keepAlive !== undefined) void keepAlive(handle, this.#keepAlive.on, this.#keepAlive.delayMs);
    const from = localAddress(to, options);
    const bound = from === undefined ? 0 : await handle.bind(from);
    if (bound < 0) throw failure('bind', bound, { address: formatIp(from!), port: from!.port });
    if (this.destroyed) return 0;
    const errno = await handle.connect(to);
    if (this.destroyed) return 0;
    if (errno < 0) throw failure('connect', errno, target);
    this.#name(0, to);
    return handle.getsockname();
  }

  #connected(own: SocketAddress | number): void {
    if (this.destroyed) return;
    this.#name(own, 0);
    this.connecting = false;
    this.#active();
    this.#flush();
    this.emit('connect');
    this.emit('ready');
    if (this.#wanted) this.#pull();
    else if (!this.isPaused()) this.read(0);
  }

  #name(own: SocketAddress | number, peer: SocketAddress | number): void {
    if (typeof own !== 'number' && isInet(own)) this.#own = own;
    if (typeof peer !== 'number' && isInet(peer)) this.#peer = peer;
  }

  #pull(): void {
    if (this.#pulling || this.connecting) return;
    this.#pulling = true;
    let turn = 0;
    while (this.#wanted && this.#handle !== undefined) {
      const count = turn < TURN_BYTES ? this.#handle.recv(room()) : -Errno.EAGAIN;
      // The end comes in a turn of its own, as a network's does: programs answer what they have before they hear of it.
      if (turn >= TURN_BYTES || (turn > 0 && isEnd(count))) {
        setImmediate(() => this.#pullAgain());
        return;
      }
      if (count <= 0) {
        this.#stopped(count);
        break;
      }
      turn += count;
      this.bytesRead += count;
      this.#active();
      if (!this.push(taken(count))) this.#wanted = false;
    }
    this.#pulling = false;
  }

  #pullAgain(): void {
    this.#pulling = false;
    this.#pull();
  }

  /** The driver had nothing: for now, or for good. */
  #stopped(count: number): void {
    this.#readable = false;
    if (!isEnd(count)) return;
    this.#wanted = false;
    if (count < 0) {
      this.destroy(failure('read', count));
      return;
    }
    this.push(null);
    this.read(0);
  }

  #flush(): void {
    if (this.connecting) return;
    if (this.#outbox.flush(this.#handle)) this.#active();
  }

  #reset(): void {
    if (this.#handle !== undefined) this.#lingers = linger(this.#handle, 0);
    this.destroy();
  }

  /** Bytes have moved. */
  #active(): void {
    this.#idle?.refresh();
  }
}

function isEnd(count: number): boolean {
  return count <= 0 && count !== -Errno.EAGAIN;
}

function localAddress(to: SocketAddress, options: ConnectOptions): InetAddress | undefined {
  const { localAddress: host, localPort } = options;
  if (!isInet(to) || (host === undefined && localPort === undefined)) return undefined;
  const anywhere = to.family === 2 ? '0.0.0.0' : '::';
  const from = literal(host ?? anywhere, portOf(localPort ?? 0, 0));
  if (from === undefined) throw failure('bind', -Errno.EINVAL, { address: host });
  return from;
}
