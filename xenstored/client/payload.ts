/**
 * Requests' payloads as a client makes them, and answers as it reads them: strings with NUL behind each, in UTF-8 (names that a store
 * accepts are ASCII anyway). Follows docs/misc/xenstore.txt. Decides nothing about paths or values: the server does.
 */
import type { PermEntry, PermLetter } from '../wire/reply.ts';
import { XenstoreError } from './error.ts';
import type { PermText, Value } from './store.ts';

const NUL: Uint8Array = Uint8Array.of(0);

/** What one request is about: its name and, for the error's text, a path or the like. */
export interface Subject {
  readonly op: string;
  readonly path?: string | undefined;
}

/** `part\0part\0`. EINVAL if there is a NUL inside a string: the server would see two. Bytes are the caller's own affair. */
export function strings(subject: Subject, ...parts: readonly Value[]): Buffer {
  const pieces: Uint8Array[] = [];
  for (const part of parts) {
    if (typeof part === 'string' && part.includes('\0')) {
      throw new XenstoreError('EINVAL', subject.op, subject.path);
    }
    pieces.push(bytesOf(part), NUL);
  }
  return Buffer.concat(pieces);
}

/** `path\0value`: a value may hold anything. */
export function pathAndValue(subject: Subject, path: string, value: Value): Buffer {
  return Buffer.concat([strings(subject, path), bytesOf(value)]);
}

function bytesOf(value: Value): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value) : value;
}

/** `n0` */
export function permText(perm: PermEntry | PermText): string {
  return typeof perm === 'string' ? perm : `${perm.letter}${perm.domid}`;
}

/** The strings of an answer; one that does not end in NUL counts too, as in libxenstore. */
export function readStrings(answer: Buffer): string[] {
  const text = answer.toString();
  if (text === '') return [];
  return (text.endsWith('\0') ? text.slice(0, -1) : text).split('\0');
}

/** An answer that is one string. */
export function readString(answer: Buffer): string {
  const end = answer.indexOf(0);
  return answer.toString('utf8', 0, end < 0 ? answer.length : end);
}

/** An answer that is one number. */
export function readNumber(subject: Subject, answer: Buffer): number {
  const text = readString(answer);
  if (!/^-?\d+$/.test(text)) throw new XenstoreError('EPROTO', subject.op, subject.path);
  return Number(text);
}

export function readPerms(subject: Subject, answer: Buffer): PermEntry[] {
  return readStrings(answer).map((text) => {
    const match = /^([nrwb])(-?\d+)$/.exec(text);
    if (!match) throw new XenstoreError('EPROTO', subject.op, subject.path);
    return { letter: match[1] as PermLetter, domid: Number(match[2]) };
  });
}
