/**
 * Changes of a store as a list of operations: all are done, in their order, or none, and each only if the node is as its conditions say, which
 * is compared in the same transaction. Knows no HTTP.
 */
import { matches } from './conditions.ts';
import { AdminError, asAdminError } from './errors.ts';
import { findNode, type Node, type RawNode, type Show } from './node.ts';
import type { Permission, Store, StoreChange } from './store.ts';

interface Common {
  readonly path: string;
  /** ETags, one of which the node must have; `*`: it must be there. */
  readonly ifMatch?: string | readonly string[] | undefined;
  /** ETags, none of which it may have; `*`: it must not be there. */
  readonly ifNoneMatch?: string | readonly string[] | undefined;
}

export type Change = Common &
  (
    | {
        readonly op: 'write';
        readonly value: Uint8Array;
        readonly permissions?: readonly Permission[] | undefined;
      }
    | { readonly op: 'mkdir'; readonly permissions?: readonly Permission[] | undefined }
    | { readonly op: 'remove' }
    | { readonly op: 'setPermissions'; readonly permissions: readonly Permission[] }
    | { readonly op: 'check' }
  );

export interface Result {
  readonly path: string;
  /** Was there a node before this operation? */
  readonly existed: boolean;
  /** After all operations. */
  readonly node: Node | null;
}

/** Throws an AdminError that says which operation could not be done; then none was. */
export async function applyAll(
  store: Store,
  changes: readonly Change[],
  show: Show,
): Promise<readonly Result[]> {
  return await store.change(async (tx) => {
    const existed: boolean[] = [];
    for (const [operation, change] of changes.entries()) {
      existed.push(await failingAs(operation, () => apply(tx, change, show)));
    }
    const nodes = new Map<string, Node | null>();
    for (const { path } of changes) {
      if (nodes.has(path)) continue;
      const raw = await findNode(tx, path);
      nodes.set(path, raw === undefined ? null : show.node(raw));
    }
    return changes.map(({ path }, at) => ({ path, existed: existed[at]!, node: nodes.get(path)! }));
  });
}

async function failingAs<T>(operation: number, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (thrown) {
    // A transaction that was lost is begun again.
    if ((thrown as { code?: unknown }).code === 'EAGAIN') throw thrown;
    const error = asAdminError(thrown);
    if (error.code === 'internal') throw thrown;
    throw new AdminError(error.code, error.message, { ...error.extras, operation });
  }
}

/** Was there a node before? */
async function apply(tx: StoreChange, change: Change, show: Show): Promise<boolean> {
  const { path } = change;
  const before = await findNode(tx, path);
  compare(before, change, show);
  switch (change.op) {
    case 'write':
      await tx.write(path, change.value);
      break;
    case 'mkdir':
      await tx.mkdir(path);
      break;
    case 'remove':
      // oxenstored would take it for everything.
      if (path === '/') throw new AdminError('store_refused', 'the root stays');
      if (before !== undefined) await tx.remove(path);
      break;
    case 'setPermissions':
    case 'check':
      break;
  }
  if ('permissions' in change && change.permissions !== undefined)
    await tx.setPermissions(path, change.permissions);
  return before !== undefined;
}

/** Throws precondition_failed. */
function compare(node: RawNode | undefined, { ifMatch, ifNoneMatch }: Common, show: Show): void {
  const etag = node === undefined ? undefined : show.etag(node);
  const wrong =
    ifMatch !== undefined && !matches(ifMatch, etag)
      ? node === undefined
        ? 'there is no such node'
        : 'the node is another by now'
      : matches(ifNoneMatch, etag)
        ? 'there is such a node'
        : undefined;
  if (wrong === undefined) return;
  throw new AdminError('precondition_failed', wrong, {
    current: node === undefined ? null : show.node(node),
  });
}
