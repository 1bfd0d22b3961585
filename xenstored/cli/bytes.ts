/**
 * Text of the command line as bytes, one per character (latin1), as arguments and terminals have it: nothing that a user types is lost or
 * changed. And how values with unprintable bytes are shown and written, by the rules of Xen's xenstore clients.
 */

/** What a program was told, or tells, in bytes. */
export function toBytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

export function fromBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** Characters outside of latin1 as their UTF-8 bytes. */
export function fromText(text: string): string {
  return Buffer.from(text).toString('latin1');
}

const shownAs: Readonly<Record<string, string>> = { '\t': '\\t', '\n': '\\n', '\r': '\\r', '\\': '\\\\' };

/** A value on one line: `\t \n \r \\`, octal below 8, hexadecimal for whatever else is not printable ASCII. */
export function escapeValue(value: string): string {
  return value.replace(/[^ -[\]-~]/g, (char) => {
    const code = char.charCodeAt(0);
    const digits = code < 8 ? code.toString(8).padStart(3, '0') : `x${code.toString(16).padStart(2, '0')}`;
    return shownAs[char] ?? `\\${digits}`;
  });
}

const meant: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r' };

/**
 * The reverse, and more: any one to three octal digits, one or two hexadecimal ones (by `scanf`'s rules, blanks before them included); an unknown
 * escape is its character; a backslash at the end is a zero byte.
 */
export function unescapeValue(text: string): string {
  const escapes =
    /\\(?:x(?:[ \t\n\v\f\r]*(0[xX]|[+-][0-9a-fA-F]|[0-9a-fA-F]{1,2}))?|([0-7]{1,3})|([\s\S])|$)/g;
  return text.replace(escapes, (whole, hex?: string, octal?: string, char?: string) => {
    if (hex !== undefined) return byte(Number.parseInt(hex.replace(/^0[xX]$/, '0'), 16));
    if (octal !== undefined) return byte(Number.parseInt(octal, 8));
    if (char !== undefined) return meant[char] ?? char;
    return whole === '\\' ? '\0' : 'x';
  });
}

function byte(value: number): string {
  return String.fromCharCode(value & 0xff);
}
