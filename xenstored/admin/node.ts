/**
 * A node: as the store tells it, and as a reply shows it, with secrets masked and an ETag. Knows no HTTP.
 */
import { createHmac, randomBytes } from 'node:crypto';
import type { Secrets } from './secrets.ts';
import type { Permission, StoreView } from './store.ts';
import { encodeValue, maskedValue, type Value } from './value.ts';

export interface RawNode {
  readonly path: string;
  readonly value: Uint8Array;
  readonly permissions: readonly Permission[];
  /** Names, in the store's order. */
  readonly children: readonly string[];
}

export interface Node {
  readonly path: string;
  readonly value: Value;
  readonly permissions: readonly Permission[];
  readonly children: readonly string[];
  /** Without quotes. Two are equal if and only if value, permissions and the set of children are. */
  readonly etag: string;
}

export async function readNode(view: StoreView, path: string): Promise<RawNode> {
  const [value, permissions, children] = await Promise.all([
    view.read(path),
    view.permissions(path),
    view.directory(path),
  ]);
  return { path, value, permissions, children };
}

/** undefined: there is none. */
export async function findNode(view: StoreView, path: string): Promise<RawNode | undefined> {
  try {
    return await readNode(view, path);
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** How nodes leave this service. */
export interface Show {
  /** `secrets`: their values too. */
  readonly node: (raw: RawNode, options?: { readonly secrets?: boolean }) => Node;
  readonly etag: (raw: RawNode) => string;
}

/**
 * The ETag's key is made at each start and never leaves: who may not see a value cannot find it by trying values, and equal values at two
 * paths have different ones.
 */
export function showOf(secrets: Secrets, key: Uint8Array = randomBytes(32)): Show {
  const etag = ({ path, value, permissions, children }: RawNode): string => {
    const rest = JSON.stringify([
      path,
      value.length,
      permissions.map(({ domid, letter }) => `${letter}${domid}`),
      [...children].sort(),
    ]);
    return createHmac('sha256', key).update(rest).update(value).digest('base64url').slice(0, 27);
  };
  return {
    etag,
    node: (raw, { secrets: all = false } = {}) => ({
      path: raw.path,
      value: !all && secrets.isSecret(raw.path) ? maskedValue : encodeValue(raw.value),
      permissions: raw.permissions,
      children: raw.children,
      etag: etag(raw),
    }),
  };
}
