/**
 * Nodes of a subtree as they were last read, for as long as the store is known not to have changed them since: filled as they are asked for, put
 * in doubt by events, read again before they are shown. What is not here is not known; nothing is ever guessed. Knows no watch, no HTTP.
 *
 * An event names a node and says nothing of what happened to it, and of a subtree that was removed only the uppermost node is told. So: a
 * node that turns out to be gone takes what is known below it along; a child that is not known puts its parent's list in doubt; and an
 * event below a node in doubt puts what lies between in doubt, since it may have been made again on the way.
 */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../osdep/clock.ts';
import {
  consistent,
  type Found,
  isSame,
  nameOf,
  parentOf,
  type RawNode,
  tellNews,
  weight,
} from './rawnode.ts';
import { childOf, isWithin, type StoreView } from './store.ts';

export interface MirrorOptions {
  readonly root: string;
  readonly view: StoreView;
  readonly clock: Pick<Clock, 'now'>;
  readonly bounds?: MirrorBounds;
}

export interface MirrorBounds {
  readonly nodes: number;
  /** Of values, names and paths. */
  readonly bytes: number;
}

/** Some 100 MiB of memory at the most. */
const mirrorBounds: MirrorBounds = { nodes: 100_000, bytes: 32 << 20 };

/** Read at a time: the daemon has others to serve between. */
const CHUNK = 128;
/** After that many looks at something that changes all the time, what was seen last will do. */
const ROUNDS_MAX = 8;

/** A node that is kept, and which of its children are; what is kept hangs together up to the root. */
interface Entry {
  raw: RawNode;
  readonly kids: Set<string>;
}

export class Mirror {
  readonly #options: MirrorOptions;
  #entries = new Map<string, Entry>();
  readonly #doubted = new Set<string>();
  /** Being read at this moment, by how many. */
  readonly #reading = new Map<string, number>();
  /** While somebody keeps a picture: what may be different in it now, beside what events name. */
  #news: Set<string> | undefined;
  /** Found gone while the node above, as it was known, named them: if it still does, they are there again. */
  readonly #lost = new Set<string>();
  #bytes = 0;
  #generation = 0;
  #version = 0;
  #touches = 0;
  #since: number;
  #overflows = 0;

  constructor(options: MirrorOptions) {
    this.#options = options;
    this.#since = options.clock.now();
  }

  get size(): number {
    return this.#entries.size;
  }

  /** On the clock: since when it holds what it holds. */
  get since(): number {
    return this.#since;
  }

  /** Another number whenever anything is, or may be, different. */
  get version(): number {
    return this.#version;
  }

  /** Another number whenever something happened to it: what is made meanwhile may be from before. */
  get touches(): number {
    return this.#touches;
  }

  /** How often it was too large, and emptied. */
  get overflows(): number {
    return this.#overflows;
  }

