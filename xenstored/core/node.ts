/**
 * One node of the store, with what snapshots may still want of its past. Three stamps say when its state, permissions and child list last
 * changed, so that a transaction can tell a change it depended on from one it did not. Knows no rule of the store.
 */
import type { Perms } from './perms.ts';

/** What a reader sees of a node, now or at some time in the past. */
export interface NodeState {
  readonly value: string;
  readonly perms: Perms;
  readonly permsAt: number;
}

/** A node's state before a change, kept because a snapshot sees it. */
export interface Version extends NodeState {
  readonly valueAt: number;
}

export class Node implements NodeState {
  readonly path: string;
  readonly parent: Node | undefined;
  value: string;
  perms: Perms;
  /** Generations: when the node was made, when it died (Infinity: it lives), and the last change of each part. */
  readonly bornAt: number;
  diedAt: number = Number.POSITIVE_INFINITY;
  valueAt: number;
  permsAt: number;
  childrenAt: number;
  /** The domain behind the last change of any kind. */
  changedBy: number;
  /** In order of creation. Keys begin with `/`, so that no choice of names can make them collide as array indices do. */
  children: Map<string, Node> | undefined = undefined;
  /** The child list's length on the wire: names and their NULs. */
  childBytes = 0;
  #childList: string | undefined = undefined;
  /** Earlier states that snapshots see, oldest first. */
  versions: Version[] | undefined = undefined;
  /** Children that died and that snapshots see. */
  ghosts: Set<Node> | undefined = undefined;
  /** Already among the turn's changes. */
  dirty = false;

  constructor(path: string, parent: Node | undefined, value: string, perms: Perms, at: number, by: number) {
    this.path = path;
    this.parent = parent;
    this.value = value;
    this.perms = perms;
    this.bornAt = at;
    this.valueAt = at;
    this.permsAt = at;
    this.childrenAt = at;
    this.changedBy = by;
  }

  /** The child list as DIRECTORY answers it: names in order of creation, each followed by NUL. */
  get childList(): string {
    if (this.#childList === undefined) {
      let list = '';
      for (const name of this.children?.keys() ?? []) list += `${name.slice(1)}\0`;
      this.#childList = list;
    }
    return this.#childList;
  }

  addChild(name: string, child: Node): void {
    this.children ??= new Map();
    this.children.set(name, child);
    this.childBytes += name.length;
    this.#childList = undefined;
  }

  removeChild(name: string): void {
    this.children!.delete(name);
    this.childBytes -= name.length;
    this.#childList = undefined;
  }

  /** When anything of it last changed: what DIRECTORY_PART calls its generation. */
  get generation(): number {
    return Math.max(this.valueAt, this.permsAt, this.childrenAt);
  }

  /** What counts against node-size: header, permissions, value, child list. */
  get sizeBytes(): number {
    return nodeSize(this.perms, this.value.length, this.childBytes);
  }

  /** What counts against the owner's memory. */
  get memoryBytes(): number {
    return this.sizeBytes + this.path.length;
  }
}

export function nodeSize(perms: Perms, valueBytes: number, childBytes: number): number {
  return 16 + 8 * perms.entries.length + valueBytes + childBytes;
}
