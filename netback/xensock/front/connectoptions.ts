/** The ways to say what `connect` shall do, as `net.connect` has them: an object, or port and host; then a listener. Opens nothing. */
import type { SocketAddress } from './driver.ts';
import type { HostOptions } from './hosts.ts';

/** Where bytes go instead of `data`: memory of the program's own, used again for each read once the callback is done. */
export interface OnRead {
  readonly buffer: Uint8Array | (() => Uint8Array);
  /** false: pause, until `resume` is called. */
  callback(bytes: number, buffer: Uint8Array): boolean;
}

export interface SocketOptions {
  readonly onread?: OnRead | undefined;
  /** false, the default: the stream ends its own side when the peer has ended its. */
  readonly allowHalfOpen?: boolean | undefined;
  /** Of both directions, in bytes; 64 KiB. */
  readonly highWaterMark?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ConnectOptions extends HostOptions, SocketOptions {
  readonly port?: number | string | null | undefined;
  /** An address, or a name that `lookup` knows; `localhost`. */
  readonly host?: string | null | undefined;
  /** Instead of host and port: an address of any family, as its driver has it. */
  readonly address?: SocketAddress | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly noDelay?: boolean | undefined;
  readonly keepAlive?: boolean | undefined;
  /** Milliseconds. */
  readonly keepAliveInitialDelay?: number | undefined;
  /** `setTimeout`. */
  readonly timeout?: number | undefined;
}

/** Called without arguments. (http hands one in that takes some.) */
export type Listener = (...args: never[]) => void;

export type ConnectArguments =
  | readonly [options: ConnectOptions, listener?: Listener | undefined]
  | readonly [port: number, listener?: Listener | undefined]
  | readonly [port: number, host: string, listener?: Listener | undefined];

export interface Connect<S> {
  (options: ConnectOptions, listener?: Listener): S;
  (port: number, listener?: Listener): S;
  (port: number, host: string, listener?: Listener): S;
}

export function connectArguments(args: ConnectArguments): readonly [ConnectOptions, Listener | undefined] {
  const [first, second, third] = args;
  if (typeof first === 'object') return [first, second as Listener | undefined];
  if (typeof second === 'string') return [{ port: first, host: second }, third];
  return [{ port: first }, second];
}
