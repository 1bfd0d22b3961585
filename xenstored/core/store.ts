/**
 * The tree: one record per node, found by path in one step, and the past of it that open snapshots still see. A change costs the nodes it
 * changes, whatever the size of the store or the number of snapshots: state is replaced in place, and the state before is set aside only if a
 * snapshot sees it. Owners are told what they own as it changes. Knows no permissions, watches or requests; callers check first.
 */
import { Domid } from '../wire/ops.ts';
import { Node, type NodeState, type Version } from './node.ts';
import { baseName, isSpecial, parentPath, ROOT } from './path.ts';
import type { Perms } from './perms.ts';
import type { NodeRecord } from './ports.ts';
import type { Account } from './quota.ts';

/** Who is charged for nodes, and the indices that make a domain's death cost only what it had. */
export interface Owner {
  readonly account: Account;
  /** `undefined`: never dies, so it is not indexed. */
  readonly owned: Set<Node> | undefined;
}

export type FindOwner = (domid: number) => Owner | undefined;

/** What requests touched: the measure of "no work that grows with what a request does not touch". */
export interface Work {
  nodes: number;
  watches: number;
  links: number;
}

/** A point in time that somebody still reads. */
export interface Snapshot {
  readonly epoch: number;
  older: Snapshot | undefined;
  newer: Snapshot | undefined;
  kept: Kept[];
}

/** A past state or a dead node, needed by snapshots from generation `from` on. */
interface Kept {
  readonly node: Node;
  readonly version: Version | undefined;
  readonly from: number;
}

export class Store {
  /** The generation of the last change; every change takes the next. */
  generation = 1;
  readonly work: Work = { nodes: 0, watches: 0, links: 0 };
  readonly #index = new Map<string, Node>();
  /** Dead nodes that snapshots see, by path, oldest first. */
  readonly #ghosts = new Map<string, Node[]>();
  /** Nodes by the domains that their entries name, also ones that are not there: of whoever may end. */
  readonly #naming = new Map<number, Set<Node>>();
  readonly #owner: FindOwner;
  #newest: Snapshot | undefined = undefined;
  #dirty: Node[] = [];
  readonly #tracking: boolean;

  constructor(options: { readonly owner: FindOwner; readonly trackChanges: boolean }) {
    this.#owner = options.owner;
    this.#tracking = options.trackChanges;
  }

  get size(): number {
    return this.#index.size;
  }

