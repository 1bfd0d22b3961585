/**
 * What a user can do something about: one clear line, no stack. Everything else that is thrown is a mistake of ours.
 */
export class Fault extends Error {
  override readonly name = 'Fault';
}

/** One line for people, of anything that was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
