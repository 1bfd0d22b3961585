/**
 * Unix stream sockets without Node's streams: listen, accept, receive and send on plain descriptors, which a
 * `Poller` watches. Setting up throws `OsError`; what happens for every message returns a number (bytes, or minus an
 * error number) and allocates nothing. Knows no protocol. See unix(7), recv(2), send(2).
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { Errno, OsError } from '../errno.ts';
import type { Descriptor } from './ffi.ts';
import * as ffi from './ffi.ts';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_WAITALL = 0x100;
const MSG_NOSIGNAL = 0x4000;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const RLIMIT_NOFILE = 7;

/** sun_path, the end of string included. */
const PATH_MAX_BYTES = 108;

/** What `recv`, `send` and `accept` answer where nothing can be done now. */
export const WOULD_BLOCK: number = -Errno.EAGAIN;

export interface ListenOptions {
  /** The path of the socket; `@name` means Linux's abstract name space. */
  readonly path: string;
  /** Permissions of the socket file; default 0o600. */
  readonly mode?: number;
  /** Connections that may wait to be accepted; default 1024 (the kernel caps it). */
  readonly backlog?: number;
}

/**
 * A listening, non-blocking socket. A socket file that nobody serves is taken over; one that is served is EADDRINUSE,
 * and so is a file of another kind.
 */
export function listen(options: ListenOptions): Descriptor {
  const { path, mode = 0o600, backlog = 1024 } = options;
  const address = addressOf(path);
  if (!path.startsWith('@')) removeStale(path);
  const fd = ffi.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new OsError(ffi.errno(), 'socket');
  // Created with no permission to spare: between bind and chmod nobody may slip in.
  const mask = ffi.umask(0o777 & ~mode);
  const bound = ffi.bind(fd, address, address.length) === 0 ? 0 : ffi.errno();
  ffi.umask(mask);
  if (bound === 0 && !path.startsWith('@')) chmodSync(path, mode);
  const failed = bound !== 0 ? bound : ffi.listen(fd, backlog) === 0 ? 0 : ffi.errno();
  if (failed === 0) return fd;
  ffi.close(fd);
  throw new OsError(failed, `listen on ${path}`);
}

/** A connected, non-blocking socket. Unix sockets connect at once or not at all. */
export function connect(path: string): Descriptor {
  const fd = openStream(SOCK_NONBLOCK);
  const result = connectTo(fd, path);
  if (result === 0) return fd;
  ffi.close(fd);
  throw new OsError(-result, `connect to ${path}`);
}

/** A connected socket that blocks; for a peer that is trusted to answer. */
export function connectBlocking(path: string): Descriptor {
  const fd = openStream(0);
  const result = connectTo(fd, path);
  if (result === 0) return fd;
  ffi.close(fd);
  throw new OsError(-result, `connect to ${path}`);
}

/** Two connected, non-blocking stream sockets. */
export function pair(): [Descriptor, Descriptor] {
  const fds = new Int32Array(2);
  if (ffi.socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0) {
    throw new OsError(ffi.errno(), 'socketpair');
  }
  return [fds[0]!, fds[1]!];
}

