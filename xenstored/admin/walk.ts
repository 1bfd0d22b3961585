/**
 * The way through a subtree: parents before children, siblings in one fixed order, so that "after this path" means the same whatever
 * changes meanwhile. Reads ahead, a bounded number of nodes. Knows no HTTP and not what is read of a node beyond its children.
 */
import { childOf, isWithin } from './store.ts';

export interface WalkOptions {
  /** 0: only the node itself. */
  readonly depth?: number;
  /** Begin with what comes after this path, which need not be there any more. */
  readonly after?: string | undefined;
  /** Nodes read ahead. */
  readonly window?: number;
}

interface Entry<N> {
  readonly path: string;
  readonly depth: number;
  node: Promise<N | undefined> | undefined;
}

const WINDOW = 32;

/** `read` answers undefined for a node that is gone; the root must be there. */
export async function* walk<N extends { readonly children: readonly string[] }>(
  read: (path: string) => Promise<N | undefined>,
  root: string,
  { depth = Number.POSITIVE_INFINITY, after, window = WINDOW }: WalkOptions = {},
): AsyncGenerator<{ readonly path: string; readonly node: N }> {
  // A stack of our own: a store may be deeper than ours.
  const left: Entry<N>[] = [{ path: root, depth: 0, node: undefined }];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    next.node ??= begin(read, next.path);
    for (let at = left.length - 1, ahead = 1; at >= 0 && ahead < window; at--, ahead++) {
      left[at]!.node ??= begin(read, left[at]!.path);
    }
    const { path } = next;
    const node = await next.node;
    if (node === undefined) continue;
    if (after === undefined || comparePaths(path, after) > 0) yield { path, node };
    if (next.depth >= depth) continue;
    for (const name of [...node.children].sort(compareNames).reverse()) {
      const child = childOf(path, name);
      if (after === undefined || comparePaths(child, after) >= 0 || isWithin(child, after))
        left.push({ path: child, depth: next.depth + 1, node: undefined });
    }
  }
}

/** Whoever leaves the walk does not wait for what was read ahead. */
function begin<N>(read: (path: string) => Promise<N | undefined>, path: string): Promise<N | undefined> {
  const node = read(path);
  node.catch(() => {});
  return node;
}

/** Numbers first and by size, as domids and device ids are; then by character. */
export function compareNames(a: string, b: string): number {
  const numbers = /^\d+$/;
  const [first, second] = [numbers.test(a), numbers.test(b)];
  if (first !== second) return first ? -1 : 1;
  if (first) {
    const [x, y] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')];
    if (x !== y) return x.length - y.length || (x < y ? -1 : 1);
  }
  return a === b ? 0 : a < b ? -1 : 1;
}

/** In the order of the walk. */
export function comparePaths(a: string, b: string): number {
  const [first, second] = [partsOf(a), partsOf(b)];
  for (let at = 0; at < first.length && at < second.length; at++) {
    const order = compareNames(first[at]!, second[at]!);
    if (order !== 0) return order;
  }
  return first.length - second.length;
}

function partsOf(path: string): string[] {
  return path === '/' ? [] : path.slice(1).split('/');
}
