/**
 * The store in a sorted key-value database: one record per node, domain, watch, ring and setting. A node's key is its path with NUL for
 * `/`, which sorts before every character of a name, so that a subtree is one range. Writing a fold of journals is one atomic batch that
 * also says which journal it reaches to; it is put together in slices, so that no turn of the daemon waits for it. Knows the database
 * only by the few methods named here.
 */
import type { DomainRecord, NodeRecord, RingRecord, SavedState, WatchRecord } from '../core/ports.ts';
import type { JournalFold } from './journal-fold.ts';
import type { Pace } from './pace.ts';
import {
  decodeDomain,
  decodeNode,
  decodeNumber,
  decodeRing,
  decodeWatch,
  domidOf,
  nodePath,
  ringPayload,
  settingName,
} from './records.ts';

export interface SortedDatabase {
  get(key: Buffer): Promise<Buffer | undefined>;
  hasMany(keys: Buffer[]): Promise<boolean[]>;
  keys(range: Range): Rows;
  values(range: Range): Rows;
  batch(): Batch;
  close(): Promise<void>;
}

interface Range {
  readonly gte: Buffer;
  readonly lt: Buffer;
  readonly fillCache?: boolean;
  /** LevelDB hands out so much at once. */
  readonly highWaterMarkBytes?: number;
}

interface Rows {
  nextv(size: number): Promise<Buffer[]>;
  close(): Promise<void>;
}

interface Batch {
  put(key: Buffer, value: Buffer): unknown;
  del(key: Buffer): unknown;
  write(options: { readonly sync: boolean }): Promise<void>;
  close(): Promise<void>;
}

/** How much is done between two looks at the world: some 300 us of work. */
const SLICE = 128;
const ROWS = 1000;
const ROWS_BYTES = 256 * 1024;

const ABSORBED = Buffer.from('absorbed');
const GENERATION = Buffer.from('generation');

export class Tables {
  readonly #database: SortedDatabase;

  constructor(database: SortedDatabase) {
    this.#database = database;
  }

  /** The number of the last journal whose commits are all in here. */
  async absorbed(): Promise<number> {
    const value = await this.#database.get(ABSORBED);
    return value === undefined ? 0 : decodeNumber(value);
  }

  /** Writes what journals up to `upTo` came to. `sent`: what each ring's peer has been given already is not kept. */
  async absorb(
    fold: JournalFold,
    upTo: number,
    sent: (domid: number) => number | undefined,
    pace: Pace,
    options: { readonly sync: boolean },
  ): Promise<void> {
    const batch = this.#database.batch();
    try {
      await this.#removeSubtrees(batch, fold, pace);
      await inSlices(pace, fold.nodes(), ([path, payload]) => batch.put(nodeKey(path), payload));
      const set = (key: Buffer, payload: Buffer | undefined): void => {
        if (payload === undefined) batch.del(key);
        else batch.put(key, payload);
      };
      await inSlices(pace, fold.domains, ([domid, payload]) => set(domidKey('d', domid), payload));
      await inSlices(pace, fold.watches, ([seq, payload]) => set(watchKey(seq), payload));
      await inSlices(pace, fold.settings, ([name, payload]) => batch.put(settingKey(name), payload));
      for (const [domid, output] of fold.rings) {
        const key = domidKey('r', domid);
        const older = output === undefined || output.complete ? undefined : await this.#ring(key);
        set(key, output && ringPayload(output.over(older).record(sent(domid))));
      }
      if (fold.generation !== undefined) batch.put(GENERATION, number(fold.generation));
      batch.put(ABSORBED, number(upTo));
      await batch.write(options);
    } catch (error) {
      await batch.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#database.close();
  }

  /** All records of one kind, by the first letter of their keys, many at a time. */
  rows(letter: string): AsyncGenerator<Buffer[]> {
    const next = String.fromCharCode(letter.charCodeAt(0) + 1);
    return allOf(
      this.#database.values({
        gte: Buffer.from(letter),
        lt: Buffer.from(next),
        fillCache: false,
        highWaterMarkBytes: ROWS_BYTES,
      }),
    );
  }

  async generation(): Promise<number | undefined> {
    const value = await this.#database.get(GENERATION);
    return value === undefined ? undefined : decodeNumber(value);
  }

  async #removeSubtrees(batch: Batch, fold: JournalFold, pace: Pace): Promise<void> {
    const roots = [...fold.removed.keys()];
    for (let at = 0; at < roots.length; at += SLICE) {
      const keys = roots.slice(at, at + SLICE).map(nodeKey);
      // What is not here has nothing below it here either: most of what comes and goes never reached the database.
      const present = await this.#database.hasMany(keys);
      for (const [i, key] of keys.entries()) {
        if (!present[i]) continue;
        batch.del(key);
        const range = { gte: Buffer.concat([key, Buffer.of(0)]), lt: Buffer.concat([key, Buffer.of(1)]) };
        for await (const rows of allOf(this.#database.keys(range))) for (const row of rows) batch.del(row);
      }
      await pace.rest();
    }
  }

  async #ring(key: Buffer): Promise<RingRecord | undefined> {
    const value = await this.#database.get(key);
    return value === undefined ? undefined : decodeRing(value);
  }
}

