/**
 * The subtrees that somebody looks at, shared: whoever asks for one that lies within another gets that. Made at the first question, dropped 30 s
 * after the last one. With nobody looking there is no watch and no request. Knows no HTTP.
 */
import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../osdep/clock.ts';
import { AdminError } from './errors.ts';
import { LiveTree, type Subscriber } from './livetree.ts';
import type { MirrorBounds } from './mirror.ts';
import type { Node, Show } from './node.ts';
import type { RawNode } from './rawnode.ts';
import { isWithin, type Store } from './store.ts';
import { Trace } from './trace.ts';

export interface LiveOptions {
  readonly store: Store;
  readonly show: Show;
  readonly clock: Clock;
  readonly bounds?: MirrorBounds;
  /** Does the daemon tell of every change? C does not of a node that a transaction made on the way to one that it removed again. */
  readonly tellsAll: () => Promise<boolean>;
}

/** A subtree as it is now. */
export interface Mirrored {
  /** undefined: there is none. Reads it from the store if it is not at hand. */
  node(path: string): RawNode | undefined | Promise<RawNode | undefined>;
  /** What was made of it for this key, unless it is different now: then it is made anew. */
  kept<T>(key: string, make: () => Promise<T>): Promise<T>;
}

export interface Subscription {
  /** The number up to which its reader knows everything, now that it has begun. */
  readonly seq: number;
  /** The tree that it hangs on, for what is missed. */
  readonly tree: LiveTree;
  close(): void;
}

const IDLE_MS = 30_000;
/** A mirror of what a daemon does not tell all of begins anew after so long. */
const RENEW_MS = 60_000;
/** Watches at a time; a subtree more is read directly. */
const TREES_MAX = 192;
/** Nodes that are read ahead for one question. */
const LOAD_MAX = 20_000;
/** Of a tree: answers that are kept as long as nothing is different. */
const MADE_MAX = 8;
/** Fewer levels than that are read without setting a watch for them. */
const DEPTH_MIN = 2;

export class Live {
  readonly trace: Trace;
  /** Numbers of batches count within it. */
  readonly epoch: string = randomBytes(6).toString('hex');
  readonly #options: LiveOptions;
  readonly #trees = new Map<string, LiveTree>();
  readonly #shown = new WeakMap<RawNode, { readonly node: Node; json: string | undefined }>();
  #seq = 0;
  #cancelSweep: (() => void) | undefined;

  constructor(options: LiveOptions) {
    this.#options = options;
    this.trace = new Trace(options.store);
  }

