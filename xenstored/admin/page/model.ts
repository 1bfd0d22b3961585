/**
 * The store as far as somebody has opened it: nodes by path, which of them are open, and the rows that this makes. Fed with replies and with
 * changes; says what has become stale, and asks for nothing itself. Time is an argument. Knows no document and no network.
 */
import { inOrder, insert, sameNames } from './siblings.ts';
import type { Change, StoreNode } from './types.ts';
import { baseName, childPath, parentPath } from './words.ts';

export interface Entry {
  readonly path: string;
  /** undefined: it is there, and nothing more is known yet. */
  node: StoreNode | undefined;
  /** Names, in natural order. */
  children: string[];
  /** Its children have entries, too. */
  loaded: boolean;
  open: boolean;
  /** Something changed that has not been fetched. */
  stale: boolean;
  /** How often it changed while it was here, and when at last. */
  changes: number;
  changedAt: number;
  changedBy: number | undefined;
}

export interface Row {
  readonly path: string;
  readonly level: number;
  /** From 1, among its siblings. */
  readonly position: number;
  readonly siblings: number;
}

/** Most children of one node that get rows. */
const CHILDREN_MAX = 20_000;
/** Changes that a slow reply may be older than. */
const TOLD_MAX = 20_000;

export class StoreModel {
  readonly #entries = new Map<string, Entry>();
  #rows: Row[] | undefined;
  /** Nodes that changes have told of lately, with the number of the change. */
  readonly #told = new Map<string, number>();
  #version = 0;

  get(path: string): Entry | undefined {
    return this.#entries.get(path);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Counts changes; taken before a question, it tells what its reply cannot know. */
  get version(): number {
    return this.#version;
  }

  /** Has a change told of a node since? */
  isOvertaken(path: string, version: number): boolean {
    return (this.#told.get(path) ?? 0) > version;
  }

  /** A reply's node, as it was at `version` or later. What a change has told of since is not believed, but asked for again. */
  put(node: StoreNode, version: number): void {
    const known = this.#entries.get(node.path);
    const overtaken = this.isOvertaken(node.path, version);
    if (overtaken && known?.node !== undefined) known.stale = true;
    else this.#put(node).stale = overtaken;
  }

  #put(node: StoreNode): Entry {
    const entry = this.#ensure(node.path);
    entry.node = node;
    entry.stale = false;
    this.#children(entry, node.children);
    return entry;
  }

  /** All nodes of a reply; the children of each of `complete` are among them, or are no more. */
  putTree(nodes: readonly StoreNode[], version: number, complete: (path: string) => boolean): void {
    for (const node of nodes) if (this.#wanted(node.path)) this.put(node, version);
    for (const { path } of nodes) {
      const entry = this.#entries.get(path);
      if (entry && complete(path)) this.#load(entry);
    }
  }

  /** A node and all below it are gone. */
  remove(path: string): void {
    if (path === '/') return;
    const parent = this.#entries.get(parentPath(path));
    const name = baseName(path);
    if (parent?.children.includes(name)) parent.children = parent.children.filter((other) => other !== name);
    this.#drop(path);
    this.#rows = undefined;
  }

  /** Is this only what is known? What the service has read again, it tells of, though nobody wrote it. */
  confirms({ path, by, node }: Change): boolean {
    const entry = this.#entries.get(path);
    if (by !== undefined || !node?.etag || node.etag !== entry?.node?.etag) return false;
    entry.stale = false;
    return true;
  }

  /** What somebody changed. Tells what is shown of it: the path, or that of the ancestor it made appear. */
  apply(change: Change, now: number): Entry | undefined {
    const { path } = change;
    this.#version++;
    this.#tell(path, change.node === null);
    if (change.node === null) {
      this.remove(path);
      return undefined;
    }
    const parent = path === '/' ? undefined : this.#entries.get(parentPath(path));
    let entry = this.#entries.get(path);
    if (entry === undefined && parent?.loaded) entry = this.#appear(parent, baseName(path));
    if (entry === undefined) return this.#below(path, now);
    if (change.node) this.#put(change.node);
    else entry.stale = true;
    touch(entry, change.by, now);
    return entry;
  }

  /** Everything is to be asked again once it is looked at. */
  doubt(): void {
    for (const entry of this.#entries.values()) entry.stale = true;
  }

  open(path: string): void {
    this.#fold(path, true);
  }

  close(path: string): void {
    this.#fold(path, false);
  }

  /** Opens whatever is loaded at and below a path. */
  openAll(path: string): void {
    const start = path === '/' ? '/' : `${path}/`;
    for (const entry of this.#entries.values())
      if (entry.loaded && (entry.path === path || entry.path.startsWith(start))) entry.open = true;
    this.#rows = undefined;
  }

  /** What an open tree shows, top to bottom. */
  rows(): readonly Row[] {
    if (this.#rows) return this.#rows;
    const rows: Row[] = [];
    const left: Row[] = this.#entries.has('/') ? [{ path: '/', level: 1, position: 1, siblings: 1 }] : [];
    for (let row = left.pop(); row !== undefined; row = left.pop()) {
      rows.push(row);
      const entry = this.#entries.get(row.path);
      if (!entry?.open || !entry.loaded) continue;
      const siblings = Math.min(entry.children.length, CHILDREN_MAX);
      for (let index = siblings - 1; index >= 0; index--) {
        const path = childPath(row.path, entry.children[index]!);
        left.push({ path, level: row.level + 1, position: index + 1, siblings });
      }
    }
    this.#rows = rows;
    return rows;
  }

  #fold(path: string, open: boolean): void {
    const entry = this.#entries.get(path);
    if (!entry || entry.open === open) return;
    entry.open = open;
    this.#rows = undefined;
  }

  #ensure(path: string): Entry {
    const known = this.#entries.get(path);
    if (known) return known;
    const entry: Entry = {
      path,
      node: undefined,
      children: [],
      loaded: false,
      open: false,
      stale: false,
      changes: 0,
      changedAt: Number.NEGATIVE_INFINITY,
      changedBy: undefined,
    };
    this.#entries.set(path, entry);
    this.#rows = undefined;
    return entry;
  }

  /** Nodes that nobody opened the way to are not kept. */
  #wanted(path: string): boolean {
    return path === '/' || this.#entries.has(path) || this.#entries.has(parentPath(path));
  }

  #children(entry: Entry, names: readonly string[]): void {
    if (sameNames(entry.children, names)) return;
    const now = new Set(names);
    for (const name of entry.children) if (!now.has(name)) this.#drop(childPath(entry.path, name));
    entry.children = inOrder(names);
    this.#rows = undefined;
    if (entry.loaded) this.#load(entry);
  }

  /** Children without an entry get one, to be asked for. */
  #load(entry: Entry): void {
    if (!entry.loaded) this.#rows = undefined;
    entry.loaded = true;
    for (const name of entry.children.slice(0, CHILDREN_MAX)) {
      const child = this.#ensure(childPath(entry.path, name));
      if (child.node === undefined) child.stale = true;
    }
  }

