/**
 * A server as Node's `net.Server` has it, over listening sockets of any driver: connections come as `Socket`s. A burst of them is taken a few
 * dozen in a turn of the loop, so that those that there are get theirs. Which driver listens is the registry's matter.
 */
import { EventEmitter } from 'node:events';
import { Errno } from '../../../osdep/errno.ts';
import { formatIp, type InetAddress, isAny, SocketType } from '../core/address.ts';
import type { Ends } from './addressed.ts';
import type { SocketOptions } from './connectoptions.ts';
import type { SocketAddress } from './driver.ts';
import { failure, portOf, SocketError } from './errors.ts';
import type { SocketHandle } from './handle.ts';
import { type AddressInfo, infoOf, type Lookup, literal, lookUp } from './hosts.ts';
import type { SocketRegistry } from './registry.ts';
import { isInet } from './routes.ts';
import { onlyV6 } from './sockopt.ts';
import { Socket } from './stream.ts';

/** As Node's. */
const BACKLOG = 511;
const ACCEPTS_A_TURN = 64;

export interface ServerOptions extends Omit<SocketOptions, 'signal'> {
  readonly noDelay?: boolean;
  readonly keepAlive?: boolean;
  /** Milliseconds. */
  readonly keepAliveInitialDelay?: number;
  /** Connections begin to read when the program says `resume`. */
  readonly pauseOnConnect?: boolean;
}

export interface ListenOptions {
  /** 0: any that is free. */
  readonly port?: number | string | undefined;
  /** An address, or a name that `lookup` knows; `0.0.0.0`. */
  readonly host?: string | undefined;
  readonly backlog?: number | undefined;
  /** Of `::`, no IPv4. */
  readonly ipv6Only?: boolean | undefined;
  /** Instead of host and port: an address of any family, as its driver has it. */
  readonly address?: SocketAddress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type ListenArguments =
  | readonly [options: ListenOptions, listener?: () => void]
  | readonly [port?: number, listener?: () => void]
  | readonly [port: number, backlog: number, listener?: () => void]
  | readonly [port: number, host: string, listener?: () => void]
  | readonly [port: number, host: string, backlog: number, listener?: () => void];

export class Server extends EventEmitter {
  /** More are closed at once; `drop` is emitted. */
  maxConnections: number | undefined;
  readonly #registry: SocketRegistry;
  readonly #options: ServerOptions;
  readonly #lookup: Lookup | undefined;
  #handle: SocketHandle | undefined;
  #address: SocketAddress | undefined;
  /** From `listen` to `close`. */
  #open = false;
  /** Counts calls of `listen`, so that one that was closed meanwhile goes no further. */
  #turn = 0;
  #connections = 0;
  #closing: (() => void) | undefined;

  constructor(registry: SocketRegistry, options: ServerOptions = {}, lookup?: Lookup) {
    super();
    this.#registry = registry;
    this.#options = options;
    this.#lookup = lookup;
  }

  get listening(): boolean {
    return this.#address !== undefined;
  }

  /** null: it does not listen, or not at an address of AF_INET or AF_INET6. */
  address(): AddressInfo | null {
    return this.#address !== undefined && isInet(this.#address) ? infoOf(this.#address) : null;
  }

  /** Errors are emitted: `error`, with code, syscall, address and port. */
  listen(...args: ListenArguments): this {
    const [options, listener] = listenArguments(args);
    if (this.#open || this.#closing !== undefined)
      throw new SocketError('the server listens already', 'ERR_SERVER_ALREADY_LISTEN');
    const port = portOf(options.port ?? 0, 0);
    if (listener !== undefined) this.once('listening', listener);
    if (options.signal?.aborted) process.nextTick(() => this.close());
    else options.signal?.addEventListener('abort', () => this.close(), { once: true });
    this.#open = true;
    const turn = ++this.#turn;
    this.#listen(port, options, turn).catch((error: Error) => {
      if (turn !== this.#turn || !this.#open) return;
      this.#open = false;
      process.nextTick(() => this.emit('error', error));
    });
    return this;
  }

  /** No more connections; `close` is emitted when those that there are have ended. */
  close(listener?: (error?: Error) => void): this {
    if (!this.#open) {
      if (listener !== undefined) {
        const error = new SocketError('Server is not running.', 'ERR_SERVER_NOT_RUNNING');
        process.nextTick(listener, error);
      }
      return this;
    }
    if (listener !== undefined) this.once('close', listener);
    const handle = this.#handle;
    this.#open = false;
    this.#handle = undefined;
    this.#address = undefined;
    this.#closing = () => {
      this.#closing = undefined;
      process.nextTick(() => this.emit('close'));
    };
    const closed = handle === undefined ? Promise.resolve() : handle.close();
    this.#connections++;
    void closed.finally(() => this.#gone());
    return this;
  }

