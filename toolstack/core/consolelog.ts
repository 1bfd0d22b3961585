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

/** What a file's name may have besides, with what comes after it when it is set aside, is 255 bytes. */
const MOST_NAME = 200;

/** `guest-alice.log`: of each name another, and a file's beside the others, whatever the name consists of. */
export function logName(name: string): string {
  const fit = name.replace(/[^A-Za-z0-9._+@:=-]/gu, (character) =>
    [...new TextEncoder().encode(character)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  );
  return `guest-${fit.slice(0, MOST_NAME)}.log`;
}