  #appear(parent: Entry, name: string): Entry {
    if (insert(name, parent.children)) this.#rows = undefined;
    return this.#ensure(childPath(parent.path, name));
  }

  /** Remembers what a change touches: the node, those above it that may be new, and the one whose children are others now. */
  #tell(path: string, gone: boolean): void {
    const touch = (at: string): void => {
      this.#told.delete(at);
      this.#told.set(at, this.#version);
    };
    touch(path);
    for (let at = path; at !== '/'; at = parentPath(at)) {
      const parent = parentPath(at);
      const known = this.#entries.get(parent);
      if (known && known.children.includes(baseName(at)) !== gone) break;
      touch(parent);
      if (known || gone) break;
    }
    for (const [oldest] of this.#told) {
      if (this.#told.size <= TOLD_MAX) break;
      this.#told.delete(oldest);
    }
  }

  /** Something happened below what is open. A daemon does not tell of the parents that a write makes, so that one may be new itself. */
  #below(path: string, now: number): Entry | undefined {
    let at = path;
    while (at !== '/' && !this.#entries.has(parentPath(at))) at = parentPath(at);
    const parent = this.#entries.get(parentPath(at));
    const name = baseName(at);
    if (!parent || at === '/' || parent.children.includes(name)) return undefined;
    if (!parent.loaded) {
      parent.stale = true;
      return undefined;
    }
    const entry = this.#appear(parent, name);
    entry.stale = true;
    touch(entry, undefined, now);
    return entry;
  }

  #drop(path: string): void {
    const start = `${path}/`;
    const entry = this.#entries.get(path);
    if (!entry) return;
    const left = [entry];
    for (let next = left.pop(); next; next = left.pop()) {
      this.#entries.delete(next.path);
      for (const name of next.children) {
        const child = this.#entries.get(childPath(next.path, name));
        if (child?.path.startsWith(start)) left.push(child);
      }
    }
    this.#rows = undefined;
  }
}

function touch(entry: Entry, by: number | undefined, now: number): void {
  entry.changes++;
  entry.changedAt = now;
  entry.changedBy = by;
}
