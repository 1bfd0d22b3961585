/**
 * Who made a change, out of our own daemon's trace, which is read on from where it was left whenever something has happened. Other daemons have
 * none: then nobody knows. Asks nothing by itself. Knows no subtree.
 */
import type { Store } from './store.ts';

export interface TraceEntry {
  readonly seq: number;
  readonly ageMs: number;
  readonly domid: number;
  /** Tells sockets apart; 0: the daemon itself, since the domain is gone. */
  readonly connection: number;
  /** `write`, `create`, `rm`, `perms`, `commit` (`path` is then the transaction's number), `gone`. */
  readonly what: string;
  readonly path: string;
  /** Of a node called `state`, the digit that it held then. */
  readonly value?: string;
}

export type Author = Pick<TraceEntry, 'domid' | 'seq'>;

const PAGES_MAX = 8;
const AUTHORS_MAX = 8_192;
/** No change has this number; asking for it tells the next one. */
const NEVER = 999_999_999_999_999;

export class Trace {
  readonly #store: Pick<Store, 'control' | 'connections'>;
  readonly #authors = new Map<string, Author>();
  #next: number | undefined;
  /** The connection on which the daemon turned out to have no trace. */
  #refusedOn: number | undefined;
  #connection: number | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(store: Pick<Store, 'control' | 'connections'>) {
    this.#store = store;
  }

  /** Learns of what has happened until now. Never rejects. One after the other: what is under way may have been asked too early. */
  update(): Promise<void> {
    this.#last = this.#last.then(() => this.#update().catch(() => {}));
    return this.#last;
  }

  /** The number up to which it has learned. */
  get next(): number {
    return this.#next ?? 0;
  }

  /** Of the last change of this very node, if that has this number or a later one; undefined: nobody knows. */
  authorOf(path: string, since: number): Author | undefined {
    const author = this.#authors.get(path);
    return author !== undefined && author.seq >= since ? author : undefined;
  }

  async #update(): Promise<void> {
    const { connections } = this.#store;
    if (this.#refusedOn === connections) return;
    if (this.#connection !== connections) {
      this.#connection = connections;
      this.#forget();
    }
    for (let page = 0; page < PAGES_MAX; page++) {
      const answer = await this.#page(this.#next ?? NEVER);
      if (answer === undefined) {
        this.#refusedOn = connections;
        return;
      }
      // It counts afresh: it is another daemon.
      if (answer.lost || answer.next < (this.#next ?? 0)) this.#forget();
      for (const entry of answer.entries) if (entry.what !== 'commit') this.#keep(entry);
      this.#next = answer.next;
      if (!answer.more) return;
    }
    this.#forget();
  }

  async #page(from: number): Promise<Page | undefined> {
    try {
      return parsePage(await this.#store.control('trace', ['from-change', String(from)]));
    } catch (error) {
      if ((error as { code?: unknown }).code === 'EINVAL') return undefined;
      throw error;
    }
  }

  #keep({ path, domid, seq }: TraceEntry): void {
    this.#authors.delete(path);
    this.#authors.set(path, { domid, seq });
    if (this.#authors.size <= AUTHORS_MAX) return;
    const [oldest] = this.#authors.keys();
    this.#authors.delete(oldest!);
  }

  /** Something was missed, so that an author who is known may not be the last one. */
  #forget(): void {
    this.#authors.clear();
    this.#next = undefined;
  }
}

interface Page {
  readonly entries: readonly TraceEntry[];
  readonly next: number;
  readonly more: boolean;
  readonly lost: boolean;
}

/** `undefined`: no trace at all. */
export function parsePage(text: string): Page | undefined {
  const end = /^next: (\d+)( more)?$/m.exec(text);
  if (end === null) return undefined;
  return {
    entries: parseTrace(text),
    next: Number(end[1]),
    more: end[2] !== undefined,
    lost: text.startsWith('lost: '),
  };
}

/** The lines that are changes. */
function parseTrace(text: string): TraceEntry[] {
  const lines = text.matchAll(
    /^(\d+) age=(-?\d+)ms domain (-?\d+) connection (\d+) (\w+) (\S*)(?: (\d))?$/gm,
  );
  return Array.from(lines, ([, seq, age, domid, connection, what, path, value]) => ({
    seq: Number(seq),
    ageMs: Number(age),
    domid: Number(domid),
    connection: Number(connection),
    what: what!,
    path: path!,
    ...(value !== undefined && { value }),
  }));
}
