/**
 * Nodes one by one, for whoever makes something of many: out of the mirror, or, if that cannot hold them, from the store. Knows no devices.
 */
import type { Live } from './live.ts';
import { findNode, type RawNode } from './node.ts';
import type { Store } from './store.ts';
import { encodeText } from './value.ts';

export interface Reader {
  /** undefined: there is none. */
  node(path: string): RawNode | undefined | Promise<RawNode | undefined>;
}

const NODES_MAX = 100_000;

/** Of a subtree. Rejects with store_unavailable. */
export async function readerOf(live: Live, store: Store, path: string): Promise<Reader> {
  return (
    (await live.mirrored(path, { depth: 64, limit: NODES_MAX })) ?? {
      node: (at) => findNode(store.live, at),
    }
  );
}

export async function textOf(reader: Reader, path: string): Promise<string | undefined> {
  const node = await reader.node(path);
  return node && encodeText(node.value);
}

export async function childrenOf(reader: Reader, path: string): Promise<readonly string[]> {
  return (await reader.node(path))?.children ?? [];
}

/** Children that are numbers, by size. */
export async function numbersBelow(reader: Reader, path: string): Promise<number[]> {
  const names = (await childrenOf(reader, path)).filter((name) => /^(0|[1-9]\d{0,9})$/.test(name));
  return names.map(Number).sort((a, b) => a - b);
}
