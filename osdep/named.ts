/**
 * What the hypervisor has against something, in words of whoever asked for it: one line that a guest's owner can read. Knows no call.
 */
import { OsError } from './errno.ts';

/** Answers what `act` does. Its OsError becomes an Error: `what`, a colon, the error's code. Others pass as they are. */
export function named<T>(what: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof OsError) throw new Error(`${what}: ${error.code}`);
    throw error;
  }
}
