/**
 * A stream as Node's `net.Socket` has it, over a socket of any driver: whatever takes one of those (http, ws, undici) takes this. Bytes are read from
 * the driver when the program wants some, and a write is done when the driver has them: nothing is kept here but what Node's streams keep. Time
 * is the program's alone (`setTimeout`).
 */
import { Errno } from '../../../osdep/errno.ts';
import { ENOTSUP } from '../core/pvcalls.ts';
import { AddressedDuplex, type Ends } from './addressed.ts';
import { type ConnectArguments, connectArguments, type SocketOptions } from './connectoptions.ts';
import { destination, dial } from './dial.ts';
import { Ready } from './driver.ts';
import { failure, SocketError } from './errors.ts';
import type { SocketHandle } from './handle.ts';
import { Inbox } from './inbox.ts';
import { Outbox } from './outbox.ts';
import type { SocketRegistry } from './registry.ts';
import { keepAlive, linger, noDelay } from './sockopt.ts';

/** What a driver says that ends both sides or none. */
const NO_HALVES: ReadonlySet<number> = new Set([-ENOTSUP, -Errno.EOPNOTSUPP]);

/** A connection that stands already. */
interface Accepted extends Ends {
  readonly handle: SocketHandle;
}

export class Socket extends AddressedDuplex {
  connecting = false;
  /** By `setTimeout`; undefined: none. */
  timeout: number | undefined;
  readonly #registry: SocketRegistry;
  readonly #accepted: boolean;
  readonly #inbox: Inbox;
  readonly #outbox = new Outbox(() => this.#flush());
  #handle: SocketHandle | undefined;
  #idle: NodeJS.Timeout | undefined;
  #noDelay: boolean | undefined;
  /** It is closed when all is written. */
  #closing = false;
  /** It is going to be reset: to be closed when this is settled. */
  #lingers: Promise<number> | undefined;
  #keepAlive: { readonly on: boolean; readonly delayMs: number } | undefined;

  constructor(registry: SocketRegistry, options: SocketOptions = {}, accepted?: Accepted) {
    const { allowHalfOpen = false, highWaterMark = 65_536, signal, onread } = options;
    super({ allowHalfOpen, highWaterMark, emitClose: false, ...(signal && { signal }) });
    this.#registry = registry;
    const reader = {
      handle: () => (this.connecting ? undefined : this.#handle),
      push: (chunk: Buffer) => {
        this.#active();
        return this.push(chunk);
      },
      ended: (errno: number) => this.#ended(errno),
    };
    this.#inbox = new Inbox(reader, onread);
    this.#accepted = accepted !== undefined;
    if (accepted === undefined) return;
    this.#handle = accepted.handle;
    this.stands(accepted);
  }

  connect(...args: ConnectArguments): this {
    const [options, listener] = connectArguments(args);
    if (listener !== undefined) this.once('connect', listener as () => void);
    if (options.timeout) this.setTimeout(options.timeout);
    if (options.noDelay !== undefined) this.#noDelay = options.noDelay;
    if (options.keepAlive) this.#keepAlive = { on: true, delayMs: options.keepAliveInitialDelay ?? 0 };
    const to = destination(options);
    this.connecting = true;
    const dialler = {
      onReady: (bits: number) => this.onReady(bits),
      opened: (handle: SocketHandle) => this.#opened(handle),
      emit: this.emit.bind(this),
      isOver: () => this.destroyed,
    };
    const dialled = dial(this.#registry, to, options, dialler);
    // What listeners throw is theirs: not a promise's, and not the connection's.
    dialled.then(
      (result) => process.nextTick(() => this.#connected(result)),
      (error: Error) => this.destroy(error),
    );
    return this;
  }

  /** For whoever made the socket's handle: bits of `Ready`. */
  onReady(bits: number): void {
    if ((bits & ~Ready.OUT) !== 0) {
      this.#inbox.ready();
      this.#active();
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

  get bytesRead(): number {
    return this.#inbox.received;
  }

  get bytesWritten(): number {
    return this.#outbox.sent + this.writableLength;
  }

  get bufferSize(): number {
    return this.writableLength;
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
    this.#closing = true;
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

  override pause(): this {
    if (this.#inbox.ownMemory) this.#inbox.enough();
    return super.pause();
  }

  override resume(): this {
    if (this.#inbox.ownMemory && !this.connecting) this.#inbox.want();
    return super.resume();
  }

  override _read(): void {
    this.#inbox.want();
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

  /**
   * Where a driver cannot end one side alone, the peer hears of the end when the socket is closed: at once, if a server is done with it; who connected
   * hears on until the peer ends.
   */
  override _final(callback: (error?: Error | null) => void): void {
    if (this.connecting) {
      this.once('connect', () => this._final(callback));
      return;
    }
    // Closing says so, too, and is next where nothing is to be received any more.
    if (this.readableEnded || this.#closing) {
      callback();
      return;
    }
    const told = this.#handle?.shutdown('write') ?? Promise.resolve(0);
    told.then(
      (errno) => {
        if (this.#accepted && !this.allowHalfOpen && NO_HALVES.has(errno))
          this.once('finish', () => this.destroy());
        callback();
      },
      (error: Error) => callback(error),
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const handle = this.#handle;
    this.#handle = undefined;
    this.connecting = false;
    this.#inbox.enough();
    clearTimeout(this.#idle);
    if (this.#outbox.waits)
      this.#outbox.fail(error ?? new SocketError('Socket is closed', 'ERR_SOCKET_CLOSED'));
    callback(error);
    process.nextTick(() => this.emit('close', error !== null));
    if (this.#lingers === undefined) void handle?.close();
    else void this.#lingers.then(() => handle?.close());
  }

  #opened(handle: SocketHandle): void {
    this.#handle = handle;
    if (this.#noDelay !== undefined) void noDelay(handle, this.#noDelay);
    if (this.#keepAlive !== undefined) void keepAlive(handle, this.#keepAlive.on, this.#keepAlive.delayMs);
  }

  #connected(dialled: Ends | undefined): void {
    if (this.destroyed || dialled === undefined) return;
    this.stands(dialled);
    this.connecting = false;
    this.#active();
    this.emit('connect');
    this.emit('ready');
    // Whoever awaits that it is connected goes on first: what fails from now on is his to hear.
    queueMicrotask(() => {
      this.#flush();
      this.#inbox.again();
      if (!this.isPaused()) this.read(0);
    });
  }

  #ended(errno: number): void {
    if (errno < 0) {
      this.destroy(failure('read', errno));
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
