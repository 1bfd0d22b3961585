/**
 * Bytes as strings, one character per byte: how paths, tokens and values are held. A one-byte string is the most compact thing that
 * JavaScript can keep a short run of bytes in, it compares and hashes fast, and no byte is lost. Buffer's own per-encoding methods
 * are used because they cost half of `toString('latin1')`.
 */

interface Latin1Buffer {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number, length: number): number;
}

/** The bytes `[start, end)`. */
export function readLatin1(source: Buffer, start: number, end: number): string {
  return (source as unknown as Latin1Buffer).latin1Slice(start, end);
}

/** Writes all of `text` at `at`; the caller has made room. */
export function writeLatin1(target: Buffer, text: string, at: number): void {
  if (text.length > 0) (target as unknown as Latin1Buffer).latin1Write(text, at, text.length);
}
