/**
 * The options that a guest may read and set with the extension, and what the machine answers by itself. Options that would let one guest take
 * another's port, send to all of a network, or leave the backend's network by another way are not among them. Numbers are Linux's.
 */
import { Family } from './address.ts';

/** As it was set. */
export interface SocketOption {
  readonly level: number;
  readonly name: number;
  readonly value: Uint8Array;
}

interface Known {
  readonly level: number;
  readonly name: number;
  /** Whether it can be set, and when. */
  readonly set: 'always' | 'early' | 'never';
  /** Of which sockets; default: all. */
  readonly type?: number;
  readonly family?: number;
  /** Of its value. Default: 4. */
  readonly bytes?: number;
}

const SOCKET = 1;
const IP = 0;
const TCP = 6;
const IPV6 = 41;

const Option = {
  TYPE: 3,
  ERROR: 4,
  LINGER: 13,
  ACCEPTCONN: 30,
  PROTOCOL: 38,
  DOMAIN: 39,
  V6ONLY: 26,
} as const;

const known: readonly Known[] = [
  { level: SOCKET, name: Option.TYPE, set: 'never' },
  { level: SOCKET, name: Option.ERROR, set: 'never' },
  { level: SOCKET, name: Option.ACCEPTCONN, set: 'never' },
  { level: SOCKET, name: Option.PROTOCOL, set: 'never' },
  { level: SOCKET, name: Option.DOMAIN, set: 'never' },
  // SO_REUSEADDR: of streams; two datagram sockets of Linux would share a port by it.
  { level: SOCKET, name: 2, set: 'always', type: 1 },
  // SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE
  { level: SOCKET, name: 7, set: 'always' },
  { level: SOCKET, name: 8, set: 'always' },
  { level: SOCKET, name: 9, set: 'always' },
  // Never the kernel's, whose close would wait.
  { level: SOCKET, name: Option.LINGER, set: 'always', type: 1, bytes: 8 },
  // IP_TOS, IP_TTL
  { level: IP, name: 1, set: 'always', family: Family.INET },
  { level: IP, name: 2, set: 'always', family: Family.INET },
  // IPV6_UNICAST_HOPS, IPV6_V6ONLY, IPV6_TCLASS
  { level: IPV6, name: 16, set: 'always', family: Family.INET6 },
  { level: IPV6, name: Option.V6ONLY, set: 'early', family: Family.INET6 },
  { level: IPV6, name: 67, set: 'always', family: Family.INET6 },
  // TCP_NODELAY, TCP_MAXSEG, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT
  { level: TCP, name: 1, set: 'always', type: 1 },
  { level: TCP, name: 2, set: 'never', type: 1 },
  { level: TCP, name: 3, set: 'always', type: 1 },
  { level: TCP, name: 4, set: 'always', type: 1 },
  { level: TCP, name: 5, set: 'always', type: 1 },
  { level: TCP, name: 6, set: 'always', type: 1 },
  { level: TCP, name: 18, set: 'always', type: 1 },
];

/** Nearly all of them are one number. */
export const VALUE_BYTES = 4;

interface OfSocket {
  readonly family: number;
  readonly type: number;
}

/** undefined: there is no such option for such a socket. */
export function findOption(level: number, name: number, { family, type }: OfSocket): Known | undefined {
  return known.find(
    (option) =>
      option.level === level &&
      option.name === name &&
      (option.type === undefined || option.type === type) &&
      (option.family === undefined || option.family === family),
  );
}

/** :: is not 0.0.0.0. */
export const v6only: SocketOption = { level: IPV6, name: Option.V6ONLY, value: Uint8Array.of(1, 0, 0, 0) };

/** What needs no socket of the kernel's to be told. */
export function ownAnswer(
  { level, name }: Known,
  { family, type, state }: OfSocket & { readonly state: string },
): number | undefined {
  if (level !== SOCKET) return undefined;
  switch (name) {
    case Option.TYPE:
      return type;
    case Option.ACCEPTCONN:
      return state === 'passive' ? 1 : 0;
    case Option.ERROR:
      // Whoever asks the kernel takes it away, and a connection that failed would seem to stand.
      return state === 'connecting' ? 0 : undefined;
    case Option.PROTOCOL:
      return type === 1 ? TCP : 17;
    case Option.DOMAIN:
      return family;
    default:
      return undefined;
  }
}

/** What is kept here, and is no option of the kernel's socket. */
export function isOurs({ level, name }: Pick<SocketOption, 'level' | 'name'>): boolean {
  return level === SOCKET && name === Option.LINGER;
}

/** It is not to linger at all: its release breaks the connection off. */
export function isAbrupt(options: readonly SocketOption[]): boolean {
  const value = options.find(isOurs)?.value;
  return value !== undefined && value[0] !== 0 && value.subarray(4).every((byte) => byte === 0);
}

/** `value` as the bytes of an option. */
export function optionBytes(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}

/** What is said of :: is not said of 0.0.0.0. */
export function isV6only(options: readonly SocketOption[]): boolean {
  const found = options.find(({ level, name }) => level === IPV6 && name === Option.V6ONLY);
  return found?.value.some((byte) => byte !== 0) ?? false;
}
