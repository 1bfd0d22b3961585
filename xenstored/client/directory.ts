/**
 * A directory's names, however many: DIRECTORY, and where its answer would not fit into one message, DIRECTORY_PART again and again
 * until the empty name, from the start if the node changed in between. Follows docs/misc/xenstore.txt.
 */
import { XenstoreError } from './error.ts';
import { readStrings, strings } from './payload.ts';
import type { Ask } from './requests.ts';

export async function readDirectory(ask: Ask, path: string): Promise<string[]> {
  try {
    return readStrings(await ask('DIRECTORY', strings({ op: 'DIRECTORY', path }, path), path));
  } catch (error) {
    if (!(error instanceof XenstoreError && error.code === 'E2BIG')) throw error;
    return readStrings(await readParts(ask, path, error));
  }
}

/** All names with NUL behind each. `tooBig` is thrown where a server knows no parts: ENOSYS would mislead. */
async function readParts(ask: Ask, path: string, tooBig: XenstoreError): Promise<Buffer> {
  const subject = { op: 'DIRECTORY_PART', path };
  let pieces: Buffer[] = [];
  let offset = 0;
  let generation: string | undefined;
  for (;;) {
    const request = strings(subject, path, String(offset));
    const answer = await ask('DIRECTORY_PART', request, path).catch((error: XenstoreError) => {
      throw error.code === 'ENOSYS' ? tooBig : error;
    });
    const split = answer.indexOf(0);
    if (split < 0 || split === answer.length - 1) throw new XenstoreError('EPROTO', subject.op, path);
    const found = answer.toString('latin1', 0, split);
    if (generation !== undefined && found !== generation) {
      pieces = [];
      offset = 0;
      generation = undefined;
      continue;
    }
    generation = found;
    // The end is an empty name: a NUL behind a NUL.
    const ended = answer.at(-1) === 0 && answer.at(-2) === 0;
    const names = answer.subarray(split + 1, ended ? answer.length - 1 : answer.length);
    pieces.push(names);
    offset += names.length;
    if (ended) return Buffer.concat(pieces);
  }
}
