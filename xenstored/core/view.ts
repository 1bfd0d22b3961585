/**
 * How a request sees the store: directly, or through its transaction. Handlers are written once against this; the transaction's view remembers
 * what an answer depended on, the live one has nothing to remember.
 */
import type { Node } from './node.ts';
import type { Perms } from './perms.ts';
import type { Store } from './store.ts';

/** What an answer may depend on, besides that the node exists or not. */
export const Part = { NONE: 0, VALUE: 1, PERMS: 2, CHILDREN: 4 } as const;

export interface Seen {
  readonly path: string;
  readonly value: string;
  readonly perms: Perms;
}

export interface View {
  /** The node, if it is there; the answer depends on that and on `parts`. */
  lookup(path: string, parts: number): Seen | undefined;
  /** The nearest node above that exists: the answer depends on its permissions and on nothing being nearer. */
  ancestor(path: string): Seen;
  /** The names of the children, each followed by NUL. */
  childList(seen: Seen): string;
  childBytes(seen: Seen): number;
  /** What DIRECTORY_PART calls the generation. */
  generation(seen: Seen): number;
  create(path: string, value: string, perms: Perms): void;
  setValue(seen: Seen, value: string): void;
  setPerms(seen: Seen, perms: Perms): void;
  remove(seen: Seen): void;
}

/** The store itself, as the domain `by` changes it. */
export class LiveView implements View {
  readonly #store: Store;
  /** Set before each request. */
  by = 0;
  /** What the request's RM removed: the events to fire. */
  removed: Node[] = [];

  constructor(store: Store) {
    this.#store = store;
  }

  lookup(path: string): Node | undefined {
    return this.#store.get(path);
  }

  ancestor(path: string): Node {
    return this.#store.ancestor(path);
  }

  childList(seen: Seen): string {
    return (seen as Node).childList;
  }

  childBytes(seen: Seen): number {
    return (seen as Node).childBytes;
  }

  generation(seen: Seen): number {
    return (seen as Node).generation;
  }

  create(path: string, value: string, perms: Perms): void {
    this.#store.create(path, value, perms, this.by);
  }

  setValue(seen: Seen, value: string): void {
    this.#store.setValue(seen as Node, value, this.by);
  }

  setPerms(seen: Seen, perms: Perms): void {
    this.#store.setPerms(seen as Node, perms, this.by);
  }

  remove(seen: Seen): void {
    this.removed = this.#store.remove(seen as Node, this.by);
  }
}