  /** The watches that are set on the store, with how many readers each has, and how many nodes are kept. */
  get watches(): { path: string; readers: number; nodes: number }[] {
    return Array.from(this.#trees.values(), ({ root, subscribers, mirror }) => ({
      path: root,
      readers: subscribers.size,
      nodes: mirror.size,
    }));
  }

  /**
   * The subtree out of memory, down to `depth`; what is not at hand is read first. Everything that had happened when this was called is in it.
   * `undefined`: it is too large to be kept, or too many are, or not worth it; read the store. Rejects with the store's errors, and
   * store_unavailable. `limit`: no more will be needed.
   */
  async mirrored(
    path: string,
    { depth, limit = LOAD_MAX }: { readonly depth: number; readonly limit?: number | undefined },
  ): Promise<Mirrored | undefined> {
    const tree = this.#tree(path, depth);
    if (tree === undefined) return undefined;
    await tree.ready;
    await this.#sync();
    const { mirror } = tree;
    const { clock, tellsAll } = this.#options;
    if (clock.now() - mirror.since >= RENEW_MS && !(await tellsAll())) mirror.clear();
    const { overflows } = mirror;
    const kept = <T>(key: string, make: () => Promise<T>): Promise<T> => this.#keep(tree, key, make);
    await kept(`load ${path} ${depth} ${limit}`, () => mirror.load(path, depth, Math.min(limit, LOAD_MAX)));
    if (mirror.overflows !== overflows) return undefined;
    return { node: (at) => mirror.peek(at) ?? mirror.node(at), kept };
  }

  async #keep<T>({ made, mirror }: LiveTree, key: string, make: () => Promise<T>): Promise<T> {
    const known = made.get(key);
    made.delete(key);
    if (known !== undefined && known.version === mirror.version) {
      made.set(key, known);
      return known.value as T;
    }
    const { touches } = mirror;
    const value = await make();
    if (mirror.touches !== touches) return value;
    made.set(key, { version: mirror.version, value });
    if (made.size > MADE_MAX) made.delete([...made.keys()][0]!);
    return value;
  }

  /** Resolves when the watch is set. Rejects as `mirrored` does. */
  async subscribe(subscriber: Subscriber): Promise<Subscription> {
    const tree = this.#tree(subscriber.path);
    if (tree === undefined) throw new AdminError('too_many_streams', `${TREES_MAX} subtrees are watched`);
    await Promise.all([tree.ready, this.trace.update()]);
    if (tree.over) throw new AdminError('store_unavailable', 'the watch ended');
    tree.subscribers.add(subscriber);
    if (subscriber.nodes) tree.mirror.keepNews();
    const { clock } = this.#options;
    return {
      seq: this.#seq,
      tree,
      close: () => {
        tree.subscribers.delete(subscriber);
        tree.usedAt = clock.now();
      },
    };
  }

  /** These were changed by this service itself. */
  touched(paths: Iterable<string>): void {
    for (const path of paths) {
      for (const tree of this.#trees.values()) if (isWithin(tree.root, path)) tree.touched(path);
    }
  }

  /** The node as everybody may see it; made once for each state of it. */
  shown(raw: RawNode): Node {
    return this.#entry(raw).node;
  }

  /** The same as JSON. */
  json(raw: RawNode): string {
    const entry = this.#entry(raw);
    entry.json ??= JSON.stringify(entry.node);
    return entry.json;
  }

  close(): void {
    this.#cancelSweep?.();
    for (const tree of this.#trees.values()) tree.close();
    this.#trees.clear();
  }

  #entry(raw: RawNode): { readonly node: Node; json: string | undefined } {
    let entry = this.#shown.get(raw);
    if (entry === undefined) {
      entry = { node: this.#options.show.node(raw), json: undefined };
      this.#shown.set(raw, entry);
    }
    return entry;
  }

  #tree(path: string, depth = Number.POSITIVE_INFINITY): LiveTree | undefined {
    const { store, clock, bounds } = this.#options;
    if (!store.connected)
      throw new AdminError('store_unavailable', 'the store cannot be reached at the moment');
    let best: LiveTree | undefined;
    for (const tree of this.#trees.values()) {
      if (tree.over) this.#trees.delete(tree.root);
      else if (!isWithin(tree.root, path)) continue;
      // What was too large as a whole may be kept in parts.
      else if (tree.root === path || tree.mirror.overflows === 0)
        if (best === undefined || tree.root.length > best.root.length) best = tree;
    }
    if (best === undefined) {
      if (depth < DEPTH_MIN) return undefined;
      if (this.#trees.size >= TREES_MAX && !this.#evict()) return undefined;
      best = new LiveTree({
        root: path,
        store,
        clock,
        trace: this.trace,
        json: (node) => this.json(node),
        nextSeq: () => ++this.#seq,
        lastSeq: () => this.#seq,
        ...(bounds && { bounds }),
      });
      const tree = best;
      this.#trees.set(path, tree);
      tree.ready.catch(() => {
        tree.close();
        if (this.#trees.get(path) === tree) this.#trees.delete(path);
      });
    }
    best.usedAt = clock.now();
    this.#sweepLater();
    return best;
  }

  /** All that had happened has been told when this resolves: a daemon answers after the events of what came before. */
  async #sync(): Promise<void> {
    await this.#options.store.live.read('/').catch((error: unknown) => {
      const { code } = error as { code?: unknown };
      if (code !== 'ENOENT' && code !== 'EACCES') throw error;
    });
    // Events that came with the answer are handled, too.
    await setImmediate();
  }

  #sweepLater(): void {
    if (this.#cancelSweep !== undefined || this.#trees.size === 0) return;
    this.#cancelSweep = this.#options.clock.after(IDLE_MS / 4, () => {
      this.#cancelSweep = undefined;
      const now = this.#options.clock.now();
      for (const tree of this.#trees.values()) {
        if (tree.over || (tree.subscribers.size === 0 && now - tree.usedAt >= IDLE_MS)) this.#drop(tree);
      }
      this.#sweepLater();
    });
  }

  #evict(): boolean {
    const idle = [...this.#trees.values()].filter(({ subscribers }) => subscribers.size === 0);
    const oldest = idle.sort((a, b) => a.usedAt - b.usedAt)[0];
    if (oldest !== undefined) this.#drop(oldest);
    return oldest !== undefined;
  }

  #drop(tree: LiveTree): void {
    tree.close();
    this.#trees.delete(tree.root);
  }
}
