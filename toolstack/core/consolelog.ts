/**
 * What goes into the log of a console: its bytes as they are, with something in front of each line (the time) where that is wanted. And how its file is
 * called. As xenconsoled does both. Knows no file and no clock.
 */

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Puts something in front of each line of a stream that comes in pieces. */
export class LineStamps {
  #atStart = true;

  /** A piece, cut up: the stamp where a line begins, and the line or as much of it as there is. */
  stamp(bytes: Uint8Array, stamp: Uint8Array): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; ) {
      // Of "\n\r" the second belongs to the line that has ended.
      if (this.#atStart && bytes[at] === RETURN) {
        at++;
        continue;
      }
      const newline = bytes.indexOf(NEWLINE, at);
      const end = newline < 0 ? bytes.length : newline + 1;
      if (this.#atStart) pieces.push(stamp);
      pieces.push(bytes.subarray(at, end));
      this.#atStart = newline >= 0;
      at = end;
    }
    return pieces;
  }
}

/** `guest-alice.log`. A name that is not fit to be a part of a file's becomes one. */
export function logName(name: string): string {
  return `guest-${name.replace(/[^A-Za-z0-9._+@:=-]/g, '_')}.log`;
}