/** The store as the database and the journals behind it have it. `undefined`: nothing has ever been committed. */
export async function savedState(
  tables: Tables | undefined,
  fold: JournalFold,
): Promise<SavedState | undefined> {
  const generation = fold.generation ?? (await tables?.generation());
  if (generation === undefined) return undefined;

  const nodes: NodeRecord[] = [];
  await eachRow(tables, 'n', (payload) => {
    if (!fold.supersedes(nodePath(payload))) nodes.push(decodeNode(payload));
  });
  for (const [, payload] of fold.nodes()) nodes.push(decodeNode(payload));
  // Of two nodes born at once the parent has the shorter path, and so the smaller.
  nodes.sort((a, b) => a.born - b.born || (a.path < b.path ? -1 : 1));

  const domains = new Map<number, DomainRecord>();
  await eachRow(tables, 'd', (payload) => domains.set(domidOf(payload), decodeDomain(payload)));
  overlay(domains, fold.domains, decodeDomain);

  const watches = new Map<number, WatchRecord>();
  await eachRow(tables, 'w', (payload) => watches.set(decodeNumber(payload), decodeWatch(payload)));
  overlay(watches, fold.watches, decodeWatch);

  const older = new Map<number, RingRecord>();
  await eachRow(tables, 'r', (payload) => older.set(domidOf(payload), decodeRing(payload)));
  const rings = new Map(older);
  overlay(rings, fold.rings, (output) => output.over(older.get(output.domid)).record(undefined));

  const settings = new Map<string, Buffer>();
  await eachRow(tables, 's', (payload) => settings.set(settingName(payload), payload));
  overlay(settings, fold.settings, (payload) => payload);

  return {
    generation,
    settings: Object.fromEntries([...settings].map(([name, payload]) => [name, decodeNumber(payload)])),
    nodes,
    domains: inOrder(domains),
    watches: inOrder(watches),
    rings: inOrder(rings),
  };
}

function overlay<K, Newer, V>(to: Map<K, V>, from: Map<K, Newer | undefined>, decode: (n: Newer) => V): void {
  for (const [key, newer] of from) {
    if (newer === undefined) to.delete(key);
    else to.set(key, decode(newer));
  }
}

function inOrder<V>(records: Map<number, V>): V[] {
  return [...records].sort(([a], [b]) => a - b).map(([, record]) => record);
}

async function eachRow(
  tables: Tables | undefined,
  letter: string,
  take: (payload: Buffer) => unknown,
): Promise<void> {
  if (tables === undefined) return;
  for await (const rows of tables.rows(letter)) for (const row of rows) take(row);
}

async function* allOf(rows: Rows): AsyncGenerator<Buffer[]> {
  try {
    for (let some = await rows.nextv(ROWS); some.length > 0; some = await rows.nextv(ROWS)) yield some;
  } finally {
    await rows.close();
  }
}

async function inSlices<T>(pace: Pace, items: Iterable<T>, each: (item: T) => void): Promise<void> {
  let done = 0;
  for (const item of items) {
    each(item);
    if (++done % SLICE === 0) await pace.rest();
  }
}

function nodeKey(path: string): Buffer {
  return Buffer.from(path === '/' ? 'n' : `n${path.replaceAll('/', '\0')}`, 'latin1');
}

function domidKey(letter: string, domid: number): Buffer {
  const key = Buffer.alloc(3, letter);
  key.writeUInt16BE(domid, 1);
  return key;
}

/** Doubles that are not negative sort as their big-endian bytes do. */
function watchKey(seq: number): Buffer {
  const key = Buffer.alloc(9, 'w');
  key.writeDoubleBE(seq, 1);
  return key;
}

function settingKey(name: string): Buffer {
  return Buffer.from(`s${name}`, 'latin1');
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}
