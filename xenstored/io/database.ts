/**
 * The store on disk: a journal that each turn's commit is appended to, and LevelDB, which absorbs journals behind it. Started again after
 * any death, it gives back what was acknowledged. The only importer of `level`. Knows nothing of what a node means.
 *
 * A directory holds `boot` and `lock` (database-directory.ts), `journal.<n>` and `level`. The database says up to which journal it has
 * everything; what it has not is in the journals after that. Absorbing starts a new journal, writes what the closed ones came to as one
 * atomic batch, then deletes them, so that at any moment both together are the whole store, once.
 */
import * as fs from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import type { Commit, SavedState } from '../core/ports.ts';
import { claimDirectory, type DirectoryOptions } from './database-directory.ts';
import { DatabaseError, damaged } from './database-error.ts';
import { type SortedDatabase, savedState, Tables } from './database-tables.ts';
import { Journal, JournalCursor, journalPath, listJournals, syncDirectory } from './journal.ts';
import { Encoder } from './journal-bytes.ts';
import { JournalFold } from './journal-fold.ts';
import { Pace } from './pace.ts';
import { RecordCursor } from './records.ts';

/** Where a turn's commit is made safe. When `append` throws, nothing of the turn may leave the daemon, which has to stop. */
export interface Keeper {
  append(commit: Commit): void;
  close(): Promise<void>;
}

/** `--database memory`: nothing is kept, and the store ends with the process. */
export const memory: Keeper = {
  append() {},
  async close() {},
};

export interface DatabaseOptions extends DirectoryOptions {
  /** How far a ring's output is with its peer (`outbox.sent`); `undefined` where there is no such link. Output before it is not kept. */
  readonly sentPosition?: (domid: number) => number | undefined;
  /** At this size a journal is absorbed. */
  readonly journalLimitBytes?: number;
  /** After this long without a commit, too. */
  readonly idleMs?: number;
}

/** What has happened on the disk when a step of absorbing is done: dying after any of them loses nothing. */
export type AbsorbStep = 'begun' | 'read' | 'written' | 'deleted';

const JOURNAL_LIMIT_BYTES = 16 * 1024 * 1024;
/** And not before it is this many times as large as what the last absorption wrote, so that LevelDB's work stays a fraction of ours. */
const JOURNAL_TIMES_ABSORBED = 8;
const IDLE_MS = 10_000;
/** A journal smaller than this is read faster than LevelDB is opened: it can wait. */
const IDLE_BYTES = 256 * 1024;
/** How much of the time absorbing may take while the daemon is at work. */
const ABSORB_SHARE = 0.1;
/** Records folded between two looks at the world. */
const SLICE = 512;

export class Database implements Keeper {
  /** What an earlier daemon left; `undefined` in a new directory. Taken once. */
  #saved: SavedState | undefined;
  readonly #options: DatabaseOptions;
  readonly #claim: { release(): void };
  readonly #encoder = new Encoder();
  readonly #limitBytes: number;
  readonly #timer: NodeJS.Timeout;
  #journal: Journal;
  /** Closed journals that are not absorbed. */
  #closed: number[];
  #tables: Tables | undefined;
  #absorbing: Promise<void> | undefined;
  #absorbAtBytes: number;
  #absorbedBytes = 0;
  #pace = new Pace(ABSORB_SHARE);
  #bytesWhenLastLooked = 0;

  private constructor(options: DatabaseOptions, claim: { release(): void }, found: Found) {
    this.#options = options;
    this.#claim = claim;
    this.#saved = found.saved;
    this.#tables = found.tables;
    this.#closed = found.journals;
    this.#journal = new Journal(options.directory, found.next, options.durability, this.#encoder);
    this.#limitBytes = options.journalLimitBytes ?? JOURNAL_LIMIT_BYTES;
    this.#absorbAtBytes = this.#limitBytes;
    this.#timer = setInterval(() => this.#absorbIfIdle(), options.idleMs ?? IDLE_MS);
    this.#timer.unref();
    // A daemon that keeps dying young must not leave ever more to be read by the next.
    if (found.journalBytes >= this.#limitBytes) setImmediate(() => void this.absorb());
  }

  /** Throws DatabaseError, whose message is the one line to end with. In a new directory nothing is waited for. */
  static async open(options: DatabaseOptions): Promise<Database> {
    const claim = claimDirectory(options);
    let found: Found | undefined;
    try {
      found = await find(options);
      return new Database(options, claim, found);
    } catch (error) {
      await found?.tables?.close();
      claim.release();
      throw asDatabaseError(error, options.directory);
    }
  }

  /** What an earlier daemon left; `undefined`: the store is new. Given once, then forgotten. */
  takeSaved(): SavedState | undefined {
    const saved = this.#saved;
    this.#saved = undefined;
    return saved;
  }

  append(commit: Commit): void {
    this.#journal.append(commit);
    if (this.#journal.bytes >= this.#absorbAtBytes && this.#absorbing === undefined) void this.absorb();
  }

  /** Brings LevelDB up to now, behind the daemon's back. Never rejects: what fails is logged, stays in the journals and is tried again. */
  absorb(): Promise<void> {
    this.#absorbing ??= this.#absorb().finally(() => {
      this.#absorbing = undefined;
    });
    return this.#absorbing;
  }

