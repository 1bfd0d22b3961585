/**
 * A subtree that somebody looks at: one watch, a mirror of it, a log of its last changes, and those who want to be told of them. Changes are told in
 * batches, not more often than every 25 ms; nodes are read only if somebody wants them. Knows no HTTP; it is told when to end.
 */
import type { Clock } from '../../osdep/clock.ts';
import { EventsLog, type LoggedChange } from './eventslog.ts';
import { Mirror, type MirrorBounds } from './mirror.ts';
import { parentOf, type RawNode } from './rawnode.ts';
import { isWithin, type Store } from './store.ts';
import type { Trace } from './trace.ts';

/** Whoever is told. */
export interface Subscriber {
  /** At or below the tree's root. */
  readonly path: string;
  /** The nodes, too, or only their paths. */
  readonly nodes: boolean;
  changes(told: Told): void;
  /** What was before counts no more: fetch again. */
  resync(reason: string, seq: number): void;
  /** There will be nothing more. */
  ended(error: unknown): void;
}

/** The body of one event, for all who want the same; empty: nothing that concerns them. */
export interface Told {
  readonly seq: number;
  readonly data: string;
}

/** Without `data`: it is not known any more. */
export type Missed = Told | { readonly seq: number; readonly data: undefined };

export interface LiveTreeOptions {
  readonly root: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly trace: Trace;
  /** The node as it leaves this service, as JSON. */
  readonly json: (node: RawNode) => string;
  /** The number of the next batch of all trees. */
  readonly nextSeq: () => number;
  readonly lastSeq: () => number;
  readonly bounds?: MirrorBounds;
}

const WINDOW_MS = 25;
/** A batch of more nodes is told without their contents. */
const NODES_MAX = 300;
/** Of one event, as JSON: nodes beyond that are told without their contents. Each slow reader has one event waiting. */
const NODES_MAX_BYTES = 256 << 10;
/** More paths in a batch than that are told as one: fetch again. */
const PATHS_MAX = 10_000;
const PATHS_MAX_BYTES = 1 << 20;

export class LiveTree {
  readonly root: string;
  readonly mirror: Mirror;
  readonly subscribers: Set<Subscriber> = new Set();
  /** What was made of the mirror's content, and of which version of it. */
  readonly made: Map<string, { readonly version: number; readonly value: unknown }> = new Map();
  /** Settles with the watch: rejects if it cannot be set. */
  readonly ready: Promise<void>;
  /** On the clock. */
  usedAt: number;
  readonly #options: LiveTreeOptions;
  readonly #log: EventsLog;
  readonly #ending = new AbortController();
  #connections: number;
  #touched = new Set<string>();
  #touchedAt = 0;
  #touchedBytes = 0;
  #cancel: (() => void) | undefined;
  #flushing = false;
  #resets = 0;
  /** In the trace: what is told next happened then or later. */
  #traceFrom: number;
  /** The numbers of the changes whose authors the last batch told, by path. */
  #authors: ReadonlyMap<string, number> = new Map();

  constructor(options: LiveTreeOptions) {
    const { root, store, clock } = options;
    this.#options = options;
    this.root = root;
    this.mirror = new Mirror({
      root,
      view: store.live,
      clock,
      ...(options.bounds && { bounds: options.bounds }),
    });
    this.usedAt = clock.now();
    // A number of its own: what happened before the watch was set is known to nobody, though no batch has been told since.
    this.#log = new EventsLog(options.nextSeq());
    this.#connections = store.connections;
    this.#traceFrom = options.trace.next;
    this.ready = this.#watch();
    this.ready.catch(() => {});
  }

  get over(): boolean {
    return this.#ending.signal.aborted;
  }

  close(): void {
    this.#ending.abort();
    this.#cancel?.();
    this.#touched.clear();
  }