  /** As far as it is known and neither in doubt itself nor being read; whether all above it still is there, is the caller's to know. */
  peek(path: string): Found {
    if (this.#doubted.has(path) || this.#reading.has(path)) return undefined;
    return this.#entries.get(path)?.raw;
  }

  /** From now on `refresh` answers all that is different, whoever has read it meanwhile. Idempotent. */
  keepNews(): void {
    if (this.#news !== undefined) return;
    this.clear();
    this.#news = new Set();
  }

  /** What is to be told beside what events named, as far as that is known without reading. */
  takeNews(): ReadonlySet<string> {
    const news = this.#news;
    if (news === undefined) return new Set();
    this.#news = new Set();
    return news;
  }

  /** Something happened to this node. */
  touch(path: string): void {
    this.#touches++;
    if (this.#news !== undefined && !this.#entries.has(path)) this.#suspectAbove(path, this.#news);
    if (this.#entries.size === 0 && this.#reading.size === 0) return;
    this.#version++;
    this.#doubtBetween(path);
    if (this.#isHere(path)) {
      this.#doubted.add(path);
      for (const below of this.#reading.keys()) {
        if (below === path || !isWithin(path, below)) continue;
        this.#doubtBetween(below);
        // What is on its way may be from before.
        this.#doubted.add(below);
      }
      return;
    }
    for (let below = path; below !== this.#options.root && below !== '/'; ) {
      const above = parentOf(below);
      if (this.#isHere(above)) {
        const listed = this.#entries.get(above)?.raw.children.includes(nameOf(below));
        if (below === path || !listed) this.#doubted.add(above);
        return;
      }
      below = above;
    }
  }

  /** All that is known counts no more. */
  clear(): void {
    for (const path of this.#doubted) this.#news?.add(path);
    this.#entries = new Map();
    this.#doubted.clear();
    this.#lost.clear();
    this.#bytes = 0;
    this.#generation++;
    this.#version++;
    this.#touches++;
    this.#since = this.#options.clock.now();
  }

  /** The node as it is now. */
  async node(path: string): Promise<Found> {
    this.#doubtAllBetween(this.#doubted);
    if (!(await this.#settleAbove(path))) return undefined;
    if (this.#isMissing(path)) return undefined;
    return this.peek(path) ?? (await this.#readChunk([path]))[0];
  }

  /** Makes sure of what is at `path` and `depth` levels below, level by level, as far as `limit` nodes go. */
  async load(path: string, depth: number, limit: number): Promise<void> {
    this.#doubtAllBetween(this.#doubted);
    if (!(await this.#settleAbove(path))) return;
    const seen: string[] = [];
    let level = [path];
    for (let at = 0; at <= depth && level.length > 0 && seen.length < limit; at++) {
      level = level.slice(0, limit - seen.length);
      for (const each of level) seen.push(each);
      await this.#read(level.filter((each) => this.peek(each) === undefined));
      const next: string[] = [];
      for (const each of level) {
        for (const name of this.#entries.get(each)?.raw.children ?? []) next.push(childOf(each, name));
      }
      level = next;
    }
    // Parents of what turned out to be gone, and what changed meanwhile: once more, not for ever.
    if (this.#doubted.size > 0) await this.#read(seen.filter((each) => this.#doubted.has(each)));
  }

  /**
   * Reads what events named, and what that puts in doubt. Answers each of them and every other node that is different now, parents first;
   * `null`: it is gone, and all below it.
   */
  async refresh(touched: Iterable<string>): Promise<Map<string, RawNode | null>> {
    const told = new Set(touched);
    const found = new Map<string, Found>();
    let wanted = new Set([...told, ...this.#doubted]);
    for (let round = 0; wanted.size > 0 && round < ROUNDS_MAX; round++) {
      for (const path of this.takeNews()) {
        told.add(path);
        wanted.add(path);
      }
      this.#doubtAllBetween(wanted);
      for (const path of this.#doubted) wanted.add(path);
      for (const level of this.#levels(wanted)) {
        const nodes = await this.#read(level);
        for (const [index, path] of level.entries()) found.set(path, nodes[index]);
      }
      wanted = new Set([...this.#doubted, ...(this.#news ?? [])]);
    }
    return consistent(found, told);
  }

  /** A node that was not known may be new: then so is its name in its parent's list, and whatever lies on the way to what is known. */
  #suspectAbove(path: string, news: Set<string>): void {
    for (let below = path; below !== this.#options.root && below !== '/'; below = parentOf(below)) {
      const above = parentOf(below);
      const known = this.#entries.get(above);
      if (known?.raw.children.includes(nameOf(below)) && !this.#doubted.has(above)) return;
      news.add(above);
      if (known !== undefined) return;
    }
  }

  /** These and what is not known above them, from the root down. */
  #levels(wanted: Iterable<string>): string[][] {
    const all = new Set<string>();
    for (const path of wanted) {
      all.add(path);
      for (const above of this.#above(path)) if (this.peek(above) === undefined) all.add(above);
    }
    const levels: string[][] = [];
    for (const path of all) {
      const depth = path === '/' ? 0 : path.split('/').length - 1;
      levels[depth] ??= [];
      levels[depth].push(path);
    }
    return levels.filter((level) => level !== undefined);
  }

  /** Nodes above this one that are not known, or in doubt, may be gone, and it with them, untold. Are they all there? */
  async #settleAbove(path: string): Promise<boolean> {
    for (const above of this.#above(path).reverse()) {
      if (this.peek(above) !== undefined) continue;
      if (this.#isMissing(above) || (await this.#readChunk([above]))[0] === undefined) return false;
    }
    return true;
  }

  /** Does the node above it not name it, as far as that is known? Then it needs not be asked for. */
  #isMissing(path: string): boolean {
    const above = path === this.#options.root ? undefined : this.peek(parentOf(path));
    return above !== undefined && !above.children.includes(nameOf(path));
  }

  /** Up to the root. */
  #above(path: string): string[] {
    const found: string[] = [];
    for (let above = path; above !== this.#options.root && above !== '/'; ) {
      above = parentOf(above);
      found.push(above);
    }
    return found;
  }

  #isHere(path: string): boolean {
    return this.#entries.has(path) || this.#reading.has(path);
  }

  /** Events may come in another order than what they tell of happened in. */
  #doubtAllBetween(paths: Iterable<string>): void {
    for (const path of [...paths]) this.#doubtBetween(path);
  }

  /** All nodes between one in doubt and the one that an event names. */
  #doubtBetween(path: string): void {
    if (this.#doubted.size === 0 && this.#reading.size === 0) return;
    let between: string[] = [];
    const doubted: string[] = [];
    for (const above of this.#above(path)) {
      if (this.#doubted.has(above) || this.#reading.has(above)) {
        doubted.push(...between);
        between = [];
      } else if (this.#entries.has(above)) between.push(above);
    }
    for (const each of doubted) this.#doubted.add(each);
  }

  /** In the order of the paths. Rejects if the store cannot be asked; then what was to be read stays in doubt. */
  async #read(paths: readonly string[]): Promise<Found[]> {
    const found: Found[] = [];
    for (let at = 0; at < paths.length; at += CHUNK) {
      found.push(...(await this.#readChunk(paths.slice(at, at + CHUNK))));
    }
    return found;
  }

  async #readChunk(paths: readonly string[]): Promise<Found[]> {
    const generation = this.#generation;
    for (const path of paths) {
      this.#doubted.delete(path);
      this.#reading.set(path, (this.#reading.get(path) ?? 0) + 1);
    }
    let nodes: Found[] = [];
    let failed = true;
    try {
      nodes = await Promise.all(paths.map((path) => this.#fetch(path)));
      // Events that came before the answers are handled first.
      await setImmediate();
      failed = false;
    } finally {
      for (const path of paths) {
        const readers = this.#reading.get(path)! - 1;
        if (readers > 0) this.#reading.set(path, readers);
        else this.#reading.delete(path);
        if (failed && this.#entries.has(path)) this.#doubted.add(path);
      }
    }
    // What was asked of a store that is another one now tells nothing of this one.
    if (generation !== this.#generation) return nodes;
    return nodes.map((node, index) => (node === undefined ? this.#gone(paths[index]!) : this.#keep(node)));
  }

  /** One that may not be read is as good as none. */
  async #fetch(path: string): Promise<Found> {
    const { view, clock } = this.#options;
    try {
      const [value, permissions, children] = await Promise.all([
        view.read(path),
        view.permissions(path),
        view.directory(path),
      ]);
      return { path, value, permissions, children, readAt: clock.now() };
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (code === 'ENOENT' || code === 'EACCES') return undefined;
      throw error;
    }
  }

  #gone(path: string): undefined {
    this.#version++;
    this.#forget(path);
    const above = path === this.#options.root ? undefined : this.#entries.get(parentOf(path));
    if (above?.raw.children.includes(nameOf(path))) {
      this.#doubted.add(above.raw.path);
      if (this.#news !== undefined) this.#lost.add(path);
    }
    return undefined;
  }

  #keep(node: RawNode): RawNode {
    const { path } = node;
    const known = this.#entries.get(path);
    if (this.#lost.size > 0) this.#findLost(node);
    if (known !== undefined) {
      if (isSame(known.raw, node)) {
        // The same object, so that what was made of it can be kept as well.
        (known.raw as { readAt: number }).readAt = node.readAt;
        return known.raw;
      }
      this.#version++;
      this.#bytes += weight(node) - weight(known.raw);
      if (this.#news !== undefined) tellNews(this.#news, known.raw, node);
      known.raw = node;
      const names = new Set(node.children);
      for (const name of known.kids) if (!names.has(name)) this.#forget(childOf(path, name));
    } else {
      this.#version++;
      if (!this.#hang(path)) return node;
      this.#entries.set(path, { raw: node, kids: new Set() });
      this.#bytes += weight(node);
    }
    const { nodes, bytes } = this.#options.bounds ?? mirrorBounds;
    if (this.#entries.size > nodes || this.#bytes > bytes) {
      this.#overflows++;
      this.clear();
    }
    return node;
  }

  #findLost({ path, children }: RawNode): void {
    for (const lost of this.#lost) {
      if (parentOf(lost) !== path) continue;
      this.#lost.delete(lost);
      if (children.includes(nameOf(lost))) this.#news?.add(lost);
    }
  }

  /** Below its parent; where that is not kept, this is not either. */
  #hang(path: string): boolean {
    if (path === this.#options.root) return true;
    const above = this.#entries.get(parentOf(path));
    if (above === undefined) return false;
    const name = nameOf(path);
    above.kids.add(name);
    if (!above.raw.children.includes(name)) this.#doubted.add(above.raw.path);
    return true;
  }

  /** With all below it. */
  #forget(path: string): void {
    this.#entries.get(parentOf(path))?.kids.delete(nameOf(path));
    const left = [path];
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const entry = this.#entries.get(next);
      if (entry === undefined) continue;
      this.#entries.delete(next);
      this.#doubted.delete(next);
      this.#bytes -= weight(entry.raw);
      for (const name of entry.kids) left.push(childOf(next, name));
    }
  }
}
