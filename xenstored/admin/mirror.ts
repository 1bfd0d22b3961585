/**
 * Nodes of a subtree as they were last read, for as long as the store is known not to have changed them since: filled as they are asked for, put
 * in doubt by events, read again before they are shown. What is not here is not known; nothing is ever guessed. Knows no watch, no HTTP.
 *
 * An event names a node and says nothing of what happened to it, and of a subtree that was removed only the uppermost node is told. So: a
 * node that turns out to be gone takes what is known below it along; a child that is not known puts its parent's list in doubt; and an
 * event below a node in doubt puts what lies between in doubt, since it may have been made again on the way.
 */
import type { Clock } from '../../osdep/clock.ts';
import { childOf, isWithin, type Permission, type StoreView } from './store.ts';

export interface RawNode {
  readonly path: string;
  readonly value: Uint8Array;
  readonly permissions: readonly Permission[];
  /** Names, in the store's order. */
  readonly children: readonly string[];
  /** On the clock: when it was read last. */
  readonly readAt: number;
}

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
export const mirrorBounds: MirrorBounds = { nodes: 100_000, bytes: 32 << 20 };

/** Read at a time: the daemon has others to serve between. */
const CHUNK = 128;
/** After that many looks at something that changes all the time, what was seen last will do. */
const ROUNDS_MAX = 8;

const DOUBTS_MAX = 1_000;

/** `undefined`: it is not there. */
type Found = RawNode | undefined;

export class Mirror {
  readonly #options: MirrorOptions;
  #nodes = new Map<string, RawNode>();
  readonly #doubted = new Set<string>();
  /** Being read at this moment, by how many. */
  readonly #reading = new Map<string, number>();
  #bytes = 0;
  #generation = 0;
  #overflows = 0;

  constructor(options: MirrorOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#nodes.size;
  }

  /** How often it was too large, and emptied. */
  get overflows(): number {
    return this.#overflows;
  }

  /** As far as it is known and not in doubt. */
  peek(path: string): Found {
    return this.#doubted.has(path) ? undefined : this.#nodes.get(path);
  }

