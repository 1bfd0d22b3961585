/**
 * What open snapshots still see of the store's past: states that were replaced and nodes that died. A snapshot costs nothing to take; what is kept for
 * it is kept once, with the newest snapshot that sees it, and passes to the next older one or is forgotten when that ends. Knows no present.
 */
import type { Node, NodeState, Version } from './node.ts';

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

export class Past {
  /** Dead nodes that snapshots see, by path, oldest first. */
  readonly #ghosts = new Map<string, Node[]>();
  #newest: Snapshot | undefined = undefined;

  /** How much is kept. */
  get kept(): number {
    let count = 0;
    for (let each = this.#newest; each; each = each.older) count += each.kept.length;
    return count + [...this.#ghosts.values()].reduce((sum, ghosts) => sum + ghosts.length, 0);
  }

  /** A snapshot of everything up to generation `epoch`. */
  open(epoch: number): Snapshot {
    const older = this.#newest;
    const snapshot: Snapshot = { epoch, older, newer: undefined, kept: [] };
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

  /** The node that was at `path` then and is not any more. */
  ghostAt(path: string, { epoch }: Snapshot): Node | undefined {
    return this.#ghosts.get(path)?.find((ghost) => ghost.bornAt <= epoch && epoch < ghost.diedAt);
  }

  /** The node's state is about to change. */
  keepState(node: Node): void {
    const newest = this.#newest;
    const from = Math.max(node.valueAt, node.permsAt);
    if (!newest || from > newest.epoch) return;
    const { value, perms, valueAt, permsAt } = node;
    const version = { value, perms, valueAt, permsAt };
    node.versions ??= [];
    node.versions.push(version);
    newest.kept.push({ node, version, from });
  }

  /** The node has just died. */
  keepDead(node: Node): void {
    const newest = this.#newest;
    if (!newest || node.bornAt > newest.epoch) return;
    const same = this.#ghosts.get(node.path);
    if (same) same.push(node);
    else this.#ghosts.set(node.path, [node]);
    if (node.parent) {
      node.parent.ghosts ??= new Set();
      node.parent.ghosts.add(node);
    }
    newest.kept.push({ node, version: undefined, from: node.bornAt });
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
}

/** What a node held when the snapshot was taken. It must have existed. */
export function stateAt(node: Node, { epoch }: Snapshot): NodeState {
  if (node.valueAt <= epoch && node.permsAt <= epoch) return node;
  const versions = node.versions ?? [];
  for (let i = versions.length - 1; i >= 0; i--) {
    const version = versions[i]!;
    if (version.valueAt <= epoch && version.permsAt <= epoch) return version;
  }
  return node;
}

/** The children it had then, in order of creation. */
export function childrenAt(node: Node, { epoch }: Snapshot): Node[] {
  const seen: Node[] = [];
  for (const ghost of node.ghosts ?? []) {
    if (ghost.bornAt <= epoch && epoch < ghost.diedAt) seen.push(ghost);
  }
  const ghosts = seen.length;
  for (const child of node.children?.values() ?? []) if (child.bornAt <= epoch) seen.push(child);
  if (ghosts > 0) seen.sort((a, b) => a.bornAt - b.bornAt);
  return seen;
}
