/**
 * The journal: a file to which each turn's commit is appended with one write, before anything of the turn leaves the daemon. Entries are
 * numbered and carry a CRC, so that reading back tells an entry that was being written when the daemon died (it was never
 * acknowledged: dropped) from damage among those that were. Knows nothing of what a commit means.
 *
 * File: 16 bytes `stubdom0 journal`, u32 format, u32 salt, u32 CRC-32 of these, then entries.
 * Entry: u32 magic, u32 body bytes, u32 CRC-32 of all that follows (begun with the salt), u32 sequence, body.
 */
import { randomInt } from 'node:crypto';
import * as fs from 'node:fs';
import * as zlib from 'node:zlib';
import * as ffi from '../../osdep/os/ffi.ts';
import type { Commit } from '../core/ports.ts';
import { DatabaseError } from './database-error.ts';
import type { Encoder } from './journal-bytes.ts';
import { encodeCommit, FORMAT } from './records.ts';

/** `process`: survives the daemon's death. `sync`: is also on the disk before a reply leaves. */
export type Durability = 'process' | 'sync';

const FILE_MAGIC = 'stubdom0 journal';
const FILE_HEADER_BYTES = 28;
const ENTRY_MAGIC = 0x316a7378;
const ENTRY_HEADER_BYTES = 16;
/** Where in an entry the checked part begins: the sequence. */
const CHECKED_AT = 12;

export class Journal {
  readonly path: string;
  readonly number: number;
  /** Length of what is whole in the file. */
  bytes: number = FILE_HEADER_BYTES;
  readonly #durability: Durability;
  readonly #encoder: Encoder;
  readonly #fd: number;
  readonly #salt: number;
  #sequence = 0;
  /** Set once a commit could not be written: this journal takes no more, and nothing may follow it. */
  failure: DatabaseError | undefined;
  #closed = false;

