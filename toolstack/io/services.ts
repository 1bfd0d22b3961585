/**
 * The stub domains of a host that serve its guests: each outlives its process, so that a killed one goes on with its guests' devices when it is started
 * again; and whether the machine has a way in to the guests' network. Knows no device.
 */
import { join } from 'node:path';
import { replaceFile } from '../../osdep/os/wholefile.ts';
import type { Client } from '../../xenstored/client/index.ts';
import type { HostFile, ServiceName } from '../core/host.ts';
import { reachedAt } from '../core/policy.ts';
import { defaultPolicy } from '../core/supervise.ts';
import { obstacle, type Uplink } from '../core/uplink.ts';
import type { Command } from './child.ts';
import type { Crew } from './crew.ts';
import type { Domain, Domains } from './domains.ts';
import { hasInterface, listenObstacle, readNetwork } from './network.ts';
import { blkback, consoled, netback, xensock } from './programs.ts';
import type { WebState } from './state.ts';

export interface ServicesOptions {
  readonly file: HostFile;
  /** The host's run directory. */
  readonly run: string;
  readonly crew: Crew;
  /** Of sockets, as its file is to be, as far as what it speaks of is known. */
  readonly policy: () => string;
  /** What makes a process that domain. */
  readonly environment: (domid: number) => Record<string, string>;
  /** For people, a line. */
  readonly print: (text: string) => void;
  /** The whole host is about to go, and need not be left in order. */
  readonly leaving: () => boolean;
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
  readonly #webs: WebState[] = [];
  #uplink: Uplink | undefined;
  #policy: string | undefined;

  constructor(options: ServicesOptions) {
    this.#options = options;
  }

  /** The machine's way in, if there is one. */
  get uplink(): Uplink | undefined {
    return this.#uplink;
  }

  /** What guests are going to serve, as far as this machine reaches it. */
  get webs(): readonly WebState[] {
    return this.#webs;
  }

  /** In the order in which they were made. */
  all(): Domain[] {
    return [...this.#domains.values()];
  }

  names(): ServiceName[] {
    return [...this.#domains.keys()];
  }

  async create(service: ServiceName, { domains, store, storeDomid }: Surroundings): Promise<void> {
    const { memoryMb } = this.#options.file[service]!;
    const domain = await domains.createService(store, storeDomid, { name: service, memoryMb });
    domains.unpause(domain.domid);
    this.#domains.set(service, domain);
  }

  async destroy(service: ServiceName, { domains, store }: Surroundings): Promise<void> {
    const { domid, uuid } = this.#domains.get(service)!;
    this.#domains.delete(service);
    domains.destroy(domid);
    // A store that is about to go with the host need not forget first.
    if (!this.#options.leaving()) await domains.forget(store, domid, uuid);
  }

  /** Until it serves. That there is no way in, though one was wanted, is told and no failure. */
  async start(service: ServiceName, there: Surroundings): Promise<void> {
    if (service === 'xensock') await this.#mapWebs();
    const wanted = service === 'netback' ? this.#options.file.netback?.uplink : undefined;
    const against = wanted && obstacle(wanted, readNetwork());
    if (wanted !== undefined && against === undefined) this.#uplink = wanted;
    await this.#startProcess(service, there);
    if (wanted === undefined) return;
    const missing = hasInterface(wanted.name) ? undefined : 'netback could not make it, see its log';
    const reason = against ?? missing;
    if (reason === undefined) return;
    this.#uplink = undefined;
    this.#options.print(`no way from this machine to its guests, who reach each other only: ${reason}`);
  }

  #startProcess(service: ServiceName, { domains, store, storeDomid }: Surroundings): Promise<void> {
    const { crew, ending } = this.#options;
    const domain = this.#domains.get(service)!;
    return crew.start({
      name: service,
      policy: defaultPolicy,
      command: () => this.#command(service, domain.domid),
      // Its port to the store went with the process.
      again: () => orEnd(domains.reconnect(store, storeDomid, domain), ending),
    });
  }

  #command(service: ServiceName, domid: number): Command {
    const { file, run, environment } = this.#options;
    switch (service) {
      case 'blkback':
        return blkback(run, file.blkback!, environment(domid));
      case 'netback':
        return netback(run, file.netback!, this.#uplink, environment(domid));
      case 'xensock':
        return xensock(run, file.xensock!, this.#policyFile, environment(domid));
      case 'console':
        return consoled(run, file.console!, environment(domid));
    }
  }

  get #policyFile(): string {
    return join(this.#options.run, 'xensock.json');
  }

  /** That an address is not to be had is told and no failure: the guest goes on trying. */
  async #mapWebs(): Promise<void> {
    const { file, print } = this.#options;
    for (const { name, serves } of file.guests) {
      const place = serves && reachedAt(file.xensock?.policy ?? {}, { name, port: serves.port });
      if (place === undefined) continue;
      const url = `http://${place}/`;
      const other = this.#webs.find((web) => web.url === url);
      const against = other ? `${place} is guest ${other.guest}'s` : await listenObstacle(place);
      if (against === undefined) this.#webs.push({ guest: name, url });
      else print(`${against}: map guest ${name}'s port to another in the host file`);
    }
    this.writePolicy();
  }

  /** For who serves sockets, once all of it is known. From then on it is whoever's it is who changes it. */
  writePolicy(): void {
    if (!this.#domains.has('xensock')) return;
    const text = this.#options.policy();
    if (text === this.#policy) return;
    this.#policy = text;
    replaceFile(this.#policyFile, text);
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
