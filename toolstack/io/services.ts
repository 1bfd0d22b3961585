/**
 * The backends of a host: each in a domain of its own, which outlives its process, so that a killed one goes on with its guests' devices when it is started
 * again. Knows no device.
 */
import type { Client } from '../../xenstored/client/index.ts';
import type { HostFile, ServiceName } from '../core/host.ts';
import { defaultPolicy } from '../core/supervise.ts';
import type { Command } from './child.ts';
import type { Crew } from './crew.ts';
import type { Domain, Domains } from './domains.ts';

export interface ServicesOptions {
  readonly file: HostFile;
  readonly crew: Crew;
  /** The program, once its domain is there. */
  readonly command: (service: ServiceName, domid: number) => Command;
  /** Nothing is waited for after this. */
  readonly ending: AbortSignal;
}

/** What there is once the store serves. */
export interface Surroundings {
  readonly domains: Domains;
  readonly store: Client;
  readonly storeDomid: number;
}

export class Services {
  readonly #options: ServicesOptions;
  readonly #domains = new Map<ServiceName, Domain>();

  constructor(options: ServicesOptions) {
    this.#options = options;
  }

  async create(service: ServiceName, { domains, store, storeDomid }: Surroundings): Promise<void> {
    const { memoryMb } = this.#options.file[service]!;
    const wanted = { name: service, memoryMb, vcpus: 1 };
    const domain = await domains.create(store, storeDomid, wanted);
    domains.unpause(domain.domid);
    this.#domains.set(service, domain);
  }

  start(service: ServiceName, { domains, store, storeDomid }: Surroundings): Promise<void> {
    const { crew, command, ending } = this.#options;
    const domain = this.domain(service);
    return crew.start({
      name: service,
      policy: defaultPolicy,
      command: () => command(service, domain.domid),
      // Its port to the store went with the process.
      again: () => orEnd(domains.reconnect(store, storeDomid, domain), ending),
    });
  }

  domain(service: ServiceName): Domain {
    return this.#domains.get(service)!;
  }

  /** In the order in which they were made. */
  all(): Domain[] {
    return [...this.#domains.values()];
  }

  /** A domain that is to be forgotten. */
  take(service: ServiceName): Domain {
    const domain = this.domain(service);
    this.#domains.delete(service);
    return domain;
  }
}

/** Rejects at the signal, however long the rest takes. */
function orEnd(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => reject(new Error('the host is taken down'));
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', end));
  });
}
