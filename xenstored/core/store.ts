/**
 * The tree: one record per node, found by path in one step, and the past of it that open snapshots still see. A change costs the nodes it
 * changes, whatever the size of the store or the number of snapshots: state is replaced in place, and the state before is set aside only if a
 * snapshot sees it. Owners are told what they own as it changes. Knows no permissions, watches or requests; callers check first.
 */
import { Node } from './node.ts';
import { type FindOwner, Ownership } from './ownership.ts';
import { Past, type Snapshot } from './past.ts';
import { isSpecial, parentPath, ROOT } from './path.ts';
import type { Perms } from './perms.ts';
import type { NodeRecord } from './ports.ts';

/** What requests touched: the measure of "no work that grows with what a request does not touch". */
export interface Work {
  nodes: number;
  watches: number;
  links: number;
}

export class Store {
  /** The generation of the last change; every change takes the next. */
  generation = 1;
  readonly work: Work = { nodes: 0, watches: 0, links: 0 };
  readonly #index = new Map<string, Node>();
  readonly #past = new Past();
  readonly #ownership: Ownership;
  #dirty: Node[] = [];
  readonly #tracking: boolean;

  constructor(options: { readonly owner: FindOwner; readonly trackChanges: boolean }) {
    this.#ownership = new Ownership(options.owner);
    this.#tracking = options.trackChanges;
  }

  get size(): number {
    return this.#index.size;
  }

  has(path: string): boolean {
    return this.#index.has(path);
  }

  get(path: string): Node | undefined {
    this.work.nodes++;
    return this.#index.get(path);
  }

  /** The nearest node above `path` that exists. The root always does. */
  ancestor(path: string): Node {
    for (let above = parentPath(path); ; above = parentPath(above)) {
      const node = this.get(above);
      if (node) return node;
    }
  }

  /** Makes the node and the levels missing above it, all with `perms`. The path must not exist. */
  create(path: string, value: string, perms: Perms, by: number): Node {
    const missing = [path];
    let parent: Node | undefined;
    if (path !== ROOT && !isSpecial(path)) {
      let above = parentPath(path);
      for (parent = this.#index.get(above); !parent; parent = this.#index.get(above)) {
        missing.push(above);
        above = parentPath(above);
      }
    }
    let node = parent;
    for (let level = missing.length - 1; level >= 0; level--) {
      node = this.#attach(missing[level]!, node, level === 0 ? value : '', perms, by);
    }
    return node!;
  }

  setValue(node: Node, value: string, by: number): void {
    this.work.nodes++;
    this.#past.keepState(node);
    this.#ownership.grow(node, value.length - node.value.length);
    node.value = value;
    node.valueAt = ++this.generation;
    node.changedBy = by;
    this.#touched(node);
  }

  setPerms(node: Node, perms: Perms, by: number): void {
    this.work.nodes++;
    this.#past.keepState(node);
    this.#replacePerms(node, perms);
    node.permsAt = ++this.generation;
    node.changedBy = by;
  }

  /** Removes all entries that name a domain that is gone. It is no change: nobody is to notice. */
  forgetDomain(domid: number): void {
    for (const node of this.#ownership.naming(domid)) {
      this.work.nodes++;
      this.#past.keepState(node);
      this.#replacePerms(node, node.perms.without(domid));
    }
  }

  /** Removes a node and all below it; answers the dead, children before parents and siblings in order. Not for the root. */
  remove(node: Node, by: number): Node[] {
    const dead = [...this.subtree(node)].reverse();
    const at = ++this.generation;
    for (const each of dead) this.#detach(each, at, by);
    return dead;
  }

  /** A node and everything below it, parents first, later siblings first: reversed it is the order of removal. */
  *subtree(node: Node): Generator<Node> {
    const pending = [node];
    for (let next = pending.pop(); next; next = pending.pop()) {
      yield next;
      this.work.nodes++;
      for (const child of next.children?.values() ?? []) pending.push(child);
    }
  }

