/**
 * Payloads as a server sends them: the acknowledgement, lists of strings, permission lists, watch events. Strings are bytes, one per
 * character. Follows docs/misc/xenstore.txt. Knows no transport.
 */

/** What a request without data of its own answers. */
export const OK = 'OK\0';

/** One permission entry. `n` none, `r` read, `w` write, `b` both; the first of a list names the owner and everybody else's rights. */
export interface PermEntry {
  readonly letter: PermLetter;
  readonly domid: number;
}

export type PermLetter = 'n' | 'r' | 'w' | 'b';

/** `n0\0r3\0` */
export function encodePerms(perms: readonly PermEntry[]): string {
  let text = '';
  for (const { letter, domid } of perms) text += `${letter}${domid}\0`;
  return text;
}

/** Each string followed by NUL. */
export function encodeStrings(parts: readonly string[]): string {
  return parts.length === 0 ? '' : `${parts.join('\0')}\0`;
}