  /** What a subscriber missed after a number, each path once. */
  async missed({ path, nodes }: Subscriber, after: number): Promise<Missed> {
    const { lastSeq, clock } = this.#options;
    const seq = lastSeq();
    const changes = after > seq ? undefined : this.#log.since(after);
    if (changes === undefined) return { seq, data: undefined };
    const mine = [...changes.values()].filter((change) => isWithin(path, change.path));
    if (mine.length === 0) return { seq, data: '' };
    if (bytesOf(mine) > PATHS_MAX_BYTES) return { seq, data: undefined };
    const resets = this.#resets;
    if (!nodes) return { seq, data: this.#data(mine, undefined, clock.now()) };
    // Some were logged while nobody looked at what else they changed: their parents may have.
    for (const { path: below } of [...mine]) {
      for (let above = below; above !== path && above !== '/'; ) {
        above = parentOf(above);
        if (!changes.has(above)) {
          const change = { path: above, by: undefined };
          changes.set(above, change);
          mine.push(change);
        }
      }
    }
    if (mine.length > NODES_MAX) return { seq, data: undefined };
    mine.sort((a, b) => (a.path < b.path ? -1 : 1));
    const found = new Map<string, RawNode | null>();
    for (const change of mine) found.set(change.path, (await this.mirror.node(change.path)) ?? null);
    if (resets !== this.#resets) return { seq: lastSeq(), data: undefined };
    return { seq, data: this.#data(mine, found, clock.now()) };
  }

  async #watch(): Promise<void> {
    const { store } = this.#options;
    const events = store.changes(this.root, this.#ending.signal)[Symbol.asyncIterator]();
    // The first one says that the watch is set, and nothing of the node.
    const { done } = await events.next();
    if (done) throw Object.assign(new Error('the watch ended'), { code: 'ENOTCONN' });
    this.#connections = store.connections;
    void this.#follow(events);
  }

  async #follow(events: AsyncIterator<string>): Promise<void> {
    let error: unknown = Object.assign(new Error('the watch ended'), { code: 'ENOTCONN' });
    try {
      for (let event = await events.next(); !event.done; event = await events.next())
        this.#event(event.value);
    } catch (thrown) {
      error = thrown;
    }
    if (this.over) return;
    this.close();
    for (const subscriber of [...this.subscribers]) subscriber.ended(error);
  }

  #event(path: string): void {
    const { store } = this.#options;
    if (store.connections !== this.#connections) {
      this.#connections = store.connections;
      this.#reset('the connection to the store was lost: something may have been missed');
      return;
    }
    this.touched(path);
  }

  /** Something happened to this node, by a watch's word or because we did it: C tells not all of what a transaction made. */
  touched(path: string): void {
    const { clock } = this.#options;
    this.mirror.touch(path);
    if (this.#touched.size === 0) {
      this.#touchedAt = clock.now();
      this.#touchedBytes = 0;
    }
    if (!this.#touched.has(path)) this.#touchedBytes += path.length;
    this.#touched.add(path);
    if (this.#touched.size > PATHS_MAX || this.#touchedBytes > PATHS_MAX_BYTES)
      this.#reset('more changes than are kept');
    else this.#schedule();
  }

  #reset(reason: string): void {
    const seq = this.#options.nextSeq();
    this.#resets++;
    this.#touched.clear();
    this.mirror.clear();
    this.#log.reset(seq);
    for (const subscriber of this.subscribers) subscriber.resync(reason, seq);
  }

  #schedule(): void {
    if (this.#cancel !== undefined || this.#flushing || this.#touched.size === 0) return;
    const { clock } = this.#options;
    const delayMs = Math.max(0, this.#touchedAt + WINDOW_MS - clock.now());
    this.#cancel = clock.after(delayMs, () => {
      this.#cancel = undefined;
      this.#flushing = true;
      void this.#flush().finally(() => {
        this.#flushing = false;
        if (!this.over) this.#schedule();
      });
    });
  }

  async #flush(): Promise<void> {
    const { trace, nextSeq } = this.#options;
    const touched = this.#touched;
    const at = this.#touchedAt;
    const resets = this.#resets;
    const from = this.#traceFrom;
    this.#traceFrom = trace.next;
    this.#touched = new Set();
    // Only a reader who is there, or who was there a moment ago, makes more work than this.
    if (this.subscribers.size === 0) {
      for (const path of this.mirror.takeNews()) touched.add(path);
      this.#log.add(
        nextSeq(),
        [...touched].map((path) => ({ path, by: undefined })),
      );
      return;
    }
    this.#expose(touched);
    const [found] = await Promise.all([this.#found(touched), trace.update()]);
    if (this.over || resets !== this.#resets) return;
    const paths = found === undefined ? [...touched, ...this.mirror.takeNews()] : [...found.keys()];
    const changes = this.#authored(paths, from);
    const seq = nextSeq();
    this.#log.add(seq, changes);
    const bodies = new Map<string, string>();
    for (const subscriber of this.subscribers) {
      const { path, nodes } = subscriber;
      const key = `${nodes} ${path}`;
      let data = bodies.get(key);
      if (data === undefined) {
        const mine = path === this.root ? changes : changes.filter((change) => isWithin(path, change.path));
        data = mine.length === 0 ? '' : this.#data(mine, nodes ? found : undefined, at);
        bodies.set(key, data);
      }
      if (data !== '') subscriber.changes({ seq, data });
    }
  }

  /** With whose doing it was. A node may also be told for what became of another, such as a child: then its last author has been told before. */
  #authored(paths: readonly string[], from: number): LoggedChange[] {
    const told = new Map<string, number>();
    const changes = paths.map((path): LoggedChange => {
      const author = this.#options.trace.authorOf(path, from);
      if (author === undefined || this.#authors.get(path) === author.seq) return { path, by: undefined };
      told.set(path, author.seq);
      return { path, by: author.domid };
    });
    this.#authors = told;
    return changes;
  }

  /** What happened above a subscriber's path may concern all of it: an event of a removal names the uppermost node alone. */
  #expose(touched: Set<string>): void {
    for (const { path } of this.subscribers) {
      for (let above = path; above !== this.root && above !== '/'; ) {
        above = parentOf(above);
        if (touched.has(above)) touched.add(path);
      }
    }
  }

  /** The nodes, if anybody wants them and they are not too many; undefined: paths will do. */
  async #found(touched: ReadonlySet<string>): Promise<Map<string, RawNode | null> | undefined> {
    const wanted = [...this.subscribers].some(({ nodes }) => nodes);
    if (!wanted || touched.size > NODES_MAX) return undefined;
    return await this.mirror.refresh(touched).catch(() => undefined);
  }

  #data(
    changes: readonly LoggedChange[],
    found: ReadonlyMap<string, RawNode | null> | undefined,
    at: number,
  ): string {
    let room = NODES_MAX_BYTES;
    const contents = (node: RawNode | null | undefined): string => {
      if (node === undefined) return '';
      if (node === null) return ',"node":null';
      const json = this.#options.json(node);
      room -= json.length;
      return room < 0 ? '' : `,"node":${json}`;
    };
    const parts = changes.map(({ path, by }) => {
      const shown = contents(found?.get(path));
      const author = by === undefined ? '' : `,"by":${by}`;
      return `{"path":${JSON.stringify(path)}${author}${shown}}`;
    });
    const age = Math.max(0, Math.round(this.#options.clock.now() - at));
    return `{"changes":[${parts.join(',')}],"age_ms":${age}}`;
  }
}

function bytesOf(changes: readonly LoggedChange[]): number {
  return changes.reduce((sum, { path }) => sum + path.length, 0);
}
