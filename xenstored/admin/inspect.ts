/**
 * The daemon from inside, as far as it tells: our own has listings, of one line a thing; of the C daemon there are the quotas; oxenstored tells
 * nothing. Asked for at most twice a second, whoever asks here. Knows no HTTP.
 */
import type { Clock } from '../../osdep/clock.ts';
import { type Daemon, daemonOf } from './daemon.ts';
import { AdminError } from './errors.ts';
import type { Store } from './store.ts';
import { parsePage, type TraceEntry } from './trace.ts';
import { encodeText } from './value.ts';

/** The listings of our own daemon; `quotas` also of the C daemon. */
export const parts = [
  'connections',
  'watches',
  'transactions',
  'rings',
  'quotas',
  'refusals',
  'trace',
] as const;
export type Part = (typeof parts)[number];

/** Whose it is: a domain's ring, or one socket of many. */
export interface Whose {
  readonly domid?: number;
  readonly socket?: number;
}

export type Fields = Whose & Readonly<Record<string, string | number | boolean | Quota | undefined>>;

export interface Quota {
  readonly used: number;
  /** null: none. */
  readonly limit: number | null;
  /** The most that was ever seen. */
  readonly max?: number;
}

export interface Listing {
  readonly rows: readonly Fields[];
  /** There are more than were asked for. */
  readonly more: boolean;
}

const FRESH_MS = 500;

export class Inspect {
  readonly #store: Store;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #asked = new Map<string, { readonly at: number; readonly answer: Promise<unknown> }>();
  #daemon: { readonly connection: number; readonly name: Promise<Daemon> } | undefined;

  constructor(store: Store, clock: Pick<Clock, 'now'>) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Which one it is. Asked once for each connection. */
  daemon(): Promise<Daemon> {
    const connection = this.#store.connections;
    if (this.#daemon?.connection !== connection) {
      const name = daemonOf(this.#store);
      this.#daemon = { connection, name };
      void name.then((found) => {
        if (found === 'unknown') this.#daemon = undefined;
      });
    }
    return this.#daemon!.name;
  }

  /** What it tells of. */
  async has(): Promise<readonly Part[]> {
    const daemon = await this.daemon();
    if (daemon === 'stubdom0') return parts;
    return daemon === 'xenstored' && (await this.#quotasOfC().catch(() => [])).length > 0 ? ['quotas'] : [];
  }

  /** Throws not_offered where the daemon has nothing of the kind. */
  async listing(part: Exclude<Part, 'trace'>, limit: number, domid?: number): Promise<Listing> {
    const daemon = await this.daemon();
    if (daemon === 'stubdom0') {
      const { lines, more } = await this.#lines(part, limit, domid);
      return { rows: lines.map(readers[part]).filter((row) => row !== undefined), more };
    }
    if (part === 'quotas' && daemon === 'xenstored') {
      const rows = (await this.#quotasOfC()).filter((row) => domid === undefined || row.domid === domid);
      if (rows.length > 0) return { rows: rows.slice(0, limit), more: rows.length > limit };
    }
    throw notOffered(part);
  }

  /** The last changes, oldest first, from a number on; -1: from the oldest that is known. */
  async trace(
    after: number,
    limit: number,
    domid?: number,
  ): Promise<{ entries: TraceEntry[]; next: number }> {
    if ((await this.daemon()) !== 'stubdom0') throw notOffered('trace');
    const entries: TraceEntry[] = [];
    for (let from = after + 1, first = true; ; first = false) {
      const page = parsePage(await this.#store.control('trace', ['from-change', String(from)]));
      if (page === undefined) throw notOffered('trace');
      if (first && page.next < from) {
        // It counts afresh: another daemon than the asker has in mind.
        from = 0;
        continue;
      }
      entries.push(...page.entries.filter((entry) => domid === undefined || entry.domid === domid));
      from = page.next;
      if (!page.more || entries.length >= limit) return { entries, next: page.next - 1 };
    }
  }

  /** Counters by name. */
  async statistics(): Promise<ReadonlyMap<string, number>> {
    if ((await this.daemon()) !== 'stubdom0') throw notOffered('statistics');
    const text = await this.#once('statistics', () => this.#store.control('statistics', []));
    return new Map(
      Array.from(text.matchAll(/^(\w+)=(-?\d+)$/gm), ([, name, value]) => [name!, Number(value)]),
    );
  }

  async #lines(part: string, limit: number, domid?: number): Promise<{ lines: string[]; more: boolean }> {
    return await this.#once(`${part} ${domid} ${limit}`, async () => {
      const lines: string[] = [];
      const words = domid === undefined ? [] : [String(domid)];
      for (let from = 0; lines.length < limit; ) {
        const page = (await this.#store.control(part, [...words, 'from', String(from)])).split('\n');
        const more = page.findIndex((line) => line.startsWith('more: from '));
        lines.push(...page.slice(0, more < 0 ? undefined : more).filter((line) => line !== ''));
        if (more < 0) return { lines: lines.slice(0, limit), more: lines.length > limit };
        const next = Number(page[more]!.slice('more: from '.length));
        if (!(next > from)) break;
        from = next;
      }
      return { lines: lines.slice(0, limit), more: true };
    });
  }

  /** Its words: what each domain uses, and what it may. */
  async #quotasOfC(): Promise<Fields[]> {
    return await this.#once('quotas', async () => {
      const limits = new Map(
        numbers(await this.#store.control('quota', [])).map(([name, value]) => [name, value]),
      );
      const domids = (await this.#store.live.directory('/local/domain').catch(() => [])).filter((name) =>
        /^\d+$/.test(name),
      );
      const rows: Fields[] = [];
      for (const domid of domids.slice(0, DOMAINS_OF_C_MAX)) {
        const text = await this.#store.control('quota', [domid]).catch(() => '');
        const row: Record<string, number | Quota> = { domid: Number(domid) };
        for (const [name, used, max] of numbers(text)) {
          const limit = domid === '0' ? 0 : (limits.get(name) ?? 0);
          row[name] = { used, limit: limit === 0 ? null : limit, ...(max !== undefined && { max }) };
        }
        if (Object.keys(row).length > 1) rows.push(row);
      }
      return rows;
    });
  }

