/**
 * Searches a subtree, a bounded stretch of it at a time: nobody else waits long behind a search, and whoever goes away ends it. A secret's
 * value is not found. Knows no HTTP.
 */
import type { Clock } from '../../osdep/clock.ts';
import { findNode, type RawNode } from './node.ts';
import type { Secrets } from './secrets.ts';
import type { StoreView } from './store.ts';
import { encodeText } from './value.ts';
import { walk } from './walk.ts';

export interface SearchFor {
  readonly text: string;
  readonly in: 'path' | 'value' | 'any';
  readonly under: string;
  readonly limit: number;
  readonly after?: string | undefined;
  /** Values of secrets are found, too. */
  readonly secrets: boolean;
}

export interface Found {
  readonly nodes: readonly RawNode[];
  /** Nodes looked at. */
  readonly searched: number;
  /** Where to go on; left out at the end. */
  readonly next?: string;
}

/** A stretch of the store that one request looks at. */
const NODES_MAX = 20_000;
const TIME_MS = 2_000;
/** Fewer than others may have under way, so that these get between. */
const WINDOW = 16;

interface Seen {
  readonly children: readonly string[];
  readonly value: Uint8Array | undefined;
}

export async function search(
  view: StoreView,
  { text, in: where, under, limit, after, secrets: all }: SearchFor,
  { secrets, clock, signal }: { secrets: Secrets; clock: Pick<Clock, 'now'>; signal: AbortSignal },
): Promise<Found> {
  const wanted = text.toLowerCase();
  const end = clock.now() + TIME_MS;
  const nodes: RawNode[] = [];
  let searched = 0;
  let last: string | undefined;
  const look = async (path: string): Promise<Seen | undefined> => {
    const readable = where !== 'path' && (all || !secrets.isSecret(path));
    try {
      const [children, value] = await Promise.all([
        view.directory(path),
        readable ? view.read(path) : undefined,
      ]);
      return { children, value };
    } catch (error) {
      if (path !== under && (error as { code?: unknown }).code === 'ENOENT') return undefined;
      throw error;
    }
  };
  for await (const { path, node } of walk(look, under, { after, window: WINDOW })) {
    signal.throwIfAborted();
    if (nodes.length >= limit || searched >= NODES_MAX || clock.now() > end)
      return { nodes, searched, ...(last === undefined ? {} : { next: last }) };
    searched++;
    last = path;
    const hit =
      (where !== 'value' && isInName(path, wanted)) ||
      (node.value !== undefined && encodeText(node.value).toLowerCase().includes(wanted));
    const found = hit ? await findNode(view, path) : undefined;
    if (found !== undefined) nodes.push(found);
  }
  return { nodes, searched };
}

/** What is found reaches into the node's own name: what is below it is not found for its sake. */
function isInName(path: string, wanted: string): boolean {
  const at = path.toLowerCase().lastIndexOf(wanted);
  return at >= 0 && at + wanted.length > path.lastIndexOf('/') + 1;
}
