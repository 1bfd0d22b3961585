/**
 * Bytes of one guest to another: straight out of the one's out half into the other's in half, copied once. Knows where bytes begin and end in two
 * rings of any two sizes; not why the rings are connected, nor who is told.
 */
import type { DataRing } from './dataring.ts';

/**
 * Copies so many bytes, which the one has ready and the other has room for, and moves both indices. `Uint8Array.set` on two mappings is as quick as
 * memcpy(3) and needs no call out of JavaScript.
 */
export function move(from: DataRing, to: DataRing, bytes: number): void {
  const end = 2 * from.size;
  for (let left = bytes; left > 0; ) {
    const start = from.outOffset();
    const into = to.inOffset();
    const part = Math.min(left, end - start, to.size - into);
    to.memory.set(from.memory.subarray(start, start + part), into);
    from.took(part);
    to.gave(part);
    left -= part;
  }
}

/** As `move`, from memory of ours. */
export function pour(from: Uint8Array, to: DataRing): void {
  for (let at = 0; at < from.length; ) {
    const into = to.inOffset();
    const part = Math.min(from.length - at, to.size - into);
    to.memory.set(from.subarray(at, at + part), into);
    to.gave(part);
    at += part;
  }
}

/** A copy of all that a guest has put, its index moved: for a ring that goes away. */
export function drawn(from: DataRing, bytes: number): Uint8Array {
  const copy = new Uint8Array(bytes);
  const start = from.outOffset();
  const first = Math.min(bytes, 2 * from.size - start);
  copy.set(from.memory.subarray(start, start + first));
  copy.set(from.memory.subarray(from.size, from.size + bytes - first), first);
  from.took(bytes);
  return copy;
}