  /** The same step by step, for one caller at a time. */
  async *absorption(): AsyncGenerator<AbsorbStep> {
    const { directory, durability, sentPosition } = this.#options;
    this.#startJournal();
    if (this.#closed.length === 0) return;
    const numbers = this.#closed;
    yield 'begun';
    const fold = new JournalFold();
    for (const number of numbers) {
      const end = await readJournal(directory, number, fold, this.#pace);
      if (end.torn)
        throw damaged(journalPath(directory, number), directory, `cut short at byte ${end.bytes}`);
    }
    this.#absorbedBytes = fold.bytes;
    yield 'read';
    this.#tables ??= await openTables(directory);
    const sent = sentPosition ?? (() => undefined);
    await this.#tables.absorb(fold, numbers.at(-1)!, sent, this.#pace, { sync: durability === 'sync' });
    // LevelDB's own directory must be there to stay before what it replaces goes.
    if (durability === 'sync') syncDirectory(directory);
    yield 'written';
    this.#closed = [];
    for (const number of numbers) await rm(journalPath(directory, number));
    yield 'deleted';
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#pace.hurry();
    await this.#absorbing;
    this.#journal.close();
    await this.#tables?.close();
    this.#claim.release();
  }

  async #absorb(): Promise<void> {
    try {
      for await (const _ of this.absorption());
      this.#absorbAtBytes = Math.max(this.#limitBytes, this.#absorbedBytes * JOURNAL_TIMES_ABSORBED);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#options.log(`the journal is not absorbed: ${why}; nothing is lost, it is kept and tried again`);
      this.#absorbAtBytes = this.#journal.bytes + this.#limitBytes;
      // A LevelDB that has failed once refuses everything until it is opened again.
      await this.#tables?.close().catch(() => {});
      this.#tables = undefined;
    }
  }

  #startJournal(): void {
    const journal = this.#journal;
    if (journal.failure !== undefined) throw journal.failure;
    if (journal.empty) return;
    const { directory, durability } = this.#options;
    this.#journal = new Journal(directory, journal.number + 1, durability, this.#encoder);
    journal.close();
    this.#closed = [...this.#closed, journal.number];
  }

  #absorbIfIdle(): void {
    const { bytes } = this.#journal;
    const idle = bytes === this.#bytesWhenLastLooked;
    this.#bytesWhenLastLooked = bytes;
    if (idle && (bytes > IDLE_BYTES || this.#closed.length > 0)) void this.absorb();
  }
}

interface Found {
  readonly saved: SavedState | undefined;
  readonly tables: Tables | undefined;
  /** Journals that the tables have not absorbed. */
  readonly journals: number[];
  readonly journalBytes: number;
  /** The number of the next one. */
  readonly next: number;
}

async function find({ directory, log }: DatabaseOptions): Promise<Found> {
  const tables = fs.existsSync(`${directory}/level/CURRENT`) ? await openTables(directory) : undefined;
  try {
    const absorbed = (await tables?.absorbed()) ?? 0;
    const journals: number[] = [];
    let journalBytes = 0;
    const fold = new JournalFold();
    const all = listJournals(directory);
    for (const number of all) {
      const path = journalPath(directory, number);
      if (number > absorbed) {
        const end = await readJournal(directory, number, fold, new Pace(1));
        if (end.torn && number !== all.at(-1))
          throw damaged(path, directory, `cut short at byte ${end.bytes}`);
        if (end.torn) {
          log(`${path}: what was being written when xenstored died is dropped; it was never acknowledged`);
          cutTo(path, end.bytes);
        }
        if (end.bytes > 0) journals.push(number);
        journalBytes += end.bytes;
      }
      if (!journals.includes(number)) fs.rmSync(path);
    }
    const next = Math.max(absorbed, all.at(-1) ?? 0) + 1;
    return { saved: await savedState(tables, fold), tables, journals, journalBytes, next };
  } catch (error) {
    await tables?.close();
    throw error;
  }
}

/** For good: when another journal follows, this one has to be whole. */
function cutTo(path: string, bytes: number): void {
  const fd = fs.openSync(path, 'r+');
  try {
    fs.ftruncateSync(fd, bytes);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

async function readJournal(
  directory: string,
  number: number,
  fold: JournalFold,
  pace: Pace,
): Promise<{ readonly torn: boolean; readonly bytes: number }> {
  const path = journalPath(directory, number);
  const journal = new JournalCursor(await readFile(path));
  let folded = 0;
  try {
    while (journal.next()) {
      const record = new RecordCursor(journal.body);
      while (record.next()) {
        fold.take(record);
        if (++folded % SLICE === 0) await pace.rest();
      }
    }
  } catch (error) {
    if (error instanceof RangeError)
      throw damaged(path, directory, `before byte ${journal.end}: ${error.message}`);
    throw error;
  }
  if (journal.state === 'damaged') throw damaged(path, directory, `damaged at byte ${journal.end}`);
  return { torn: journal.state === 'torn', bytes: journal.end };
}

async function openTables(directory: string): Promise<Tables> {
  // Not needed by a daemon that starts afresh, and slow to load.
  const { Level } = await import('level');
  const level = new Level<Buffer, Buffer>(`${directory}/level`, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    cacheSize: 1024 * 1024,
  });
  await level.open();
  return new Tables(level satisfies SortedDatabase);
}

function asDatabaseError(error: unknown, directory: string): DatabaseError {
  if (error instanceof DatabaseError) return error;
  // LevelDB's own reason is the cause of what `level` throws.
  const { code, message, cause } = error as Error & { code?: string; cause?: Error & { code?: string } };
  if (cause?.code === 'LEVEL_LOCKED') {
    return new DatabaseError(
      `${directory}/level is in use by another process: name another directory, or stop that one`,
    );
  }
  if (code?.startsWith('LEVEL_')) return damaged(`${directory}/level`, directory, cause?.message ?? message);
  return new DatabaseError(`cannot use ${directory} for the store: ${message}`);
}
