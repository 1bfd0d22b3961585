/**
 * A value as JSON can carry it. A store's values are bytes, 0 to 4095 of them and seldom more than plain text, so each travels twice:
 * `text` for people, `base64` for programs. What comes in is one of the two. Knows no encoding beyond ASCII of what a store holds: whose
 * text it is, nobody says.
 */
import { AdminError } from './errors.ts';

/** `text`: bytes 0x20 to 0x7e as they are, `\` as `\\`, newline, return and tab as `\n` `\r` `\t`, all others as `\xNN`. */
export interface Value {
  readonly text: string;
  readonly base64: string;
  /** There is a value, and it is not shown: both are empty. */
  readonly masked?: true;
}

/** What a request says that a value shall be. */
export type ValueInput = { readonly text: string } | { readonly base64: string };

export const maskedValue: Value = { text: '', base64: '', masked: true };

const named: Readonly<Record<number, string>> = { 10: '\\n', 13: '\\r', 9: '\\t', 92: '\\\\' };

export function encodeValue(bytes: Uint8Array): Value {
  return {
    text: encodeText(bytes),
    base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64'),
  };
}

export function encodeText(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes)
    text += named[byte] ?? (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : hex(byte));
  return text;
}

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

/** Throws bad_request. `where`: of the value in its request. */
export function decodeValue(value: ValueInput, where: string): Uint8Array {
  if ('text' in value) return decodeText(value.text, where);
  const bytes = Buffer.from(value.base64, 'base64');
  if (bytes.toString('base64') === value.base64) return bytes;
  throw new AdminError('bad_request', 'base64 has padding and no other characters than RFC 4648, 4', {
    where: `${where}.base64`,
  });
}

const escapes: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, '\\': 92 };

/** The escapes above; every other character is its UTF-8. */
export function decodeText(text: string, where: string): Uint8Array {
  if (!text.isWellFormed())
    throw new AdminError('bad_request', 'half a surrogate pair is no character', { where: `${where}.text` });
  const pieces: Buffer[] = [];
  for (const [whole, plain, code] of text.matchAll(/([^\\]+)|\\(x[0-9a-fA-F]{2}|[\\nrt])?/g)) {
    if (plain !== undefined) pieces.push(Buffer.from(plain));
    else if (code === undefined)
      throw new AdminError('bad_request', `${whole}: a backslash begins \\\\ \\n \\r \\t or \\xNN`, {
        where: `${where}.text`,
      });
    else pieces.push(Buffer.of(escapes[code] ?? Number.parseInt(code.slice(1), 16)));
  }
  return Buffer.concat(pieces);
}
