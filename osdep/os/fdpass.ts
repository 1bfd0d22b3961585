/**
 * Descriptors over a unix socket, and memory that has no name to open it by: what lets two processes share exactly
 * what one of them hands out. Knows no protocol. See unix(7), cmsg(3), memfd_create(2), fcntl(2) on seals.
 */
import { fchmodSync } from 'node:fs';
import { Errno, OsError } from '../errno.ts';
import type { Descriptor } from './ffi.ts';
import * as ffi from './ffi.ts';
import { send } from './sock.ts';

/** Most descriptors that the kernel takes in one message. */
export const DESCRIPTORS_PER_MESSAGE = 250;

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_SEAL_SEAL = 1;
const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;
const O_RDONLY = 0;
const O_CLOEXEC = 0o2000000;

// struct msghdr: name, name length, iov, iov count, control, control length, flags. struct iovec: base, length.
// struct cmsghdr: length u64, level, type; then the descriptors.
const CONTROL_HEADER = 16;
const iov = Buffer.alloc(16);
const control = Buffer.alloc(CONTROL_HEADER + 4 * (DESCRIPTORS_PER_MESSAGE + 2));
const header = Buffer.alloc(56);
header.writeBigUInt64LE(ffi.addressOf(iov), 16);
header.writeBigUInt64LE(1n, 24);
header.writeBigUInt64LE(ffi.addressOf(control), 32);

/**
 * Sends bytes (at least one) with descriptors, without waiting: bytes taken, or minus an error number. If any byte was
 * taken the descriptors went with it; they stay open here.
 */
export function sendWithDescriptors(
  socket: Descriptor,
  bytes: Uint8Array,
  descriptors: readonly Descriptor[],
): number {
  if (descriptors.length === 0) return send(socket, bytes);
  if (descriptors.length > DESCRIPTORS_PER_MESSAGE) return -Errno.EINVAL;
  aim(bytes, 0, bytes.length);
  const length = CONTROL_HEADER + 4 * descriptors.length;
  control.writeBigUInt64LE(BigInt(length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  for (const [i, fd] of descriptors.entries()) control.writeInt32LE(fd, CONTROL_HEADER + 4 * i);
  header.writeBigUInt64LE(BigInt(Math.ceil(length / 8) * 8), 40);
  const count = ffi.sendmsg(socket, header, MSG_DONTWAIT | MSG_NOSIGNAL);
  return count < 0 ? -ffi.errno() : count;
}

/**
 * Receives into `bytes` from `offset` on, waiting if the socket is one that waits, and appends what descriptors came
 * along (close-on-exec): bytes received, 0 at the end of the stream, or minus an error number. Descriptors for which this
 * process has no room are lost: whoever wants them all has to know how many were sent.
 */
export function receiveWithDescriptors(
  socket: Descriptor,
  bytes: Uint8Array,
  offset: number,
  descriptors: Descriptor[],
): number {
  aim(bytes, offset, bytes.length - offset);
  header.writeBigUInt64LE(BigInt(control.length), 40);
  header.writeInt32LE(0, 48);
  const count = ffi.recvmsg(socket, header, MSG_CMSG_CLOEXEC);
  if (count < 0) return -ffi.errno();
  const controlLength = Number(header.readBigUInt64LE(40));
  if (controlLength >= CONTROL_HEADER && control.readInt32LE(12) === SCM_RIGHTS) {
    const end = Number(control.readBigUInt64LE(0));
    for (let at = CONTROL_HEADER; at < end; at += 4) descriptors.push(control.readInt32LE(at));
  }
  return count;
}

function aim(bytes: Uint8Array, offset: number, length: number): void {
  iov.writeBigUInt64LE(ffi.addressOf(bytes) + BigInt(offset), 0);
  iov.writeBigUInt64LE(BigInt(length), 8);
}

/**
 * Zeroed memory behind a descriptor: it has no path, its size can never change, and for whoever is bound by file
 * permissions the descriptor cannot be reopened for writing. `name` is for /proc/PID/maps.
 */
export function createMemory(name: string, lengthBytes: number): Descriptor {
  const fd = ffi.memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw new OsError(ffi.errno(), 'memfd_create');
  try {
    if (ffi.ftruncate(fd, lengthBytes) < 0) throw new OsError(ffi.errno(), 'ftruncate');
    fchmodSync(fd, 0o400);
    if (ffi.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
      throw new OsError(ffi.errno(), 'sealing');
    }
  } catch (error) {
    ffi.close(fd);
    throw error;
  }
  return fd;
}

/** The same memory through a descriptor that cannot be written or mapped for writing. */
export function reopenReadOnly(fd: Descriptor): Descriptor {
  const reopened = ffi.open(`/proc/self/fd/${fd}`, O_RDONLY | O_CLOEXEC, 0);
  if (reopened < 0) throw new OsError(ffi.errno(), 'reopening memory');
  return reopened;
}
