/**
 * A page of a subtree out of the mirror, in the walk's order and within the same bounds as one that is read from the store. What it takes to sort
 * and to write a node is done once for each state of it. Knows no HTTP.
 */
import type { Mirrored } from './live.ts';
import type { RawNode } from './rawnode.ts';
import { childOf, isWithin } from './store.ts';
import { type Bounds, BYTES_MAX, sizeOf } from './tree.ts';
import { compareNames, comparePaths } from './walk.ts';

export interface MirroredPage {
  readonly nodes: readonly RawNode[];
  readonly truncated: 'no' | 'nodes' | 'bytes';
  /** On the clock: when the one that was read first was read. */
  readonly readAt: number;
}

const sortedChildren = new WeakMap<RawNode, readonly string[]>();

/** undefined: there is no such node, or it may not be seen. */
export async function mirroredPage(
  mirrored: Mirrored,
  root: string,
  { depth, limit, after }: Bounds,
): Promise<MirroredPage | undefined> {
  const nodes: RawNode[] = [];
  let bytes = 0;
  let readAt = Number.POSITIVE_INFINITY;
  const left = [{ path: root, depth: 0 }];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { path } = next;
    const found = mirrored.node(path);
    const node = found instanceof Promise ? await found : found;
    if (node === undefined) {
      if (path === root) return undefined;
      continue;
    }
    if (after === undefined || comparePaths(path, after) > 0) {
      if (nodes.length >= limit) return { nodes, truncated: 'nodes', readAt };
      bytes += sizeOf(node);
      if (bytes > BYTES_MAX && nodes.length > 0) return { nodes, truncated: 'bytes', readAt };
      nodes.push(node);
      readAt = Math.min(readAt, node.readAt);
    }
    if (next.depth >= depth) continue;
    const names = childrenOf(node);
    for (let at = names.length - 1; at >= 0; at--) {
      const child = childOf(path, names[at]!);
      if (after === undefined || comparePaths(child, after) >= 0 || isWithin(child, after))
        left.push({ path: child, depth: next.depth + 1 });
    }
  }
  return { nodes, truncated: 'no', readAt };
}

function childrenOf(node: RawNode): readonly string[] {
  let names = sortedChildren.get(node);
  if (names === undefined) {
    names = [...node.children].sort(compareNames);
    sortedChildren.set(node, names);
  }
  return names;
}
