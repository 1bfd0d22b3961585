/** The options that streams and datagrams of a guest set, by Linux's numbers. A driver that has no such option is left as it is. */
import type { SocketHandle } from './handle.ts';

const SOL_SOCKET = 1;
const IPPROTO_TCP = 6;
const IPPROTO_IPV6 = 41;

const SO_BROADCAST = 6;
const SO_KEEPALIVE = 9;
const SO_LINGER = 13;
const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;
const IPV6_V6ONLY = 26;

function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [index, value] of values.entries()) view.setInt32(4 * index, value, true);
  return bytes;
}

export function noDelay(socket: SocketHandle, on: boolean): Promise<number> {
  return socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, words(on ? 1 : 0));
}

/** Whole seconds of the delay count. */
export async function keepAlive(socket: SocketHandle, on: boolean, delayMs: number): Promise<void> {
  const seconds = Math.floor(delayMs / 1000);
  const set = [socket.setsockopt(SOL_SOCKET, SO_KEEPALIVE, words(on ? 1 : 0))];
  if (on && seconds > 0) set.push(socket.setsockopt(IPPROTO_TCP, TCP_KEEPIDLE, words(seconds)));
  await Promise.all(set);
}

/** 0: closing resets. */
export function linger(socket: SocketHandle, seconds: number): Promise<number> {
  return socket.setsockopt(SOL_SOCKET, SO_LINGER, words(1, seconds));
}

export function broadcast(socket: SocketHandle, on: boolean): Promise<number> {
  return socket.setsockopt(SOL_SOCKET, SO_BROADCAST, words(on ? 1 : 0));
}

export function onlyV6(socket: SocketHandle): Promise<number> {
  return socket.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, words(1));
}
