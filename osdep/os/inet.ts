/**
 * IP sockets (TCP and UDP, IPv4 and IPv6) on plain descriptors that never wait, which a `Poller` watches. Everything answers with a number: what
 * was asked for, or minus an error number; nothing is thrown, and nothing is allocated where bytes move, which it does at addresses, in one
 * part or in two side by side in no memory of ours. Socket addresses are bytes as the kernel has them (struct sockaddr_in, sockaddr_in6).
 * Knows no protocol above. See ip(7), tcp(7), udp(7), recv(2), send(2).
 */
import { Errno } from '../errno.ts';
import type { Descriptor } from './ffi.ts';
import * as ffi from './ffi.ts';

const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_TRUNC = 0x20;
const MSG_PEEK = 0x2;

/** Options' levels and names, Linux's numbers. */
export const Option = {
  SOL_SOCKET: 1,
  SO_REUSEADDR: 2,
  SO_ERROR: 4,
  SO_LINGER: 13,
  IPPROTO_TCP: 6,
  TCP_NODELAY: 1,
  IPPROTO_IPV6: 41,
  IPV6_V6ONLY: 26,
} as const;

/** Room for an address of either family. */
export const SOCKADDR_BYTES = 28;

/** A call's own memory, kept here: the kernel is told where it lies. */
const length = new Uint32Array(1);
const option = new Uint8Array(256);
const number32 = new Int32Array(1);
const notAtAll = Int32Array.of(1, 0);
const asUsual = Int32Array.of(0, 0);

