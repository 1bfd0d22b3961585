/**
 * The files of a tar archive, wherever its bytes are: where each one's begin and how many they are. Everything is read once, to the end, and nothing of it
 * kept. Links and devices are no files. Knows no disk and no protocol; the only importer of tar-stream.
 */
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import tar from 'tar-stream';

/** Where an archive is. */
export interface Medium {
  /** Bytes of it. */
  readonly size: number;
  /** From within it. */
  read(at: number, length: number): Promise<Uint8Array>;
}

export interface ArchivedFile {
  /** From the archive's start, in bytes. */
  readonly at: number;
  /** Bytes. */
  readonly size: number;
  readonly modified: Date;
}

const HEADER_BYTES = 512;
const PIECE_BYTES = 1 << 18;
/** An archive need not be ours. */
const MOST_FILES = 100_000;

/** By their paths, without a leading `/` or `./`. Throws where there is no archive, or not all of it. */
export async function readArchive(medium: Medium): Promise<Map<string, ArchivedFile>> {
  const files = new Map<string, ArchivedFile>();
  const extract = tar.extract();
  extract.on('entry', ({ name, type, size = 0, mtime }, entry, next) => {
    // Where its header is; the types do not have it.
    const { offset } = entry as typeof entry & { readonly offset: number };
    if (type === 'file' || type === 'contiguous-file')
      files.set(name.replace(/^(\.?\/)+/, ''), {
        at: offset + HEADER_BYTES,
        size,
        modified: mtime ?? new Date(0),
      });
    entry.once('end', () =>
      next(files.size > MOST_FILES ? new Error(`more than ${MOST_FILES} files`) : null),
    );
    // Of an archive that is broken we hear by the whole.
    entry.on('error', () => {});
    entry.resume();
  });
  await pipeline(Readable.from(pieces(medium)), extract as Writable);
  if (files.size === 0) throw new Error('there is no file in an archive');
  return files;
}

async function* pieces({ size, read }: Medium): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < size; at += PIECE_BYTES) yield await read(at, Math.min(PIECE_BYTES, size - at));
}