  /** Something happened to this node. */
  touch(path: string): void {
    if (this.#nodes.size === 0 && this.#reading.size === 0) return;
    this.#doubtBetween(path);
    if (this.#nodes.has(path) || this.#reading.has(path)) {
      this.#doubted.add(path);
      return;
    }
    for (let below = path; below !== this.#options.root; ) {
      const cut = below.lastIndexOf('/');
      const above = cut === 0 ? '/' : below.slice(0, cut);
      const known = this.#nodes.get(above);
      if (known !== undefined || this.#reading.has(above)) {
        if (below === path || !known?.children.includes(below.slice(cut + 1))) this.#doubted.add(above);
        return;
      }
      if (above === '/') return;
      below = above;
    }
  }

  /** All that is known counts no more. */
  clear(): void {
    this.#nodes = new Map();
    this.#doubted.clear();
    this.#bytes = 0;
    this.#generation++;
  }

  /** The node as it is now. */
  async node(path: string): Promise<Found> {
    const known = this.peek(path);
    if (known !== undefined) return known;
    const [found] = await this.#read([path]);
    return found;
  }

  /** Makes sure of what is at `path` and `depth` levels below, level by level, as far as `limit` nodes go. */
  async load(path: string, depth: number, limit: number): Promise<void> {
    const seen: string[] = [];
    let level = [path];
    for (let at = 0; at <= depth && level.length > 0 && seen.length < limit; at++) {
      level = level.slice(0, limit - seen.length);
      for (const each of level) seen.push(each);
      await this.#read(level.filter((each) => this.peek(each) === undefined));
      const next: string[] = [];
      for (const each of level) {
        for (const name of this.#nodes.get(each)?.children ?? []) next.push(childOf(each, name));
      }
      level = next;
    }
    // Parents of what turned out to be gone, and what changed meanwhile: once more, not for ever.
    if (this.#doubted.size > 0) await this.#read(seen.filter((each) => this.#doubted.has(each)));
  }

  /**
   * Reads what events named, and above it what that puts in doubt. Answers each of them and every other node that is different now, parents
   * first; `null`: it is gone, and all below it.
   */
  async refresh(touched: Iterable<string>): Promise<Map<string, RawNode | null>> {
    // Doubts from a time when nobody wanted to be told.
    if (this.#doubted.size > DOUBTS_MAX) this.clear();
    const changes = new Map<string, RawNode | null>();
    let wanted = new Set([...touched, ...this.#doubted]);
    const asked = new Set(touched);
    for (let round = 0; wanted.size > 0 && round < ROUNDS_MAX; round++) {
      const paths = [...wanted];
      wanted = new Set();
      const before = paths.map((path) => this.#nodes.get(path));
      const found = await this.#read(paths);
      for (const [index, path] of paths.entries()) {
        const now = found[index];
        const known = before[index];
        if (asked.has(path) || now !== known) changes.set(path, now ?? null);
        if (path !== this.#options.root && this.#isNews(path, now)) wanted.add(parentOf(path));
      }
    }
    return new Map([...changes].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** Does the parent, as it is known, say otherwise? */
  #isNews(path: string, now: Found): boolean {
    const parent = this.peek(parentOf(path));
    const name = path.slice(path.lastIndexOf('/') + 1);
    return parent === undefined || parent.children.includes(name) !== (now !== undefined);
  }

  /** All nodes between one in doubt and the one that an event names. */
  #doubtBetween(path: string): void {
    const { root } = this.#options;
    if (this.#doubted.size === 0 && this.#reading.size === 0) return;
    let between: string[] = [];
    const doubted: string[] = [];
    for (let above = path; above !== root && above !== '/'; ) {
      above = parentOf(above);
      if (this.#doubted.has(above) || this.#reading.has(above)) {
        doubted.push(...between);
        between = [];
      } else if (this.#nodes.has(above)) between.push(above);
    }
    for (const each of doubted) this.#doubted.add(each);
  }

  /** In the order of the paths. Rejects if the store cannot be asked; then what was to be read stays in doubt. */
  async #read(paths: readonly string[]): Promise<Found[]> {
    const found: Found[] = [];
    for (let at = 0; at < paths.length; at += CHUNK) {
      const chunk = paths.slice(at, at + CHUNK);
      found.push(...(await Promise.all(chunk.map((path) => this.#readOne(path)))));
    }
    return found;
  }

  async #readOne(path: string): Promise<Found> {
    const { view, clock } = this.#options;
    const generation = this.#generation;
    this.#doubted.delete(path);
    this.#reading.set(path, (this.#reading.get(path) ?? 0) + 1);
    let node: Found;
    let failed = true;
    try {
      const [value, permissions, children] = await Promise.all([
        view.read(path),
        view.permissions(path),
        view.directory(path),
      ]);
      node = { path, value, permissions, children, readAt: clock.now() };
      failed = false;
    } catch (error) {
      // One that may not be read is as good as none.
      const { code } = error as { code?: unknown };
      if (code !== 'ENOENT' && code !== 'EACCES') throw error;
      failed = false;
    } finally {
      const readers = this.#reading.get(path)! - 1;
      if (readers > 0) this.#reading.set(path, readers);
      else this.#reading.delete(path);
      if (failed && generation === this.#generation && this.#nodes.has(path)) this.#doubted.add(path);
    }
    // What was asked of a store that is another one now tells nothing of this one.
    if (generation !== this.#generation) return node;
    return node === undefined ? this.#gone(path) : this.#keep(node);
  }

  #gone(path: string): undefined {
    this.#forget(path);
    if (path !== this.#options.root) {
      const above = this.#nodes.get(parentOf(path));
      if (above?.children.includes(path.slice(path.lastIndexOf('/') + 1))) this.#doubted.add(above.path);
    }
    return undefined;
  }

  #keep(node: RawNode): RawNode {
    const known = this.#nodes.get(node.path);
    if (known !== undefined && isSame(known, node)) {
      // The same object, so that what was made of it can be kept as well.
      (known as { readAt: number }).readAt = node.readAt;
      return known;
    }
    if (known !== undefined) {
      this.#bytes -= weight(known);
      const names = new Set(node.children);
      for (const name of known.children) if (!names.has(name)) this.#forget(childOf(node.path, name));
    }
    this.#nodes.set(node.path, node);
    this.#bytes += weight(node);
    const { nodes, bytes } = this.#options.bounds ?? mirrorBounds;
    if (this.#nodes.size > nodes || this.#bytes > bytes) {
      this.#overflows++;
      this.clear();
    }
    return node;
  }

  /** With all below it. */
  #forget(path: string): void {
    const left = [path];
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      this.#doubted.delete(next);
      const node = this.#nodes.get(next);
      if (node === undefined) continue;
      this.#nodes.delete(next);
      this.#bytes -= weight(node);
      for (const name of node.children) left.push(childOf(next, name));
    }
  }
}

export function parentOf(path: string): string {
  const cut = path.lastIndexOf('/');
  return cut <= 0 ? '/' : path.slice(0, cut);
}

/** Is there anything of `path` that a change of `changed` may concern: below it, itself, or above it? */
export function concerns(path: string, changed: string): boolean {
  return isWithin(path, changed) || isWithin(changed, path);
}

function weight(node: RawNode): number {
  let bytes = 2 * node.path.length + node.value.length + 16 * node.permissions.length;
  for (const name of node.children) bytes += name.length;
  return bytes;
}

function isSame(a: RawNode, b: RawNode): boolean {
  return (
    a.children.length === b.children.length &&
    a.permissions.length === b.permissions.length &&
    Buffer.compare(a.value, b.value) === 0 &&
    a.children.every((name, index) => name === b.children[index]) &&
    a.permissions.every(
      ({ domid, letter }, index) =>
        domid === b.permissions[index]!.domid && letter === b.permissions[index]!.letter,
    )
  );
}
