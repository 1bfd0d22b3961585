/**
 * Puts a domain manager together from what a host has: hypervisor, store, and who serves what. Knows no transport.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Ctrl } from '../../osdep/ctrl.ts';
import { lockFile } from '../../osdep/os/lockfile.ts';
import type { Client } from '../../xenstored/client/index.ts';
import { serviceOf } from '../core/host.ts';
import { Bulk } from './bulk.ts';
import { Domains } from './domains.ts';
import { Fault } from './fault.ts';
import type { DomainLife } from './host.ts';
import { Hotplug } from './hotplug.ts';
import { logToOutput } from './log.ts';
import { Manager } from './manager.ts';
import type { Parts } from './parts.ts';
import { Records } from './records.ts';
import { Room } from './room.ts';
import { readServices } from './servicesfile.ts';
import { Table } from './table.ts';

export interface ManageOptions {
  /** The host's run directory. */
  readonly run: string;
  readonly ctrl: Ctrl;
  readonly store: Client;
  /** What makes a process that domain. */
  readonly environment: (domid: number, life: DomainLife) => Record<string, string>;
  /** For people, a line. */
  readonly print: (text: string) => void;
}

/** Before anything is taken up: two managers would take back what the other one is just making. Throws Fault: one is there, or no host is. */
export function claimHost(run: string): { release(): void } {
  const folder = join(run, 'toolstack');
  if (!existsSync(folder)) throw new Fault(`no host runs in ${run}`);
  const lock = lockFile(join(folder, 'lock'));
  if (lock === undefined) throw new Fault(`a toolstack serves ${run} already`);
  return lock;
}

/** Throws Fault: no host is up there. */
export function manage({ run, ctrl, store, environment, print }: ManageOptions): Manager {
  const services = readServices(run);
  const domidOf = (name: string): number | undefined => services.find((one) => one.name === name)?.domid;
  const storeDomid = domidOf('xenstored');
  if (storeDomid === undefined) throw new Fault(`the host in ${run} has no store`);
  const table = new Table();
  const hotplug = new Hotplug({
    store,
    backendOf: (kind) => domidOf(serviceOf[kind]),
    domidOf: async (name) => table.byName(name)?.record.domid ?? (name === 'Domain-0' ? 0 : domidOf(name)),
  });
  const room = new Room(store);
  const parts: Parts = {
    run,
    ctrl,
    domains: new Domains(ctrl),
    store,
    storeDomid,
    consoleDomid: domidOf('console'),
    services,
    hotplug,
    makeRoom: (domid) => room.make(domid, table.devices()),
    forgetRoom: (domid) => room.forget(domid),
    bulk: new Bulk(run),
    records: new Records(run),
    environment,
    log: logToOutput(),
    print,
  };
  return new Manager(parts, table);
}
