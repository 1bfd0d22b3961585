/**
 * A value as JSON can carry it. A store's values are bytes, 0 to 2048 of them and seldom more than plain text, so each travels twice:
 * `text` for people, `base64` for programs. Knows no encoding beyond ASCII: whose text it is, nobody says.
 */

/** `text`: bytes 0x20 to 0x7e as they are, `\` as `\\`, newline, return and tab as `\n` `\r` `\t`, all others as `\xNN`. */
export interface Value {
  readonly text: string;
  readonly base64: string;
}

const named: Readonly<Record<number, string>> = { 10: '\\n', 13: '\\r', 9: '\\t', 92: '\\\\' };

export function encodeValue(bytes: Uint8Array): Value {
  let text = '';
  for (const byte of bytes)
    text += named[byte] ?? (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : hex(byte));
  return { text, base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64') };
}

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}
