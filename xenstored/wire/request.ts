/**
 * What a request carries: strings that end in NUL, read out of a payload held as a latin1 string, so that every byte is
 * one character and a value survives unchanged. Follows docs/misc/xenstore.txt and, where that is silent, what the C daemon accepts.
 * Decides nothing about paths, permissions or meaning.
 */

const NUL = '\0';

/** How many NULs there are: the number of complete strings. */
export function countStrings(payload: string): number {
  let count = 0;
  for (let at = payload.indexOf(NUL); at >= 0; at = payload.indexOf(NUL, at + 1)) count++;
  return count;
}

/** All complete strings; bytes after the last NUL are ignored, as the C daemon does. */
export function strings(payload: string): string[] {
  const found = payload.split(NUL);
  found.pop();
  return found;
}

/** C's `atoi`: blanks, a sign, digits; whatever follows is ignored and no digits are 0. Wraps to signed 32 bits. */
export function atoi(text: string): number {
  const match = /^[ \t\n\v\f\r]*([+-]?\d+)/.exec(text);
  if (!match) return 0;
  return toInt(BigInt(match[1]!));
}

/** A number of any size as C's `strtol` and an assignment to an `int` leave it. */
function toInt(wide: bigint): number {
  const limit = 0x7fffffffffffffffn;
  const clamped = wide > limit ? limit : wide < -limit - 1n ? -limit - 1n : wide;
  return Number(BigInt.asIntN(32, clamped));
}

/**
 * A domain id as today's C daemon reads one: `strtoul`'s blanks, sign and leading zeros, an empty string as 0; junk after the digits, a
 * minus sign's wrap-around and anything above 65535 are refused. Reserved ids pass.
 */
export function parseDomid(text: string): number | undefined {
  const match = /^[ \t\n\v\f\r]*([+-]?)(\d+)$/.exec(text);
  if (!match) return text === '' ? 0 : undefined;
  const value = Number(match[2]);
  if (match[1] === '-' && value !== 0) return undefined;
  return value <= 0xffff ? value : undefined;
}

/** An integer in C's base-0 syntax (0x, leading-0 octal, decimal), all of the text, wrapped to 32 bits; `undefined` if it is not one. */
export function parseBase0(text: string): number | undefined {
  const match = /^[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)$/.exec(text);
  if (!match) return undefined;
  const digits = match[2]!;
  const magnitude = BigInt(/^0[0-7]/.test(digits) ? `0o${digits}` : digits);
  return toInt(match[1] === '-' ? -magnitude : magnitude);
}
