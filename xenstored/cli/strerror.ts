/**
 * What the C library says for an error number, by its name: users and scripts know these words. Those that a store or a connection to one can
 * cause; libxenstore's EBADF stands for a connection that is gone.
 */
import { Errno } from '../../osdep/errno.ts';

const BAD_FILE = 'Bad file descriptor';

const texts: Readonly<Record<string, string>> = {
  EPERM: 'Operation not permitted',
  ENOENT: 'No such file or directory',
  EIO: 'Input/output error',
  ENXIO: 'No such device or address',
  E2BIG: 'Argument list too long',
  EBADF: BAD_FILE,
  EAGAIN: 'Resource temporarily unavailable',
  ENOMEM: 'Cannot allocate memory',
  EACCES: 'Permission denied',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  ENODEV: 'No such device',
  ENOTDIR: 'Not a directory',
  EISDIR: 'Is a directory',
  EINVAL: 'Invalid argument',
  EMFILE: 'Too many open files',
  ENOSPC: 'No space left on device',
  EROFS: 'Read-only file system',
  ENOSYS: 'Function not implemented',
  ENOTEMPTY: 'Directory not empty',
  ECONNREFUSED: 'Connection refused',
  EISCONN: 'Transport endpoint is already connected',
  // What libxenstore makes of a peer that is gone or talks nonsense.
  ECONNRESET: BAD_FILE,
  ENOTCONN: BAD_FILE,
  EPROTO: BAD_FILE,
};

export function errorText(code: string): string {
  return texts[code] ?? `Unknown error ${errorNumber(code)}`;
}

export function errorNumber(code: string): number {
  if (texts[code] === BAD_FILE) return Errno.EBADF;
  return (Errno as Readonly<Record<string, number>>)[code] ?? 0;
}
