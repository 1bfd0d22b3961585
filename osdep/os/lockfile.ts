/**
 * A file that one process at a time can hold, with the kernel to let go of it however that process ends. A lock of lockf(3): it belongs to
 * the process, so a second holder in the same one is not refused, and nobody may open and close the file meanwhile.
 */
import * as fs from 'node:fs';
import { Errno, OsError } from '../errno.ts';
import * as ffi from './ffi.ts';

const F_TLOCK = 2;

/** `undefined`: another process holds it. */
export function lockFile(path: string): { release(): void } | undefined {
  const fd = fs.openSync(path, 'a', 0o600);
  if (ffi.lockf(fd, F_TLOCK, 0) !== 0) {
    const errno = ffi.errno();
    fs.closeSync(fd);
    if (errno === Errno.EAGAIN || errno === Errno.EACCES) return undefined;
    throw new OsError(errno, `lockf ${path}`);
  }
  return { release: () => fs.closeSync(fd) };
}
