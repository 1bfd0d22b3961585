/**
 * Who owns what: the accounts that nodes are charged to, and the indices that make a domain's end cost only what it had. Told of every node as it
 * comes, changes and goes; decides nothing.
 */
import { Domid } from '../wire/ops.ts';
import type { Node } from './node.ts';
import type { Perms } from './perms.ts';
import type { Account } from './quota.ts';

/** Who is charged for nodes, and the indices that make a domain's death cost only what it had. */
export interface Owner {
  readonly account: Account;
  /** `undefined`: never dies, so it is not indexed. */
  readonly owned: Set<Node> | undefined;
}

export type FindOwner = (domid: number) => Owner | undefined;

export class Ownership {
  /** Nodes by the domains that their entries name, also ones that are not there: of whoever may end. */
  readonly #naming = new Map<number, Set<Node>>();
  readonly #owner: FindOwner;

  constructor(owner: FindOwner) {
    this.#owner = owner;
  }

  /** The nodes with an entry for the domain, besides its own. */
  naming(domid: number): Node[] {
    return [...(this.#naming.get(domid) ?? [])];
  }

  /** The node is there now, or has these permissions now. */
  add(node: Node): void {
    this.#charge(node);
    this.#indexEntries(node, node.perms);
  }

  /** The node is about to go, or to change its permissions. */
  remove(node: Node): void {
    this.#discharge(node);
    this.#unindexEntries(node, node.perms);
  }

  /** The node's memory grows by so many bytes. */
  grow({ perms }: Node, bytes: number): void {
    if (bytes !== 0) this.#owner(perms.owner)?.account.add('memory', bytes);
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
