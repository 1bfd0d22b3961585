/**
 * Reads nodes for a reply: one, or a subtree, bounded in depth, number and bytes, whatever the store holds. Knows no HTTP.
 */
import { childOf, type Permission, type StoreView } from './store.ts';
import { encodeValue, type Value } from './value.ts';

export interface Node {
  readonly path: string;
  readonly value: Value;
  readonly permissions: readonly Permission[];
  /** Names, in the store's order. */
  readonly children: readonly string[];
}

export interface Subtree {
  readonly path: string;
  /** Each parent before its children, children in the store's order. */
  readonly nodes: readonly Node[];
  /** What cut it short: `nodes` or `bytes`; `no`: it is whole down to the asked depth. */
  readonly truncated: 'no' | 'nodes' | 'bytes';
}

export interface Bounds {
  /** 0: only the node itself. */
  readonly depth: number;
  readonly nodes: number;
}

/** Bytes of values and names that one reply carries at most. */
const BYTES_MAX = 4 << 20;

export async function readNode(view: StoreView, path: string): Promise<Node> {
  const [value, permissions, children] = await Promise.all([
    view.read(path),
    view.permissions(path),
    view.directory(path),
  ]);
  return { path, value: encodeValue(value), permissions, children };
}

export async function readSubtree(view: StoreView, path: string, bounds: Bounds): Promise<Subtree> {
  const nodes: Node[] = [];
  let bytes = 0;
  // Depth first with a stack of our own: a store may be deeper than ours.
  const left: { path: string; depth: number }[] = [{ path, depth: 0 }];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (nodes.length >= bounds.nodes) return { path, nodes, truncated: 'nodes' };
    const node = await readIfThere(view, next.path, path);
    if (node === undefined) continue;
    bytes += size(node);
    if (bytes > BYTES_MAX && nodes.length > 0) return { path, nodes, truncated: 'bytes' };
    nodes.push(node);
    if (next.depth >= bounds.depth) continue;
    for (const name of [...node.children].reverse()) {
      left.push({ path: childOf(next.path, name), depth: next.depth + 1 });
    }
  }
  return { path, nodes, truncated: 'no' };
}

/** A daemon without snapshots may lose a node between its parent's answer and its own; the root must be there. */
async function readIfThere(view: StoreView, path: string, root: string): Promise<Node | undefined> {
  try {
    return await readNode(view, path);
  } catch (error) {
    if (path !== root && (error as { code?: unknown }).code === 'ENOENT') return undefined;
    throw error;
  }
}

function size(node: Node): number {
  const names = node.children.reduce((sum, name) => sum + name.length, 0);
  return node.path.length + 3 * node.value.base64.length + names + 16 * node.permissions.length;
}
