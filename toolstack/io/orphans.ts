/**
 * Nodes of domains that are no more: below their homes, in the toolstack's own tree, below /vm, in their backends' directories; found and removed. Looks at
 * every domain. Knows no record and no process.
 */
import { dirname } from 'node:path';
import { type Client, XenstoreError } from '../../xenstored/client/index.ts';
import type { Swept } from '../core/toolstack.ts';
import { allDomains } from './domainlist.ts';
import { reasonOf } from './fault.ts';
import type { Parts } from './parts.ts';

/** Domains that are kept, whether the hypervisor knows them or not. */
export interface Kept {
  readonly domids: readonly number[];
  readonly uuids: readonly string[];
}

interface Orphan {
  readonly what: string;
  readonly paths: readonly string[];
}

/** `kept`: asked after the store was, as the hypervisor is. */
export async function removeOrphans(
  { ctrl, store }: Pick<Parts, 'ctrl' | 'store'>,
  kept: () => Kept,
): Promise<Swept> {
  const nodes = await readNodes(store);
  // Asked after the store was: who was made meanwhile is there by now.
  const infos = allDomains(ctrl);
  const { domids, uuids } = kept();
  const found = orphansAmong(nodes, {
    domids: [...infos.map(({ domid }) => domid), ...domids],
    uuids: [...infos.map(({ handle }) => handle), ...uuids],
  });
  const removed: string[] = [];
  const left: string[] = [];
  for (const { what, paths } of found) {
    try {
      for (const path of paths) await remove(store, path);
      removed.push(`${what}: ${paths.join(', ')}`);
    } catch (error) {
      left.push(`${what}: ${reasonOf(error)}`);
    }
  }
  return { removed, left };
}

interface Nodes {
  /** Directories of domains, with their paths. */
  readonly homes: readonly (readonly [domid: string, path: string])[];
  /** Of their devices, with the domain that serves them. */
  readonly devices: readonly (readonly [domid: string, path: string, backend: string])[];
  readonly machines: readonly string[];
}

async function readNodes(store: Client): Promise<Nodes> {
  const homes: [string, string][] = [];
  const devices: [string, string, string][] = [];
  for (const root of ['/local/domain', '/libxl'])
    for (const domid of await children(store, root))
      if (/^\d+$/.test(domid)) homes.push([domid, `${root}/${domid}`]);
  for (const [backend, home] of homes.filter(([, path]) => path.startsWith('/local/')))
    for (const kind of await children(store, `${home}/backend`))
      for (const domid of await children(store, `${home}/backend/${kind}`))
        if (/^\d+$/.test(domid)) devices.push([domid, `${home}/backend/${kind}/${domid}`, backend]);
  return { homes, devices, machines: await children(store, '/vm') };
}

function orphansAmong({ homes, devices, machines }: Nodes, { domids, uuids }: Kept): Orphan[] {
  const there = new Set(domids.map(String));
  const known = new Set(uuids);
  return [
    ...homes
      .filter(([domid]) => !there.has(domid))
      .map(([domid, path]) => ({ what: `nodes of domain ${domid}, which is no more`, paths: [path] })),
    // Those of a backend that is no more go with its own.
    ...devices
      .filter(([domid, , backend]) => !there.has(domid) && there.has(backend))
      .map(([domid, path]) => ({ what: `devices of domain ${domid}, which is no more`, paths: [path] })),
    ...machines
      .filter((uuid) => !known.has(uuid))
      .map((uuid) => ({ what: `nodes of ${uuid}, which is no more`, paths: [`/vm/${uuid}`] })),
  ];
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
