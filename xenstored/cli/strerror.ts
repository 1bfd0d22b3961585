/**
 * What is said for an error of the store, or of the way to it, by its name: users and scripts know these words. libxenstore's EBADF stands for a
 * connection that is gone.
 */
import { Errno } from '../../osdep/errno.ts';
import { strerror } from '../../osdep/strerror.ts';

/** What libxenstore makes of a peer that is gone or talks nonsense. */
const gone: ReadonlySet<string> = new Set(['ECONNRESET', 'ENOTCONN', 'EPROTO']);

export function errorText(code: string): string {
  return strerror(errorNumber(code));
}

export function errorNumber(code: string): number {
  if (gone.has(code)) return Errno.EBADF;
  return (Errno as Readonly<Record<string, number>>)[code] ?? Errno.EIO;
}
