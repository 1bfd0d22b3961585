/**
 * Reads a subtree for a reply, bounded in depth, number and bytes, whatever the store holds; the rest is the next page. Knows no HTTP.
 */
import { findNode, type RawNode, readNode } from './node.ts';
import type { StoreView } from './store.ts';
import { walk } from './walk.ts';

export interface Subtree {
  readonly path: string;
  /** Each parent before its children, siblings in the walk's order. */
  readonly nodes: readonly RawNode[];
  /** What cut it short: `nodes` or `bytes`; `no`: it is whole down to the asked depth. */
  readonly truncated: 'no' | 'nodes' | 'bytes';
}

export interface Bounds {
  /** 0: only the node itself. */
  readonly depth: number;
  readonly limit: number;
  /** Only what comes after this path. */
  readonly after?: string | undefined;
}

/** Bytes of values and names that one reply carries at most. */
export const BYTES_MAX: number = 4 << 20;

export async function readSubtree(
  view: StoreView,
  path: string,
  { depth, limit, after }: Bounds,
): Promise<Subtree> {
  const nodes: RawNode[] = [];
  let bytes = 0;
  // A daemon without snapshots may lose a node between its parent's answer and its own; the root must be there.
  const read = (at: string): Promise<RawNode | undefined> =>
    at === path ? readNode(view, at) : findNode(view, at);
  for await (const { node } of walk(read, path, { depth, after })) {
    if (nodes.length >= limit) return { path, nodes, truncated: 'nodes' };
    bytes += sizeOf(node);
    if (bytes > BYTES_MAX && nodes.length > 0) return { path, nodes, truncated: 'bytes' };
    nodes.push(node);
  }
  return { path, nodes, truncated: 'no' };
}

/** About as many bytes as it takes in a reply. */
export function sizeOf({ path, value, children, permissions }: RawNode): number {
  const names = children.reduce((sum, name) => sum + name.length, 0);
  return path.length + 4 * value.length + names + 16 * permissions.length;
}
