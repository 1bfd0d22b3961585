/**
 * Looks for what belongs to domains that are no more, and removes it: nodes below their homes, in the toolstack's own tree, below /vm, in their backends'
 * directories. Looks at every domain: for orders of people, never on the way of another order.
 */
import { dirname } from 'node:path';
import { type Client, XenstoreError } from '../../xenstored/client/index.ts';
import type { Swept } from '../core/toolstack.ts';
import { reasonOf } from './fault.ts';
import type { Keeper } from './keeper.ts';
import type { Parts } from './parts.ts';
import type { Table } from './table.ts';
import { allDomains } from './wipe.ts';

export async function sweep(parts: Parts, table: Table, keeper: Keeper): Promise<Swept> {
  const removed: string[] = [];
  const left: string[] = [];
  // What is under way, recoveries among it, comes to its end first.
  await Promise.all(
    table.all().map(({ record: { uuid } }) =>
      table.exclusive(uuid, async () => {
        const record = table.get(uuid)?.record;
        if (record === undefined || !['creating', 'restarting', 'ending'].includes(record.phase)) return;
        const what = `guest ${record.config.name}, which was left half done`;
        try {
          await keeper.remove(record);
          removed.push(what);
        } catch (error) {
          left.push(`${what}: ${reasonOf(error)}`);
        }
      }),
    ),
  );
  for (const { what, paths } of await orphans(parts, table)) {
    try {
      for (const path of paths) await remove(parts.store, path);
      removed.push(`${what}: ${paths.join(', ')}`);
    } catch (error) {
      left.push(`${what}: ${reasonOf(error)}`);
    }
  }
  return { removed, left };
}

interface Orphan {
  readonly what: string;
  readonly paths: readonly string[];
}

async function orphans({ ctrl, store }: Parts, table: Table): Promise<Orphan[]> {
  const homes = await children(store, '/local/domain');
  const kept = table.all().flatMap(({ record: { domid } }) => (domid === undefined ? [] : [domid]));
  // Asked after the store was: who is made meanwhile is there by now.
  const there = new Set([...allDomains(ctrl).map(({ domid }) => domid), ...kept].map(String));
  const found: Orphan[] = [];
  const gone = (domid: string): boolean => /^\d+$/.test(domid) && !there.has(domid);
  for (const root of ['/local/domain', '/libxl']) {
    for (const domid of (await children(store, root)).filter(gone))
      found.push({ what: `nodes of domain ${domid}, which is no more`, paths: [`${root}/${domid}`] });
  }
  for (const backend of homes.filter((domid) => !gone(domid))) {
    const root = `/local/domain/${backend}/backend`;
    for (const kind of await children(store, root)) {
      for (const domid of (await children(store, `${root}/${kind}`)).filter(gone))
        found.push({
          what: `devices of domain ${domid}, which is no more`,
          paths: [`${root}/${kind}/${domid}`],
        });
    }
  }
  const uuids = new Set(allDomains(ctrl).map(({ handle }) => handle));
  for (const uuid of await children(store, '/vm')) {
    if (!uuids.has(uuid) && table.get(uuid) === undefined)
      found.push({ what: `nodes of ${uuid}, which is no more`, paths: [`/vm/${uuid}`] });
  }
  return found;
}

async function children(store: Client, path: string): Promise<string[]> {
  try {
    return await store.directory(path);
  } catch (error) {
    if (error instanceof XenstoreError && error.code === 'ENOENT') return [];
    throw error;
  }
}

/** With directories above it that only it was in, up to a backend's own. */
async function remove(store: Client, path: string): Promise<void> {
  await store.transaction(async (tx) => {
    if (await tx.exists(path)) await tx.rm(path);
    const above = dirname(path);
    const kind = /\/backend\/[^/]+$/.test(above);
    if (kind && (await tx.exists(above)) && (await tx.directory(above)).length === 0) await tx.rm(above);
  });
}