  #once<T>(what: string, ask: () => Promise<T>): Promise<T> {
    const now = this.#clock.now();
    for (const [key, { at }] of this.#asked) if (now - at >= FRESH_MS) this.#asked.delete(key);
    const known = this.#asked.get(what);
    if (known !== undefined) return known.answer as Promise<T>;
    const answer = ask();
    answer.catch(() => this.#asked.delete(what));
    this.#asked.set(what, { at: now, answer });
    return answer;
  }
}

/** One request each. */
const DOMAINS_OF_C_MAX = 1_000;

function notOffered(what: string): AdminError {
  return new AdminError('not_offered', `the daemon behind this service tells nothing of ${what}`);
}

/** `nodes            :        3 (max        5)`: name, value, most. */
function numbers(text: string): [string, number, number | undefined][] {
  const lines = text.matchAll(/^([a-z][a-z0-9 -]*?) *: *(-?\d+)(?: \(max +(-?\d+)\))?/gm);
  return Array.from(lines, ([, name, value, max]) => [
    name!,
    Number(value),
    max === undefined ? undefined : Number(max),
  ]);
}

const readers: Readonly<Record<Exclude<Part, 'trace'>, (line: string) => Fields | undefined>> = {
  connections: (line) => withWhose(line, fieldsOf),
  transactions: (line) =>
    withWhose(line, (rest) => {
      const [, id, more] = /^(\d+) (.*)$/.exec(rest) ?? [];
      if (id === undefined) return undefined;
      const { age, ...fields } = fieldsOf(more!);
      return { transaction: Number(id), ...fields, age_ms: milliseconds(age) };
    }),
  watches: (line) =>
    withWhose(line, (rest) => {
      const [, path, token, depth] = /^(\S+) (\S*)(?: depth=(\d+))?$/.exec(rest) ?? [];
      if (path === undefined) return undefined;
      return { path, token: plain(token!), ...(depth !== undefined && { depth: Number(depth) }) };
    }),
  rings: (line) =>
    withWhose(line, (rest) => {
      const [, status, more] = /^(served|ignored) (.*)$/.exec(rest) ?? [];
      if (status === undefined) return undefined;
      const fields = fieldsOf(more!);
      const { req_prod, req_cons, rsp_prod, rsp_cons } = fields;
      if (typeof req_prod !== 'number') return { status, mapped: false };
      return {
        status,
        mapped: true,
        ...fields,
        requests_waiting: difference(req_prod, req_cons),
        replies_waiting: difference(Number(rsp_prod), rsp_cons),
      };
    }),
  quotas: (line) =>
    withWhose(line, (rest) => {
      const found = rest.matchAll(/([a-z-]+)=(\d+)\/(\d+)\/(\d+)/g);
      return Object.fromEntries(
        Array.from(found, ([, name, used, limit, max]) => [
          name!,
          { used: Number(used), limit: limit === '0' ? null : Number(limit), max: Number(max) },
        ]),
      );
    }),
  refusals: (line) =>
    withWhose(line, (rest) => {
      const [, op, errno, count, age, subject] =
        /^(\S+) ([A-Z0-9]+) count=(\d+) age=(-?\d+)ms ?(\S*)$/.exec(rest) ?? [];
      if (op === undefined) return undefined;
      return { op, errno: errno!, count: Number(count), age_ms: Number(age), path: plain(subject!) };
    }),
};

function withWhose(
  line: string,
  read: (rest: string) => Record<string, unknown> | undefined,
): Fields | undefined {
  const [, kind, id, rest] = /^(domain|socket) (-?\d+) ?(.*)$/.exec(line) ?? [];
  if (kind === undefined) return undefined;
  const fields = read(rest!);
  return fields && ({ [kind === 'domain' ? 'domid' : 'socket']: Number(id), ...fields } as Fields);
}

/** `name=number name=word flag` */
function fieldsOf(text: string): Record<string, string | number | boolean> {
  const fields: Record<string, string | number | boolean> = {};
  for (const word of text.split(' ')) {
    const cut = word.indexOf('=');
    if (cut < 0) {
      if (word !== '') fields[word] = true;
      continue;
    }
    const value = word.slice(cut + 1);
    fields[word.slice(0, cut)] = /^-?\d+$/.test(value) ? Number(value) : value;
  }
  return fields;
}

function milliseconds(age: unknown): number {
  return Number(String(age).replace(/ms$/, ''));
}

/** Ring indices are 32 bits and begin anew. */
function difference(producer: number, consumer: unknown): number {
  return (producer - Number(consumer)) >>> 0;
}

/** `%0a` is a byte; what the bytes are, is shown as values are. */
function plain(word: string): string {
  const bytes = word.replace(/%([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return encodeText(Buffer.from(bytes, 'latin1'));
}
