/** Copying between extents of memory, by what is quickest for the length and allocates nothing for small ones. Knows no owners. */

/** One stretch of memory, as bytes and as words of the same; it starts at a word. */
export interface Stretch {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
}

/** Up to so many bytes a loop is quicker than a view and a call: by words, by bytes. */
const BY_WORDS = 256;
const BY_BYTES = 64;

export function copyBytes(source: Stretch, from: number, dest: Stretch, to: number, length: number): void {
  const inStep = ((from ^ to) & 3) === 0;
  if (length > (inStep ? BY_WORDS : BY_BYTES)) {
    dest.bytes.set(source.bytes.subarray(from, from + length), to);
    return;
  }
  const a = source.bytes;
  const b = dest.bytes;
  let i = 0;
  if (inStep) {
    while (i < length && ((from + i) & 3) !== 0) {
      b[to + i] = a[from + i]!;
      i++;
    }
    const words = (length - i) >> 2;
    const wordFrom = (from + i) >> 2;
    const wordTo = (to + i) >> 2;
    for (let w = 0; w < words; w++) dest.words[wordTo + w] = source.words[wordFrom + w]!;
    i += words << 2;
  }
  for (; i < length; i++) b[to + i] = a[from + i]!;
}