/** The next waiting connection, non-blocking; `WOULD_BLOCK` when there is none left (call until then). */
export function accept(listener: Descriptor): Descriptor {
  const fd = ffi.accept4(listener, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return fd < 0 ? -ffi.errno() : fd;
}

/** Receives into the start of `buffer`: bytes received, 0 at the end of the stream, or minus an error number. */
export function recv(fd: Descriptor, buffer: Uint8Array, length: number = buffer.length): number {
  const count = ffi.recv(fd, buffer, length, MSG_DONTWAIT);
  return count < 0 ? -ffi.errno() : count;
}

/** Sends from the start of `buffer`: bytes taken (perhaps fewer), or minus an error number. Never raises SIGPIPE. */
export function send(fd: Descriptor, buffer: Uint8Array, length: number = buffer.length): number {
  const count = ffi.send(fd, buffer, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  return count < 0 ? -ffi.errno() : count;
}

/** Sends the first `length` bytes of `buffer`, all of them, through a socket that waits: 0, or minus an error number. */
export function sendAll(fd: Descriptor, buffer: Uint8Array, length: number = buffer.length): number {
  let rest = buffer;
  for (let left = length; left > 0; ) {
    const count = ffi.send(fd, rest, left, MSG_NOSIGNAL);
    if (count === left) return 0;
    if (count < 0 && ffi.errno() !== Errno.EINTR) return -ffi.errno();
    if (count < 0) continue;
    left -= count;
    rest = rest.subarray(count);
  }
  return 0;
}

/** Fills all of `buffer` from a socket that waits: 0, or minus an error number; ECONNRESET at the end of the stream. */
export function receiveAll(fd: Descriptor, buffer: Uint8Array): number {
  for (let rest = buffer; rest.length > 0; ) {
    const count = ffi.recv(fd, rest, rest.length, MSG_WAITALL);
    if (count === rest.length) return 0;
    if (count > 0) rest = rest.subarray(count);
    else if (count === 0) return -Errno.ECONNRESET;
    else if (ffi.errno() !== Errno.EINTR) return -ffi.errno();
  }
  return 0;
}

/** No more will be sent, or received, or either; 0, or minus an error number. */
export function shutdown(fd: Descriptor, how: 'receive' | 'send' | 'both'): number {
  const result = ffi.shutdown(fd, how === 'receive' ? 0 : how === 'send' ? 1 : 2);
  return result < 0 ? -ffi.errno() : 0;
}

/** A pipe, both ends non-blocking: a writer never waits for its reader. */
export function pipe(): { readonly readEnd: Descriptor; readonly writeEnd: Descriptor } {
  const fds = new Int32Array(2);
  if (ffi.pipe2(fds, SOCK_NONBLOCK | SOCK_CLOEXEC) < 0) throw new OsError(ffi.errno(), 'pipe2');
  return { readEnd: fds[0]!, writeEnd: fds[1]! };
}

/** Reads what is there: bytes, 0 at the end, or minus an error number. For non-blocking descriptors of any kind. */
export function read(fd: Descriptor, buffer: ArrayBufferView, length: number = buffer.byteLength): number {
  const count = ffi.read(fd, buffer, length);
  return count < 0 ? -ffi.errno() : count;
}

/** Writes what fits: bytes, or minus an error number. For non-blocking descriptors of any kind. */
export function write(fd: Descriptor, buffer: Uint8Array, length: number = buffer.length): number {
  const count = ffi.write(fd, buffer, length);
  return count < 0 ? -ffi.errno() : count;
}

/** Sends one datagram to a unix socket; 0, or minus an error number. */
export function sendDatagram(path: string, bytes: Uint8Array): number {
  const fd = ffi.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -ffi.errno();
  const connected = connectTo(fd, path);
  const count = connected < 0 ? connected : send(fd, bytes);
  ffi.close(fd);
  return Math.min(count, 0);
}

/** Closes any descriptor. One that a `Poller` watches is removed there first. */
export function close(fd: Descriptor): void {
  ffi.close(fd);
}

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Who connected, as the kernel saw it at that moment; undefined if it does not tell. */
export function peerCredentials(fd: Descriptor): PeerCredentials | undefined {
  const ucred = new Int32Array(3);
  const length = Uint32Array.of(ucred.byteLength);
  if (ffi.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ucred, length) < 0) return undefined;
  return { pid: ucred[0]!, uid: ucred[1]!, gid: ucred[2]! };
}

/**
 * Lets this process open up to `wanted` descriptors, as far as the hard limit (or root's right to raise it) allows.
 * Returns the limit now in force.
 */
export function raiseOpenFiles(wanted: number): number {
  const limits = new BigUint64Array(2);
  if (ffi.prlimit(0, RLIMIT_NOFILE, null, limits) < 0) throw new OsError(ffi.errno(), 'prlimit');
  const [soft, hard] = [limits[0]!, limits[1]!];
  const target = BigInt(wanted);
  if (soft >= target) return Number(soft);
  const raised = BigUint64Array.of(target, target > hard ? target : hard);
  if (ffi.prlimit(0, RLIMIT_NOFILE, raised, null) === 0) return wanted;
  const capped = BigUint64Array.of(target > hard ? hard : target, hard);
  if (ffi.prlimit(0, RLIMIT_NOFILE, capped, null) === 0) return Number(capped[0]!);
  return Number(soft);
}

function openStream(flags: number): Descriptor {
  const fd = ffi.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (fd < 0) throw new OsError(ffi.errno(), 'socket');
  return fd;
}

function connectTo(fd: Descriptor, path: string): number {
  const address = addressOf(path);
  return ffi.connect(fd, address, address.length) < 0 ? -ffi.errno() : 0;
}

/** struct sockaddr_un: u16 family, then the path. An abstract name starts with a zero byte and has no end. */
function addressOf(path: string): Buffer {
  const abstract = path.startsWith('@');
  const name = Buffer.from(abstract ? `\0${path.slice(1)}` : `${path}\0`);
  if (name.length > PATH_MAX_BYTES) {
    throw new OsError(Errno.EINVAL, `socket path of ${name.length - 1} bytes (at most 107): ${path}`);
  }
  const address = Buffer.alloc(2 + name.length);
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  return address;
}

/** Removes a socket file behind which nobody listens; connect() is the only reliable way to know. */
function removeStale(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new OsError(Errno.EADDRINUSE, `${path} is there and is not a socket`);
  const fd = openStream(SOCK_NONBLOCK);
  const result = connectTo(fd, path);
  ffi.close(fd);
  // EAGAIN: its queue is full, so it is served.
  if (result !== -Errno.ECONNREFUSED && result !== -Errno.ENOENT) {
    throw new OsError(Errno.EADDRINUSE, `${path} is being served`);
  }
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
