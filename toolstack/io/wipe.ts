/**
 * Takes everything away that a record speaks of, however far its domain had come and whatever of it is gone already: the domain, its process, its
 * devices, its nodes, the record. Knows no policy.
 */
import { XenstoreError } from '../../xenstored/client/index.ts';
import type { DomainRecord } from '../core/record.ts';
import { infoOf } from './domainlist.ts';
import { removeConsole } from './domains.ts';
import { endProcess, removeLogs } from './guestprocess.ts';
import { removeModel } from './model.ts';
import type { Parts } from './parts.ts';

/** `record`: the record goes last, so that whoever is killed on the way leaves it to the next one. */
export async function wipe(
  parts: Parts,
  record: DomainRecord,
  its: 'record' | 'but its record',
): Promise<void> {
  const { domid, uuid } = record;
  const info = infoOf(parts.ctrl, record);
  if (info !== undefined) parts.domains.destroy(info.domid);
  await endProcess(record.process);
  const number = domid ?? info?.domid;
  await again(() => removeModel(parts, record));
  if (number !== undefined) {
    parts.forgetRoom(number);
    await again(() => forget(parts, number, uuid));
  }
  if (its === 'but its record') return;
  if (record.phase === 'creating') removeLogs(parts.run, record.config.name);
  parts.records.remove(uuid);
}

/** Numbers of domains are used again: what the store says of another domain is left alone. */
async function forget(parts: Parts, domid: number, uuid: string): Promise<void> {
  const { store, consoleDomid } = parts;
  const now = await store.findText(`/local/domain/${domid}/vm`);
  if (now !== undefined && now !== `/vm/${uuid}`) return;
  await parts.hotplug.detachAll(domid);
  if (consoleDomid !== undefined) await store.transaction((tx) => removeConsole(tx, domid, consoleDomid));
  await parts.domains.forget(store, domid, uuid);
}

/** A store that is killed in the middle may or may not have done what it did not answer: once more, then. */
async function again(work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (!(error instanceof XenstoreError && error.code === 'ECONNRESET')) throw error;
    }
  }
}
