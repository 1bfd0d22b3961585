/**
 * Domains as `list` shows them: what the hypervisor says of each, and what its record or its name in the store adds. Changes nothing.
 */
import type { DomainInfo } from '../../osdep/ctrl.ts';
import type { DomainEntry } from '../core/toolstack.ts';
import { allDomains } from './domainlist.ts';
import type { Parts } from './parts.ts';
import type { Table } from './table.ts';

/** The name of domain 0. */
export const CONTROL = 'Domain-0';
const PAGES_PER_MB = 256;

/** In order of their ids; last those that are kept though the hypervisor knows them no more. */
export async function listDomains(parts: Parts, table: Table): Promise<DomainEntry[]> {
  const infos = allDomains(parts.ctrl);
  const there = await Promise.all(infos.map((info) => entryOf(parts, table, info)));
  const uuids = new Set(there.map(({ uuid }) => uuid));
  return [...there, ...kept(table).filter(({ uuid }) => !uuids.has(uuid))];
}

async function entryOf({ services, store }: Parts, table: Table, info: DomainInfo): Promise<DomainEntry> {
  const config = table.get(info.handle)?.record.config;
  const service = services.find(({ domid }) => domid === info.domid)?.name;
  const given = config?.name ?? service ?? (info.domid === 0 ? CONTROL : undefined);
  const role = info.domid === 0 ? 'control' : config === undefined ? 'service' : 'guest';
  // Of a service, what it may have; it takes it as it likes.
  const pages = role === 'service' ? info.maxPages : Math.min(info.totPages, info.maxPages);
  return {
    domid: info.domid,
    name: given ?? (await store.findText(`/local/domain/${info.domid}/name`)) ?? '(null)',
    uuid: info.handle,
    memoryMb: Math.round(pages / PAGES_PER_MB),
    maxmemMb: Math.round(info.maxPages / PAGES_PER_MB),
    vcpus: config?.vcpus ?? info.nrOnlineVcpus,
    running: info.running,
    blocked: info.blocked,
    paused: info.paused,
    dying: info.dying,
    shutdownReason: info.shutdownReason,
    cpuTimeNs: info.cpuTimeNs,
    role,
    config,
  };
}

function kept(table: Table): DomainEntry[] {
  const records = table.all().map(({ record }) => record);
  return records
    .filter(({ phase }) => phase === 'preserved')
    .map(({ uuid, domid, config, endedBy }) => ({
      domid: domid ?? -1,
      name: config.name,
      uuid,
      memoryMb: 0,
      maxmemMb: config.maxmemMb,
      vcpus: config.vcpus,
      running: false,
      blocked: false,
      paused: false,
      dying: true,
      shutdownReason: endedBy,
      cpuTimeNs: 0,
      role: 'guest',
      config,
    }));
}