  /** All nodes, parents first, siblings in order; the special ones last. */
  *all(): Generator<Node> {
    const pending: Node[] = [];
    const specials: Node[] = [];
    for (const node of this.#index.values()) {
      if (node.path === ROOT) pending.push(node);
      else if (!node.parent) specials.push(node);
    }
    for (let next = pending.pop(); next; next = pending.pop()) {
      yield next;
      for (const child of [...(next.children?.values() ?? [])].reverse()) pending.push(child);
    }
    yield* specials;
  }

  // Snapshots.

  snapshot(): Snapshot {
    return this.#past.open(++this.generation);
  }

  /** Ends a snapshot. */
  release(snapshot: Snapshot): void {
    this.#past.release(snapshot);
  }

  /** The node that was at `path` when the snapshot was taken. */
  nodeAt(path: string, snapshot: Snapshot): Node | undefined {
    const live = this.get(path);
    return live && live.bornAt <= snapshot.epoch ? live : this.#past.ghostAt(path, snapshot);
  }

  /** How much of the past is kept for snapshots. */
  get kept(): number {
    return this.#past.kept;
  }

  // What must survive.

  /** The nodes changed since the last call, as records, and the paths that are gone. */
  takeChanges(): { nodes: NodeRecord[]; removed: string[] } {
    const nodes: NodeRecord[] = [];
    const removed: string[] = [];
    for (const node of this.#dirty) {
      node.dirty = false;
      if (this.#index.get(node.path) === node) nodes.push(record(node));
      else if (!this.#index.has(node.path)) removed.push(node.path);
    }
    if (this.#dirty.length > 0) this.#dirty = [];
    return { nodes, removed };
  }

  get changed(): boolean {
    return this.#dirty.length > 0;
  }

  /** Puts back a node as it was recorded; its parent must be there already. */
  restore(saved: NodeRecord, perms: Perms): void {
    const { path } = saved;
    const parent = path === ROOT || isSpecial(path) ? undefined : this.#index.get(parentPath(path));
    const node = new Node(path, parent, saved.value, perms, saved.born, perms.owner);
    node.valueAt = saved.generation;
    node.permsAt = saved.generation;
    // When its list last changed is not recorded.
    node.childrenAt = this.generation;
    this.#link(node);
  }

  #attach(path: string, parent: Node | undefined, value: string, perms: Perms, by: number): Node {
    const node = new Node(path, parent, value, perms, ++this.generation, by);
    if (parent) {
      parent.childrenAt = node.bornAt;
      parent.changedBy = by;
    }
    this.#link(node);
    this.#touched(node);
    this.work.nodes++;
    return node;
  }

  #link(node: Node): void {
    const { path, parent } = node;
    this.#index.set(path, node);
    if (parent) {
      const name = path.slice(path.lastIndexOf('/'));
      parent.addChild(name, node);
      this.#ownership.grow(parent, name.length);
    }
    this.#ownership.add(node);
  }

  #detach(node: Node, at: number, by: number): void {
    const { path, parent } = node;
    this.#ownership.remove(node);
    this.#index.delete(path);
    node.diedAt = at;
    if (parent) {
      const name = path.slice(path.lastIndexOf('/'));
      parent.removeChild(name);
      parent.childrenAt = at;
      parent.changedBy = by;
      this.#ownership.grow(parent, -name.length);
    }
    this.#past.keepDead(node);
    this.#touched(node);
  }

  #touched(node: Node): void {
    if (node.dirty || !this.#tracking) return;
    node.dirty = true;
    this.#dirty.push(node);
  }

  #replacePerms(node: Node, perms: Perms): void {
    this.#ownership.remove(node);
    node.perms = perms;
    this.#ownership.add(node);
    this.#touched(node);
  }
}

function record(node: Node): NodeRecord {
  const { path, value, perms, bornAt } = node;
  return {
    path,
    value,
    perms: perms.entries,
    generation: Math.max(node.valueAt, node.permsAt),
    born: bornAt,
  };
}