  /** How much of the past is kept for snapshots. */
  get kept(): number {
    let count = 0;
    for (let each = this.#newest; each; each = each.older) count += each.kept.length;
    return count + [...this.#ghosts.values()].reduce((sum, ghosts) => sum + ghosts.length, 0);
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
    this.#keepVersion(node);
    this.#chargeMemory(node.perms.owner, value.length - node.value.length);
    node.value = value;
    node.valueAt = ++this.generation;
    node.changedBy = by;
    this.#touched(node);
  }

  setPerms(node: Node, perms: Perms, by: number): void {
    this.#keepVersion(node);
    this.#replacePerms(node, perms);
    node.permsAt = ++this.generation;
    node.changedBy = by;
  }

  /** Removes all entries that name a domain that is gone. It is no change: nobody is to notice. */
  forgetDomain(domid: number): void {
    for (const node of [...(this.#naming.get(domid) ?? [])]) {
      this.#keepVersion(node);
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
    const older = this.#newest;
    const snapshot: Snapshot = { epoch: ++this.generation, older, newer: undefined, kept: [] };
    if (older) older.newer = snapshot;
    this.#newest = snapshot;
    return snapshot;
  }

  /** Ends a snapshot. What only it saw is forgotten, the rest passes to the next older one. */
  release(snapshot: Snapshot): void {
    const { older, newer } = snapshot;
    if (older) older.newer = newer;
    if (newer) newer.older = older;
    else this.#newest = older;
    for (const kept of snapshot.kept) {
      if (older && kept.from <= older.epoch) older.kept.push(kept);
      else this.#forget(kept);
    }
    snapshot.kept = [];
  }

  /** The node that was at `path` when the snapshot was taken. */
  nodeAt(path: string, { epoch }: Snapshot): Node | undefined {
    const live = this.get(path);
    if (live && live.bornAt <= epoch) return live;
    const ghosts = this.#ghosts.get(path);
    return ghosts?.find((ghost) => ghost.bornAt <= epoch && epoch < ghost.diedAt);
  }

  /** What the node held then. The node must have existed. */
  stateAt(node: Node, { epoch }: Snapshot): NodeState {
    if (node.valueAt <= epoch && node.permsAt <= epoch) return node;
    const versions = node.versions ?? [];
    for (let i = versions.length - 1; i >= 0; i--) {
      const version = versions[i]!;
      if (version.valueAt <= epoch && version.permsAt <= epoch) return version;
    }
    return node;
  }

  /** The names of the children it had then, in order of creation. */
  *childrenAt(node: Node, { epoch }: Snapshot): Generator<string> {
    const seen: Node[] = [];
    for (const ghost of node.ghosts ?? []) {
      if (ghost.bornAt <= epoch && epoch < ghost.diedAt) seen.push(ghost);
    }
    const ghosts = seen.length;
    for (const child of node.children?.values() ?? []) if (child.bornAt <= epoch) seen.push(child);
    if (ghosts > 0) seen.sort((a, b) => a.bornAt - b.bornAt);
    for (const child of seen) yield baseName(child.path);
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
    const { path, parent, perms } = node;
    this.#index.set(path, node);
    if (parent) {
      const name = path.slice(path.lastIndexOf('/'));
      parent.addChild(name, node);
      this.#chargeMemory(parent.perms.owner, name.length);
    }
    this.#charge(node);
    this.#indexEntries(node, perms);
  }

  #detach(node: Node, at: number, by: number): void {
    const { path, parent, perms } = node;
    this.#discharge(node);
    this.#unindexEntries(node, perms);
    this.#index.delete(path);
    node.diedAt = at;
    if (parent) {
      const name = path.slice(path.lastIndexOf('/'));
      parent.removeChild(name);
      parent.childrenAt = at;
      parent.changedBy = by;
      this.#chargeMemory(parent.perms.owner, -name.length);
    }
    if (this.#newest && node.bornAt <= this.#newest.epoch) this.#keepGhost(node);
    this.#touched(node);
  }

  #touched(node: Node): void {
    if (node.dirty || !this.#tracking) return;
    node.dirty = true;
    this.#dirty.push(node);
  }

  #keepVersion(node: Node): void {
    this.work.nodes++;
    const newest = this.#newest;
    const from = Math.max(node.valueAt, node.permsAt);
    if (!newest || from > newest.epoch) return;
    const { value, perms, valueAt, permsAt } = node;
    const version = { value, perms, valueAt, permsAt };
    node.versions ??= [];
    node.versions.push(version);
    newest.kept.push({ node, version, from });
  }

  #keepGhost(node: Node): void {
    const same = this.#ghosts.get(node.path);
    if (same) same.push(node);
    else this.#ghosts.set(node.path, [node]);
    if (node.parent) {
      node.parent.ghosts ??= new Set();
      node.parent.ghosts.add(node);
    }
    this.#newest!.kept.push({ node, version: undefined, from: node.bornAt });
  }

  #forget({ node, version }: Kept): void {
    if (version) {
      const rest = node.versions!.filter((each) => each !== version);
      node.versions = rest.length > 0 ? rest : undefined;
      return;
    }
    const rest = this.#ghosts.get(node.path)!.filter((each) => each !== node);
    if (rest.length > 0) this.#ghosts.set(node.path, rest);
    else this.#ghosts.delete(node.path);
    const parent = node.parent;
    parent?.ghosts?.delete(node);
    if (parent?.ghosts?.size === 0) parent.ghosts = undefined;
  }

  #replacePerms(node: Node, perms: Perms): void {
    this.#discharge(node);
    this.#unindexEntries(node, node.perms);
    node.perms = perms;
    this.#charge(node);
    this.#indexEntries(node, perms);
    this.#touched(node);
  }

  #charge(node: Node): void {
    const owner = this.#owner(node.perms.owner);
    if (!owner) return;
    owner.account.add('nodes', 1);
    owner.account.add('memory', node.memoryBytes);
    owner.owned?.add(node);
  }

  #discharge(node: Node): void {
    const owner = this.#owner(node.perms.owner);
    if (!owner) return;
    owner.account.add('nodes', -1);
    owner.account.add('memory', -node.memoryBytes);
    owner.owned?.delete(node);
  }

  #chargeMemory(domid: number, bytes: number): void {
    if (bytes !== 0) this.#owner(domid)?.account.add('memory', bytes);
  }

  #indexEntries(node: Node, { entries }: Perms): void {
    for (let i = 1; i < entries.length; i++) {
      const { domid } = entries[i]!;
      if (domid === Domid.ANY || this.#neverEnds(domid)) continue;
      const nodes = this.#naming.get(domid);
      if (nodes) nodes.add(node);
      else this.#naming.set(domid, new Set([node]));
    }
  }

  #unindexEntries(node: Node, { entries }: Perms): void {
    for (let i = 1; i < entries.length; i++) {
      const { domid } = entries[i]!;
      const nodes = this.#naming.get(domid);
      if (nodes?.delete(node) && nodes.size === 0) this.#naming.delete(domid);
    }
  }

  #neverEnds(domid: number): boolean {
    const owner = this.#owner(domid);
    return owner !== undefined && owner.owned === undefined;
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
