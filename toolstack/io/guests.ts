/**
 * The guests of a host: their domains, their devices, the process that each is, and their end, whichever way it comes. Knows no step of a plan.
 */
import { type Client, XenstoreError } from '../../xenstored/client/index.ts';
import type { DeviceName } from '../../xenstored/xenbus/path.ts';
import type { Device } from '../core/devices.ts';
import type { GuestFile } from '../core/host.ts';
import { programData } from '../core/programs.ts';
import { defaultPolicy } from '../core/supervise.ts';
import { CLEAN_EXIT, type Command } from './child.ts';
import type { Crew } from './crew.ts';
import { attach, detach, diskPath, type Ends, makeDisk } from './devices.ts';
import type { Domain } from './domains.ts';
import { reasonOf } from './fault.ts';
import type { Surroundings } from './services.ts';
import type { DomainState } from './state.ts';

export interface GuestsOptions {
  readonly crew: Crew;
  /** The host's run directory. */
  readonly run: string;
  /** The program, once its domain is there. */
  readonly command: (domid: number) => Command;
  /** A guest has come or gone. */
  readonly changed: () => void;
  /** For people, a line. */
  readonly print: (text: string) => void;
  /** The whole host is about to go, and need not be left in order. */
  readonly leaving: () => boolean;
}

interface Guest extends Domain {
  readonly devices: Map<Device, DeviceName>;
}

/** How a guest's end is told that was its own doing. */
const SHUT_DOWN = 'it shut down';

export class Guests {
  readonly #options: GuestsOptions;
  readonly #guests = new Map<string, Guest>();

  constructor(options: GuestsOptions) {
    this.#options = options;
  }

  async create(file: GuestFile, { domains, store, storeDomid }: Surroundings): Promise<void> {
    const domain = await domains.create(store, storeDomid, { ...file, data: programData(file) });
    this.#guests.set(file.name, { ...domain, devices: new Map() });
    this.#options.changed();
  }

  /** Orders a device from the domain that serves its kind. */
  async attach(name: string, device: Device, backendDomid: number, { store }: Surroundings): Promise<void> {
    const { domid, devices } = this.#guests.get(name)!;
    const path = device.kind === 'vbd' ? diskPath(this.#options.run, device.file) : '';
    if (device.kind === 'vbd') makeDisk(path, device);
    const ends = { backendDomid, frontendDomid: domid };
    if (device.kind === 'pvcalls') await introduce(store, ends);
    devices.set(device, await attach(store, device, ends, path));
    const address = device.kind === 'vif' ? device.address : undefined;
    if (address !== undefined)
      await store.write(`/local/domain/${domid}/vm-data/vif/${device.devid}/address`, address);
    this.#options.changed();
  }

  async detach(name: string, device: Device, { store }: Surroundings): Promise<void> {
    const { devices } = this.#guests.get(name) ?? {};
    const ordered = devices?.get(device);
    if (ordered === undefined) return;
    devices?.delete(device);
    if (!this.#options.leaving()) await detach(store, [ordered]);
  }

  async start(name: string, { domains }: Surroundings): Promise<void> {
    const { domid } = this.#guests.get(name)!;
    domains.unpause(domid);
    await this.#options.crew.start({
      name: guestProcess(name),
      policy: { ...defaultPolicy, onExit: 'gone' },
      command: () => this.#options.command(domid),
    });
  }

  async destroy(name: string, there: Surroundings): Promise<void> {
    const guest = this.#guests.get(name);
    if (guest === undefined) return;
    this.#guests.delete(name);
    there.domains.destroy(guest.domid);
    // A store that is about to go with the host need not forget first.
    if (!this.#options.leaving()) await this.#forget(guest, there);
    this.#options.changed();
  }

  /** A store that is killed in the middle may or may not have done what it did not answer: once more, then. */
  async #forget(guest: Guest, there: Surroundings): Promise<void> {
    const { domains, store } = there;
    try {
      await detach(store, [...guest.devices.values()]);
      await domains.forget(store, guest.domid, guest.uuid);
    } catch (error) {
      const again = error instanceof XenstoreError && error.code === 'ECONNRESET';
      if (!again || this.#options.leaving()) throw error;
      await this.#forget(guest, there);
    }
  }

  /** Each finds the ids of those it greets below its `vm-data/greets`. */
  async acquaint(files: readonly GuestFile[], { store }: Surroundings): Promise<void> {
    for (const { name, greets } of files) {
      const ids = greets.map((other) => this.#guests.get(other)!.domid).join(' ');
      await store.write(`/local/domain/${this.#guests.get(name)!.domid}/vm-data/greets`, ids);
    }
  }

  /** Takes away those that have shut themselves down; of one whose process ended the crew tells. */
  async reap(there: Surroundings): Promise<void> {
    const { crew } = this.#options;
    for (const { name, domid } of this.#guests.values()) {
      const process = guestProcess(name);
      if (this.#options.leaving() || !crew.isAlive(process) || !there.domains.isOver(domid)) continue;
      await crew.stop(process);
      await this.#gone(name, SHUT_DOWN, there);
    }
  }

  /** A process is over; false: it was no guest's. */
  ended(process: string, how: string, there: Surroundings): boolean {
    const guest = [...this.#guests.values()].find(({ name }) => guestProcess(name) === process);
    if (guest === undefined) return false;
    void this.#gone(guest.name, how === CLEAN_EXIT ? SHUT_DOWN : how, there);
    return true;
  }

  states(): DomainState[] {
    return [...this.#guests.values()].map(({ domid, name, memoryMb, devices }) => ({
      domid,
      name,
      memoryMb,
      role: 'guest',
      devices: [...devices.keys()],
    }));
  }

  async #gone(name: string, how: string, there: Surroundings): Promise<void> {
    const guest = this.#guests.get(name);
    if (guest === undefined) return;
    const { print, leaving } = this.#options;
    try {
      await this.destroy(name, there);
      print(`guest ${name} (domain ${guest.domid}) is gone: ${how}`);
    } catch (error) {
      // With the host goes its store, whatever a guest's end still wanted of it.
      if (!leaving()) print(`guest ${name} (domain ${guest.domid}): ${reasonOf(error)}`);
    }
  }
}

/** A backend that knows guests by name has to be able to read it, from the moment on in which it finds the device. */
async function introduce(store: Client, { backendDomid, frontendDomid }: Ends): Promise<void> {
  const path = `/local/domain/${frontendDomid}/name`;
  const perms = await store.getPerms(path);
  if (perms.some(({ domid }) => domid === backendDomid)) return;
  await store.setPerms(path, [...perms, `r${backendDomid}`]);
}

export function guestProcess(name: string): string {
  return `guest-${name}`;
}
