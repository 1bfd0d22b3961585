/**
 * Watches in a trie by path component: firing costs the depth of the path and the matches, never the number of watches. Matching follows
 * docs/misc/xenstore.txt and today's C daemon. Knows neither permissions nor how an event travels: it answers who matches.
 */
import type { Link } from './link.ts';
import { isSpecial, ROOT } from './path.ts';
import type { Work } from './store.ts';

export interface Watch {
  readonly link: Link;
  /** Unique and growing: the order of registration. */
  readonly seq: number;
  /** Absolute, or a name that starts with `@`. */
  readonly path: string;
  readonly token: string;
  /** Levels below `path` that count; `undefined`: all. */
  readonly depth: number | undefined;
  /** How much of an event's path is cut off before it is sent: the link's home and a slash for a relative watch, else 0. */
  readonly prefixBytes: number;
}

/**
 * `subtree`: the path itself and, within their depth, watches above it. `exact`: the path itself. `depth`, `nodepth`: the two forms of a special
 * event, with and without the domid.
 */
export type Match = 'subtree' | 'exact' | 'depth' | 'nodepth';

interface Branch {
  readonly parent: Branch | undefined;
  readonly name: string;
  branches: Map<string, Branch> | undefined;
  /** Usually none or one: a list is enough, and keeps the order of registration. */
  watches: Set<Watch> | undefined;
}

const branch = (parent: Branch | undefined, name: string): Branch => ({
  parent,
  name,
  branches: undefined,
  watches: undefined,
});

export class WatchTrie {
  /** Paths that start with `/` hang below the root, special names below `@`. */
  readonly #root: Branch = branch(undefined, ROOT);
  readonly #special: Branch = branch(undefined, '');
  readonly #work: Work;
  count = 0;

  constructor(work: Work) {
    this.#work = work;
  }

  add(watch: Watch): void {
    let at = this.#start(watch.path);
    for (const name of components(watch.path)) {
      at.branches ??= new Map();
      let next = at.branches.get(name);
      if (!next) {
        next = branch(at, name);
        at.branches.set(name, next);
      }
      at = next;
    }
    at.watches ??= new Set();
    at.watches.add(watch);
    this.count++;
  }

  remove(watch: Watch): void {
    let at: Branch | undefined = this.#find(watch.path);
    if (!at?.watches?.delete(watch)) return;
    this.count--;
    if (at.watches.size === 0) at.watches = undefined;
    while (at?.parent && !at.watches && !at.branches) {
      const above: Branch = at.parent;
      above.branches!.delete(at.name);
      if (above.branches!.size === 0) above.branches = undefined;
      at = above;
    }
  }

  /** The watches that an event at `path` concerns: link by link as they came, each link's in order of registration. */
  matches(path: string, match: Match): Watch[] {
    const found: Watch[] = [];
    if (this.count === 0) return found;
    let at: Branch | undefined = this.#start(path);
    let left = path === ROOT ? 0 : depthOf(path);
    const up = match === 'subtree' || match === 'depth';
    if (up || left === 0) this.#collect(at, left, match, found);
    for (let from = 0; left > 0; left--) {
      const slash = path.indexOf('/', from + 1);
      at = at.branches?.get(slash < 0 ? path.slice(from) : path.slice(from, slash));
      if (!at) break;
      from = slash;
      if (up || left === 1) this.#collect(at, left - 1, match, found);
    }
    return found.length > 1 ? found.sort((a, b) => a.link.id - b.link.id || a.seq - b.seq) : found;
  }

  #collect({ watches }: Branch, levels: number, match: Match, found: Watch[]): void {
    if (!watches) return;
    for (const watch of watches) {
      this.#work.watches++;
      if (fits(watch.depth, levels, match)) found.push(watch);
    }
  }

  #start(path: string): Branch {
    return isSpecial(path) ? this.#special : this.#root;
  }

  #find(path: string): Branch | undefined {
    let at: Branch | undefined = this.#start(path);
    for (const name of components(path)) at = at?.branches?.get(name);
    return at;
  }
}

/** `levels`: how far the event is below the watched path. */
function fits(depth: number | undefined, levels: number, match: Match): boolean {
  if (match === 'nodepth') return depth === undefined;
  if (match === 'exact') return true;
  if (match === 'depth') return levels === 0 || (depth !== undefined && depth > 0 && levels <= depth);
  return depth === undefined || levels <= depth;
}

/** With their slash, so that no choice of names can make them collide as array indices do. */
function components(path: string): string[] {
  if (path === ROOT) return [];
  const [first, ...rest] = path.split('/');
  const below = rest.map((name) => `/${name}`);
  return first === '' ? below : [first!, ...below];
}

/** How many components a path other than the root has. */
function depthOf(path: string): number {
  let count = path.charCodeAt(0) === 0x2f ? 0 : 1;
  for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) count++;
  return count;
}