  /** Makes a new file; in `sync` its name is on the disk too. `encoder` may be shared by journals that follow one another. */
  constructor(directory: string, number: number, durability: Durability, encoder: Encoder) {
    this.path = journalPath(directory, number);
    this.number = number;
    this.#durability = durability;
    this.#encoder = encoder;
    this.#salt = randomInt(2 ** 32);
    this.#fd = fs.openSync(this.path, 'wx', 0o600);
    try {
      writeAll(this.#fd, fileHeader(this.#salt), 0, FILE_HEADER_BYTES);
      if (durability === 'sync') {
        fs.fsyncSync(this.#fd);
        syncDirectory(directory);
      }
    } catch (error) {
      fs.closeSync(this.#fd);
      fs.rmSync(this.path, { force: true });
      throw error;
    }
  }

  get empty(): boolean {
    return this.bytes === FILE_HEADER_BYTES;
  }

  /**
   * Makes one turn's changes safe. When this throws, they are not, and never will be: the daemon must send nothing of this turn and
   * stop, and every later call throws the same.
   */
  append(commit: Commit): void {
    if (this.failure !== undefined) throw this.failure;
    const encoder = this.#encoder;
    encoder.restart(ENTRY_HEADER_BYTES);
    encodeCommit(encoder, commit);
    const { bytes, at: end } = encoder;
    encoder.at = 0;
    encoder.u32(ENTRY_MAGIC);
    encoder.u32(end - ENTRY_HEADER_BYTES);
    encoder.at = CHECKED_AT;
    encoder.u32(this.#sequence);
    encoder.at = 8;
    encoder.u32(zlib.crc32(bytes.subarray(CHECKED_AT, end), this.#salt));
    try {
      // Node's own write costs 0.3 us more; it says better what is wrong, so it gets what this one left.
      const written = ffi.write(this.#fd, bytes, end);
      if (written < end) writeAll(this.#fd, bytes, Math.max(0, written), end);
      if (this.#durability === 'sync') fs.fdatasyncSync(this.#fd);
    } catch (error) {
      this.#fail(error);
    }
    this.bytes += end;
    this.#sequence = (this.#sequence + 1) >>> 0;
  }

  close(): void {
    if (!this.#closed) fs.closeSync(this.#fd);
    this.#closed = true;
  }

  #fail(error: unknown): never {
    // What was written of the entry is taken away, so that the next start does not find a change that nobody was told of.
    try {
      fs.ftruncateSync(this.#fd, this.bytes);
    } catch {
      // Then the next start drops it as torn, or keeps a change whose reply never left: both are allowed after a crash.
    }
    const why = error instanceof Error ? error.message : String(error);
    this.failure = new DatabaseError(
      `cannot write ${this.path}: ${why}; nothing can be acknowledged, so xenstored stops: ` +
        'make room and start it again, the store is as it was last acknowledged',
    );
    throw this.failure;
  }
}

export function journalPath(directory: string, number: number): string {
  return `${directory}/journal.${number}`;
}

/** The numbers of the journals in a directory, oldest first. */
export function listJournals(directory: string): number[] {
  return fs
    .readdirSync(directory)
    .flatMap((name) => /^journal\.(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** `torn`: the last entry is incomplete. `damaged`: an entry is broken and others follow it, or the file is no journal of ours. */
export type JournalState = 'whole' | 'torn' | 'damaged';

/** Walks a journal's bytes: after `next` answers true `body` is a commit's records; after false `state` and `end` tell how it ends. */
export class JournalCursor {
  body: Buffer;
  state: JournalState = 'whole';
  /** Where the last whole entry ends. */
  end: number = FILE_HEADER_BYTES;
  readonly #file: Buffer;
  readonly #salt: number = 0;
  #sequence = 0;

  constructor(file: Buffer) {
    this.#file = file;
    this.body = file.subarray(0, 0);
    if (file.length < FILE_HEADER_BYTES) {
      this.state = 'torn';
      this.end = 0;
    } else if (file.subarray(0, FILE_HEADER_BYTES).equals(fileHeader(file.readUInt32LE(20)))) {
      this.#salt = file.readUInt32LE(20);
    } else {
      this.state = 'damaged';
      this.end = 0;
    }
  }

  next(): boolean {
    if (this.state !== 'whole' || this.end === this.#file.length) return false;
    const end = this.#entryEnd(this.end);
    if (end === undefined || this.#sequenceAt(this.end) !== this.#sequence) {
      this.state = this.#anyEntryAfter(this.end + 1) ? 'damaged' : 'torn';
      return false;
    }
    this.body = this.#file.subarray(this.end + ENTRY_HEADER_BYTES, end);
    this.end = end;
    this.#sequence = (this.#sequence + 1) >>> 0;
    return true;
  }

  #sequenceAt(at: number): number {
    return this.#file.readUInt32LE(at + CHECKED_AT);
  }

  /** Where the entry at `at` ends; `undefined`: there is no whole one. */
  #entryEnd(at: number): number | undefined {
    const file = this.#file;
    if (file.length - at < ENTRY_HEADER_BYTES || file.readUInt32LE(at) !== ENTRY_MAGIC) return undefined;
    const end = at + ENTRY_HEADER_BYTES + file.readUInt32LE(at + 4);
    if (end > file.length) return undefined;
    const crc = zlib.crc32(file.subarray(at + CHECKED_AT, end), this.#salt);
    return crc === file.readUInt32LE(at + 8) ? end : undefined;
  }

  /** The salt keeps a guest from placing in a value what would be taken for an entry here. */
  #anyEntryAfter(from: number): boolean {
    const magic = Buffer.alloc(4);
    magic.writeUInt32LE(ENTRY_MAGIC);
    for (let at = this.#file.indexOf(magic, from); at >= 0; at = this.#file.indexOf(magic, at + 1)) {
      if (this.#entryEnd(at) !== undefined) return true;
    }
    return false;
  }
}

export function syncDirectory(directory: string): void {
  const fd = fs.openSync(directory, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function fileHeader(salt: number): Buffer {
  const header = Buffer.alloc(FILE_HEADER_BYTES);
  header.write(FILE_MAGIC, 'latin1');
  header.writeUInt32LE(FORMAT, 16);
  header.writeUInt32LE(salt, 20);
  header.writeUInt32LE(zlib.crc32(header.subarray(0, 24)), 24);
  return header;
}

/** Writes `[start, end)`. A short write is followed by another, which succeeds or says why it cannot. */
function writeAll(fd: number, bytes: Buffer, start: number, end: number): void {
  for (let at = start; at < end; ) at += fs.writeSync(fd, bytes, at, end - at, null);
}
