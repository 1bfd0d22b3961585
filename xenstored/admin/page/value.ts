/**
 * A value between its bytes and what a person reads and types: the service's escaped text, hexadecimal, base64. Knows no document.
 */
const named: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, '\\': 92 };

/** Bytes of typed text: escapes as the service writes them; anything beyond ASCII as UTF-8. Throws for a broken escape, with where it is. */
export function parseText(text: string): Uint8Array {
  const bytes: number[] = [];
  const utf8 = new TextEncoder();
  for (let at = 0; at < text.length; ) {
    const char = String.fromCodePoint(text.codePointAt(at)!);
    if (char !== '\\') {
      bytes.push(...utf8.encode(char));
      at += char.length;
      continue;
    }
    const letter = text[at + 1] ?? '';
    const hex = /^[0-9a-fA-F]{2}/.exec(text.slice(at + 2))?.[0];
    if (letter in named) {
      bytes.push(named[letter]!);
      at += 2;
    } else if (letter === 'x' && hex !== undefined) {
      bytes.push(Number.parseInt(hex, 16));
      at += 4;
    } else throw new Error(`character ${at + 1}: after a backslash comes n, r, t, another backslash or xNN`);
  }
  return Uint8Array.from(bytes);
}

export function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

export function fromBase64(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

/** Lines of offset, sixteen bytes, and those of them that are printable ASCII. */
export function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const line = [...bytes.subarray(at, at + 16)];
    const hex = line.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = line.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`${at.toString(16).padStart(4, '0')}  ${hex.padEnd(47)}  ${text}`);
  }
  return lines.join('\n');
}
