/**
 * A node as it was read once, by itself and beside others that were read at other moments: what is the same, what is news, and what cannot have been.
 * Knows no store.
 */
import { childOf, type Permission } from './store.ts';

export interface RawNode {
  readonly path: string;
  readonly value: Uint8Array;
  readonly permissions: readonly Permission[];
  /** Names, in the store's order. */
  readonly children: readonly string[];
  /** On the clock: when it was read last. */
  readonly readAt: number;
}

/** `undefined`: it is not there. */
export type Found = RawNode | undefined;

/** What was read at different moments, parents first, as of one: nothing is there that the node above it does not name. */
export function consistent(
  found: ReadonlyMap<string, Found>,
  told: ReadonlySet<string>,
): Map<string, RawNode | null> {
  const changes = new Map<string, RawNode | null>();
  const gone = new Set<string>();
  for (const path of [...found.keys()].sort()) {
    const above = path === '/' ? path : parentOf(path);
    const named = !found.has(above) || above === path || found.get(above)?.children.includes(nameOf(path));
    const node = named && !gone.has(above) ? found.get(path) : undefined;
    if (node === undefined) gone.add(path);
    if (told.has(path)) changes.set(path, node ?? null);
  }
  return changes;
}

/** The node, and children that it did not have. */
export function tellNews(news: Set<string>, before: RawNode, now: RawNode): void {
  news.add(now.path);
  const names = new Set(before.children);
  for (const name of now.children) if (!names.has(name)) news.add(childOf(now.path, name));
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function parentOf(path: string): string {
  const cut = path.lastIndexOf('/');
  return cut <= 0 ? '/' : path.slice(0, cut);
}

export function weight(node: RawNode): number {
  let bytes = 2 * node.path.length + node.value.length + 16 * node.permissions.length;
  for (const name of node.children) bytes += name.length;
  return bytes;
}

export function isSame(a: RawNode, b: RawNode): boolean {
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
