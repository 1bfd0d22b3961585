/**
 * Options of the loopback driver's sockets: those that programs set as a matter of course are kept and given back; few of them mean anything where there is
 * no network. (socket(7), tcp(7), ip(7), ipv6(7))
 */
import { Errno } from '../../../osdep/errno.ts';
import type { LoopbackEnd } from './loopback-end.ts';

const SOL_SOCKET = 1;
const key = (level: number, name: number): number => level * 256 + name;

/** IPV6_V6ONLY. */
export const ONLY6: number = key(41, 26);
const SO_ERROR = 4;
const SO_LINGER = 13;

/** SO_REUSEADDR, BROADCAST, SNDBUF, RCVBUF, KEEPALIVE, LINGER, REUSEPORT; TCP_NODELAY, KEEPIDLE, KEEPINTVL, KEEPCNT; IP_TOS, IP_TTL. */
const SETTABLE: ReadonlySet<number> = new Set([
  ...[2, 6, 7, 8, 9, SO_LINGER, 15].map((name) => key(SOL_SOCKET, name)),
  ...[1, 4, 5, 6].map((name) => key(6, name)),
  ...[1, 2].map((name) => key(0, name)),
  ONLY6,
]);

/** By SO_TYPE, SO_ERROR, SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN. */
const READABLE: ReadonlyMap<number, (end: LoopbackEnd) => number> = new Map([
  [3, ({ kind }) => kind.type],
  [SO_ERROR, (end) => end.takeError()],
  [30, ({ listening }) => (listening ? 1 : 0)],
  [38, ({ stream }) => (stream ? 6 : 17)],
  [39, ({ kind }) => kind.family],
]);

export function getOption(end: LoopbackEnd, level: number, name: number): Uint8Array | number {
  const told = level === SOL_SOCKET ? READABLE.get(name) : undefined;
  if (told !== undefined) return word(told(end));
  if (!SETTABLE.has(key(level, name))) return -Errno.ENOPROTOOPT;
  const lingers = level === SOL_SOCKET && name === SO_LINGER;
  return end.options.get(key(level, name))?.slice() ?? new Uint8Array(lingers ? 8 : 4);
}

export function setOption(end: LoopbackEnd, level: number, name: number, value: Uint8Array): number {
  if (!SETTABLE.has(key(level, name))) return -Errno.ENOPROTOOPT;
  if (value.length < 4) return -Errno.EINVAL;
  end.options.set(key(level, name), value.slice());
  return 0;
}

/** Whether a number that is not 0 was set. */
export function optionSet(end: LoopbackEnd, option: number): boolean {
  return end.options.get(option)?.some((byte) => byte !== 0) ?? false;
}

/** SO_LINGER with no time to linger: what waits is dropped, and the peer told by a reset. */
export function resetsAtClose(end: LoopbackEnd): boolean {
  const linger = end.options.get(key(SOL_SOCKET, SO_LINGER));
  return linger !== undefined && linger[0] !== 0 && linger.subarray(4).every((byte) => byte === 0);
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}