  getConnections(callback: (error: Error | null, count: number) => void): this {
    process.nextTick(callback, null, this.#connections);
    return this;
  }

  /** Whether the process lives on is the platform's matter: this changes nothing. */
  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#open) await new Promise<void>((resolve) => this.close(() => resolve()));
  }

  async #listen(port: number, options: ListenOptions, turn: number): Promise<void> {
    const { host = '0.0.0.0', backlog = BACKLOG, ipv6Only = false } = options;
    const found = options.address ?? literal(host, port);
    const address = found ?? (await lookUp(host, port, { lookup: this.#lookup }));
    const target = isInet(address) ? { address: formatIp(address), port: address.port } : {};
    const kind = { family: address.family, type: SocketType.STREAM, protocol: 0 };
    const handle = this.#registry.socket(kind, () => this.#accept(handle));
    if (typeof handle === 'number') throw failure('listen', handle, target);
    if (ipv6Only) await onlyV6(handle);
    let errno = await handle.bind(address);
    if (errno === 0) errno = await handle.listen(backlog);
    const own = errno < 0 ? errno : await handle.getsockname();
    if (errno < 0 || turn !== this.#turn || !this.#open) {
      await handle.close();
      if (errno < 0) throw failure('listen', errno, target);
      return;
    }
    this.#handle = handle;
    this.#address = typeof own === 'number' ? address : own;
    process.nextTick(() => {
      if (this.#handle === handle) this.emit('listening');
      this.#accept(handle);
    });
  }

  #accept(handle: SocketHandle | number): void {
    for (let taken = 0; this.#handle === handle; taken++) {
      if (taken === ACCEPTS_A_TURN) {
        setImmediate(() => this.#accept(handle));
        return;
      }
      // Until the socket is there nobody need be told: a new one looks for itself.
      let socket: Socket | undefined;
      const accepted = this.#handle.accept((bits) => socket?.onReady(bits));
      if (typeof accepted === 'number') {
        if (accepted !== -Errno.EAGAIN) this.emit('error', failure('accept', accepted));
        return;
      }
      const excess = this.#connections >= (this.maxConnections ?? Number.POSITIVE_INFINITY);
      this.#connections++;
      void this.#names(accepted).then((ends) => {
        // What listeners throw is theirs, and not a promise's.
        process.nextTick(() => {
          if (excess) this.#drop(accepted, ends);
          else {
            socket = new Socket(this.#registry, this.#options, { handle: accepted, ...ends });
            this.#present(socket);
          }
        });
      });
    }
  }

  async #names(handle: SocketHandle): Promise<Ends> {
    const address = this.#address;
    const known = address !== undefined && isInet(address) && !isAny(address);
    const [peer, own] = await Promise.all([handle.getpeername(), known ? address : handle.getsockname()]);
    return { own, peer };
  }

  #present(socket: Socket): void {
    socket.once('close', () => this.#gone());
    const { noDelay, keepAlive, keepAliveInitialDelay, pauseOnConnect } = this.#options;
    if (noDelay) socket.setNoDelay();
    if (keepAlive) socket.setKeepAlive(true, keepAliveInitialDelay);
    if (pauseOnConnect) socket.pause();
    else socket.read(0);
    this.emit('connection', socket);
  }

  #drop(handle: SocketHandle, { own, peer }: Ends): void {
    void handle.close();
    this.#gone();
    this.emit('drop', dropped(own, peer));
  }

  #gone(): void {
    this.#connections--;
    if (this.#connections === 0) this.#closing?.();
  }
}

function dropped(own: SocketAddress | number, peer: SocketAddress | number): object {
  const info = (address: SocketAddress | number): InetAddress | undefined =>
    typeof address !== 'number' && isInet(address) ? address : undefined;
  const [local, remote] = [info(own), info(peer)];
  return {
    ...(local && { localAddress: formatIp(local), localPort: local.port, localFamily: infoOf(local).family }),
    ...(remote && {
      remoteAddress: formatIp(remote),
      remotePort: remote.port,
      remoteFamily: infoOf(remote).family,
    }),
  };
}

function listenArguments(args: ListenArguments): readonly [ListenOptions, (() => void) | undefined] {
  const rest: unknown[] = [...args];
  const listener = typeof rest.at(-1) === 'function' ? (rest.pop() as () => void) : undefined;
  const [first, host, backlog] = rest;
  if (typeof first === 'object' && first !== null) return [first as ListenOptions, listener];
  const options: ListenOptions = {
    port: first as number | undefined,
    host: typeof host === 'string' ? host : undefined,
    backlog: (typeof host === 'number' ? host : backlog) as number | undefined,
  };
  return [options, listener];
}
