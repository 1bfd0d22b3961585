/**
 * What a domain manager works with: the hypervisor, the store, its records, and who serves what on this host. Made once; knows no domain.
 */
import type { Ctrl } from '../../osdep/ctrl.ts';
import type { Client } from '../../xenstored/client/index.ts';
import type { Bulk } from './bulk.ts';
import type { Domains } from './domains.ts';
import type { DomainLife } from './host.ts';
import type { Hotplug } from './hotplug.ts';
import type { Log } from './log.ts';
import type { Records } from './records.ts';
import type { ServiceDomain } from './servicesfile.ts';

export interface Parts {
  /** The host's run directory. */
  readonly run: string;
  readonly ctrl: Ctrl;
  readonly domains: Domains;
  readonly store: Client;
  readonly storeDomid: number;
  /** undefined: domains have no console. */
  readonly consoleDomid: number | undefined;
  /** The host's own stub domains. */
  readonly services: readonly ServiceDomain[];
  readonly hotplug: Hotplug;
  /** Until that domain has room in the store for what it is to serve. */
  makeRoom(domid: number): Promise<void>;
  /** That domain is no more. */
  forgetRoom(domid: number): void;
  readonly bulk: Bulk;
  readonly records: Records;
  /** What makes a process that domain. */
  environment(domid: number, life: DomainLife): Record<string, string>;
  readonly log: Log;
  /** For people, a line. */
  print(text: string): void;
}
