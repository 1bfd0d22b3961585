/**
 * Xen's device files: opening one, with a line that says what to do where that fails, and ioctls on it. Knows no particular
 * device's calls. (linux/include/uapi/xen/*.h)
 */
import { Errno, OsError } from '../errno.ts';
import { close, type Descriptor, errno, fcntl, ioctl, open } from '../os/ffi.ts';

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const [F_GETFD, F_SETFD, FD_CLOEXEC] = [1, 2, 1];
const [F_GETFL, F_SETFL] = [3, 4];

/** One of Xen's devices: where it is, and the kernel module that makes it. */
export interface DeviceFile {
  readonly path: string;
  readonly module: string;
}

export const devices: Readonly<
  Record<'evtchn' | 'gntdev' | 'gntalloc' | 'privcmd' | 'hypercall' | 'xenbusBackend', DeviceFile>
> = {
  evtchn: { path: '/dev/xen/evtchn', module: 'xen-evtchn' },
  gntdev: { path: '/dev/xen/gntdev', module: 'xen-gntdev' },
  gntalloc: { path: '/dev/xen/gntalloc', module: 'xen-gntalloc' },
  privcmd: { path: '/dev/xen/privcmd', module: 'xen-privcmd' },
  hypercall: { path: '/dev/xen/hypercall', module: 'xen-privcmd' },
  xenbusBackend: { path: '/dev/xen/xenbus_backend', module: '' },
};

export interface OpenOptions {
  readonly keepOverExec?: boolean;
  /** Reads and writes never wait. */
  readonly nonBlocking?: boolean;
}

/** Opens a device. Throws OsError with a message that names the remedy. */
export function openDevice(device: DeviceFile, { keepOverExec, nonBlocking }: OpenOptions = {}): Descriptor {
  const flags = O_RDWR | (keepOverExec ? 0 : O_CLOEXEC) | (nonBlocking ? O_NONBLOCK : 0);
  const fd = open(device.path, flags, 0);
  if (fd < 0) throw new OsError(errno(), remedy(device, errno()));
  return fd;
}

function remedy({ path, module }: DeviceFile, error: number): string {
  if (error === Errno.ENOENT || error === Errno.ENODEV || error === Errno.ENXIO) {
    const load = module === '' ? 'this kernel has no such device' : `load its driver (modprobe ${module})`;
    return `opening ${path}: ${load}, or this is not a Xen domain`;
  }
  if (error === Errno.EACCES || error === Errno.EPERM) return `opening ${path}: must be run as root`;
  return `opening ${path}`;
}

/** For a descriptor inherited over exec: whether the next exec keeps it as well. */
export function keepOverExec(fd: Descriptor, keep: boolean): void {
  const flags = fcntl(fd, F_GETFD, 0);
  if (flags < 0 || fcntl(fd, F_SETFD, keep ? flags & ~FD_CLOEXEC : flags | FD_CLOEXEC) < 0) {
    throw new OsError(errno(), `descriptor ${fd}`);
  }
}

/** For a descriptor that was inherited: reads and writes never wait. */
export function setNonBlocking(fd: Descriptor): void {
  const flags = fcntl(fd, F_GETFL, 0);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    throw new OsError(errno(), `descriptor ${fd}`);
  }
}

export function closeDevice(fd: Descriptor): void {
  close(fd);
}

/** _IOC(_IOC_NONE, type, number, size): Xen's own ioctls carry no direction. */
export function ioc(type: string, number: number, sizeBytes: number): number {
  return ((sizeBytes << 16) | (type.charCodeAt(0) << 8) | number) >>> 0;
}

/** The result, 0 or more. Throws OsError, `what` said of it. */
export function control(fd: Descriptor, request: number, argument: Uint8Array | null, what: string): number {
  const result = ioctl(fd, request, argument);
  if (result < 0) throw new OsError(errno(), what);
  return result;
}

/** Errors of a kernel that does not know a request. */
const UNKNOWN_REQUEST: readonly number[] = [Errno.ENOTTY, Errno.ENOSYS];

/** What to throw for an ioctl that not every kernel has: EOPNOTSUPP, `what` said of it, where it has none, else the error itself. */
export function orUnsupported(error: unknown, what: string): unknown {
  const unknown = error instanceof OsError && UNKNOWN_REQUEST.includes(error.errno);
  return unknown ? new OsError(Errno.EOPNOTSUPP, what) : error;
}