/** A socket that never waits, or minus an error number. `family`: 2 or 10; `type`: 1 (stream) or 2 (datagram). */
export function open(family: number, type: number): Descriptor {
  return outcome(ffi.socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

export function bind(fd: Descriptor, address: Uint8Array, addressLength: number): number {
  return outcome(ffi.bind(fd, address, addressLength));
}

export function listen(fd: Descriptor, backlog: number): number {
  return outcome(ffi.listen(fd, backlog));
}

/** The next connection that waits, itself never waiting; -EAGAIN: there is none. */
export function accept(fd: Descriptor): Descriptor {
  return outcome(ffi.accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

/** 0: it stands, or a datagram socket has a peer now; -EINPROGRESS: WRITABLE tells when `pendingError` knows. */
export function connect(fd: Descriptor, address: Uint8Array, addressLength: number): number {
  return outcome(ffi.connect(fd, address, addressLength));
}

/** Positive, or 0; asked for, it is gone. */
export function pendingError(fd: Descriptor): number {
  length[0] = 4;
  const failed = ffi.getsockopt(fd, Option.SOL_SOCKET, Option.SO_ERROR, number32, length);
  return failed < 0 ? ffi.errno() : number32[0]!;
}

/** Fills `into`, of SOCKADDR_BYTES: how many bytes count. */
export function name(fd: Descriptor, which: 'own' | 'peer', into: Uint8Array): number {
  length[0] = into.length;
  const ask = which === 'own' ? ffi.getsockname : ffi.getpeername;
  const failed = ask(fd, into, length);
  return failed < 0 ? -ffi.errno() : Math.min(length[0]!, into.length);
}

/** The value of an option, or a positive error number. */
export function getOption(fd: Descriptor, level: number, which: number): Uint8Array | number {
  length[0] = option.length;
  if (ffi.getsockopt(fd, level, which, option, length) < 0) return ffi.errno();
  return option.slice(0, length[0]);
}

export function setOption(fd: Descriptor, level: number, which: number, value: Uint8Array): number {
  return outcome(ffi.setsockopt(fd, level, which, value, value.length));
}

/** An option that is a number. */
export function setNumber(fd: Descriptor, level: number, which: number, value: number): number {
  number32[0] = value;
  return outcome(ffi.setsockopt(fd, level, which, number32, 4));
}

/**
 * From now on the connection is reset when the last descriptor goes, so also when the process is killed: a peer does not take half of something for all
 * of it. What is accepted has it from its listener. `closeInOrder` ends it in order nevertheless.
 */
export function endAbruptly(fd: Descriptor): void {
  linger(fd, notAtAll);
}

/** Closes; a peer that is connected sees the connection reset, and what was not sent yet is not. */
export function abort(fd: Descriptor): void {
  linger(fd, notAtAll);
  ffi.close(fd);
}

/** Closes; what was sent goes on its way, and then the end of the stream. */
export function closeInOrder(fd: Descriptor): void {
  linger(fd, asUsual);
  ffi.close(fd);
}

function linger(fd: Descriptor, how: Int32Array): void {
  ffi.setsockopt(fd, Option.SOL_SOCKET, Option.SO_LINGER, how, how.byteLength);
}

/** Bytes received, 0 at the end of the stream. */
export function recv(fd: Descriptor, address: number, bytes: number): number {
  return outcome(ffi.recvAt(fd, address, bytes, MSG_DONTWAIT));
}

/** Bytes taken, perhaps fewer. Never raises SIGPIPE. */
export function send(fd: Descriptor, address: number, bytes: number): number {
  return outcome(ffi.sendAt(fd, address, bytes, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/** How long the datagram is that comes next. */
export function peekLength(fd: Descriptor): number {
  return outcome(ffi.recvAt(fd, messageAddress, 0, MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC));
}

// struct msghdr: name, name length, iov, iov count, control, control length, flags. struct iovec: base, length.
const message = new Uint8Array(56 + 32 + SOCKADDR_BYTES);
const words = new DataView(message.buffer);
const messageAddress = Number(ffi.addressOf(message));
const NAME_LENGTH = 8;
const FLAGS = 48;
const FIRST = 56;
const SECOND = 72;
const NAME = 88;
putAddress(16, messageAddress + FIRST);

/** The address that `sendTo` sends to, and that `recvFrom` has received from. */
export const peer: Uint8Array = message.subarray(NAME, NAME + SOCKADDR_BYTES);

function putAddress(at: number, address: number): void {
  words.setUint32(at, address % 0x1_0000_0000, true);
  words.setUint32(at + 4, Math.floor(address / 0x1_0000_0000), true);
}

/** Two stretches of memory for the next call of those below; the second may be empty. */
export function aim(address: number, bytes: number, address2: number, bytes2: number): void {
  putAddress(FIRST, address);
  words.setUint32(FIRST + 8, bytes, true);
  putAddress(SECOND, address2);
  words.setUint32(SECOND + 8, bytes2, true);
  words.setUint32(24, bytes2 === 0 ? 1 : 2, true);
}

function nameAt(addressLength: number): void {
  putAddress(0, addressLength === 0 ? 0 : messageAddress + NAME);
  words.setUint32(NAME_LENGTH, addressLength, true);
}

/** As `recv`, into what was aimed at. */
export function recvAimed(fd: Descriptor): number {
  nameAt(0);
  return outcome(ffi.recvmsgAt(fd, messageAddress, MSG_DONTWAIT));
}

/** As `send`, from what was aimed at. */
export function sendAimed(fd: Descriptor): number {
  nameAt(0);
  return outcome(ffi.sendmsgAt(fd, messageAddress, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/** A datagram, to `peer`, of which so many bytes count; 0: to whom the socket is connected. */
export function sendTo(fd: Descriptor, addressLength: number): number {
  nameAt(addressLength);
  return outcome(ffi.sendmsgAt(fd, messageAddress, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/** A datagram, as much of it as there was room for; `peer` and `received` tell the rest. */
export function recvFrom(fd: Descriptor): number {
  nameAt(SOCKADDR_BYTES);
  words.setInt32(FLAGS, 0, true);
  return outcome(ffi.recvmsgAt(fd, messageAddress, MSG_DONTWAIT));
}

/** About what `recvFrom` had last. */
export function received(): { readonly addressLength: number; readonly truncated: boolean } {
  const truncated = (words.getInt32(FLAGS, true) & MSG_TRUNC) !== 0;
  return { addressLength: Math.min(words.getUint32(NAME_LENGTH, true), SOCKADDR_BYTES), truncated };
}

export function shutdown(fd: Descriptor, how: number): number {
  return outcome(ffi.shutdown(fd, how));
}

export function close(fd: Descriptor): void {
  ffi.close(fd);
}

/** Whether the answer means: nothing now, ask again. */
export function isLater(result: number): boolean {
  return result === -Errno.EAGAIN || result === -Errno.EINTR;
}

function outcome(result: number): number {
  return result < 0 ? -ffi.errno() : result;
}
