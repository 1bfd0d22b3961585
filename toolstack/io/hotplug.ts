/**
 * Devices of domains, attached and taken away again through the store, as libxl does it. Knows no ring, and of who serves a device its domain alone.
 */
import { dirname } from 'node:path';
import type { Client, Store } from '../../xenstored/client/index.ts';
import { backendPath, type DeviceName, errorPath, frontendPath } from '../../xenstored/xenbus/path.ts';
import type { DeviceConfig, DomainType } from '../core/config.ts';
import { deviceNodes, deviceTrees, type PlacedDevice } from '../core/devicenodes.ts';
import { devidOf, labelOf } from '../core/deviceset.ts';
import type { DeviceEntry } from '../core/toolstack.ts';
import { AttachedDevices, deviceKinds, kindOf, numberOf } from './attached.ts';
import { removeAll, removeTree, writeAll } from './domains.ts';
import { Fault } from './fault.ts';

type Kind = DeviceConfig['kind'];

export interface HotplugOptions {
  readonly store: Client;
  /** Who serves a kind of device if its configuration names nobody; undefined: nobody does. */
  readonly backendOf: (kind: Kind) => number | undefined;
  /** The domain of this name. */
  readonly domidOf: (name: string) => Promise<number | undefined>;
  /** Who serves a device runs the script that its nodes name; left out: there are no scripts. */
  readonly scripts?: 'run by who serves';
  /** How long a backend may take to take a device on, or to let go of it; default: 10,000, as libxl's. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 10_000;

const nouns: Readonly<Record<Kind, string>> = { vbd: 'disks', vif: 'interfaces', pvcalls: 'sockets' };

/** XenbusState. */
const INIT_WAIT = 2;
const CLOSING = 5;
const CLOSED = 6;

export class Hotplug {
  readonly #store: Client;
  readonly #options: HotplugOptions;
  readonly #patienceMs: number;
  readonly #attached: AttachedDevices;

  constructor(options: HotplugOptions) {
    this.#store = options.store;
    this.#options = options;
    this.#attached = new AttachedDevices(options.store);
    this.#patienceMs = options.patienceMs ?? PATIENCE_MS;
  }

  /** Decides what is still open of a device that is filled in (core/deviceset.ts): who serves it, and how. Throws Fault. */
  async place(domid: number, domainType: DomainType, config: DeviceConfig): Promise<PlacedDevice> {
    const { kind } = config;
    const devid = devidOf(config);
    if (devid === undefined) throw new Fault('a device without a number');
    const against = this.#options.scripts === undefined ? unserved(config) : undefined;
    if (against !== undefined) throw new Fault(`${labelOf(kind, devid, vdevOf(config))}: ${against}`);
    const backendDomid = await this.#backend(config);
    return { name: { backendDomid, kind, frontendDomid: domid, devid }, config, domainType };
  }

  /** Orders a device and waits until its backend has taken it on. Throws Fault, in the backend's words where it has any; then nothing is left of it. */
  async attach(placed: PlacedDevice, signal?: AbortSignal): Promise<DeviceEntry> {
    await this.order(placed);
    try {
      await this.taken(placed, signal);
    } catch (error) {
      await this.detach(placed.name, 'force');
      throw error;
    }
    return await this.#attached.entry(placed.name);
  }

  /** Only its nodes, in one transaction. Throws Fault if there is such a device. */
  async order(placed: PlacedDevice): Promise<void> {
    const { name, config } = placed;
    const trees = deviceTrees(name);
    await this.#store.transaction(async (tx) => {
      const [there] = await Promise.all([tx.exists(trees.libxl), removeAll(tx, [trees.front, trees.back])]);
      if (there) throw new Fault(`${label(placed)} is there already`);
      if (config.kind === 'pvcalls') await introduce(tx, name);
      await writeAll(tx, deviceNodes(placed));
      if (config.kind === 'vif' && config.ip !== undefined) await tx.write(addressPath(name), config.ip);
    });
  }

  /** Until the backend has taken on what was ordered. Throws Fault. */
  async taken(placed: PlacedDevice, signal?: AbortSignal): Promise<void> {
    const { name } = placed;
    const back = backendPath(name);
    const state = await this.#until(
      back,
      (state, error) => error !== undefined || (state >= INIT_WAIT && state !== CLOSED) || state === 0,
      signal,
    );
    const said = await this.#attached.said(name);
    if (said !== undefined) throw new Fault(`${label(placed)}: ${said}`);
    const who = await this.#attached.nameOf(name.backendDomid);
    if (state === undefined)
      throw new Fault(`${label(placed)}: ${who} has not taken it on within ${this.#patienceMs / 1000} s`);
    if (state >= CLOSING || state === 0) throw new Fault(`${label(placed)}: ${who} did not want it`);
  }

  /**
   * Takes a device away; nothing of it is left in the store. `orderly`: its guest is asked to let go. One that does not loses an interface and
   * sockets all the same, and keeps a disk, as with xl: a Fault. `force`: it is not asked.
   */
  async detach(name: DeviceName, how: 'orderly' | 'force'): Promise<void> {
    const closed = await this.#close(name, how);
    if (!closed && how === 'orderly') {
      if (kindOf(name) === 'vbd')
        throw new Fault(
          `domain ${name.frontendDomid} does not let go of disk ${name.devid}: by force it has to`,
        );
      await this.#close(name, 'force');
    }
    await this.#forget(name);
  }

  /** Of a domain that is no more, or is about to be: at once, and its backends have their time to let go. */
  async detachAll(domid: number): Promise<void> {
    const names = await this.#attached.names(domid, deviceKinds);
    await Promise.all(names.map((name) => this.detach(name, 'force')));
  }

  /** What a domain has, in the order of kinds and then of numbers. */
  list(domid: number, kind?: Kind): Promise<DeviceEntry[]> {
    return this.#attached.list(domid, kind);
  }

  /** By its number, its name (`xvda`, `vif0`), or a vif's mac. Throws Fault. */
  find(domid: number, kind: Kind, text: string): Promise<DeviceEntry> {
    return this.#attached.find(domid, kind, text);
  }

  /** What either end has against a device of a domain: a line for each. */
  complaints(domid: number): Promise<string[]> {
    return this.#attached.complaints(domid);
  }

  async #backend({ kind, backend }: DeviceConfig): Promise<number> {
    if (backend === undefined) {
      const domid = this.#options.backendOf(kind);
      if (domid === undefined) throw new Fault(`nobody serves ${nouns[kind]} on this host`);
      return domid;
    }
    const domid = /^\d{1,5}$/.test(backend) ? Number(backend) : await this.#options.domidOf(backend);
    if (domid === undefined || !(await this.#store.exists(`/local/domain/${domid}`)))
      throw new Fault(`backend=${backend}: there is no such domain`);
    return domid;
  }

  /** Asks the backend to close. True: it has, or is not there. */
  async #close(name: DeviceName, how: 'orderly' | 'force'): Promise<boolean> {
    const back = backendPath(name);
    const there = await this.#store.transaction(async (tx) => {
      if (how === 'force') {
        await removeTree(tx, frontendPath(name));
        await removeEmpty(tx, dirname(frontendPath(name)));
      }
      const state = await tx.findText(`${back}/state`);
      if (state === undefined) return false;
      await tx.write(`${back}/online`, '0');
      if (Number(state) !== CLOSED) await tx.write(`${back}/state`, `${CLOSING}`);
      return true;
    });
    if (!there) return true;
    return (await this.#until(back, (state) => state === CLOSED || state === 0)) !== undefined;
  }

  async #forget(name: DeviceName): Promise<void> {
    const { front, back, libxl } = deviceTrees(name);
    await this.#store.transaction(async (tx) => {
      for (const tree of [front, back, libxl]) {
        await removeTree(tx, tree);
        await removeEmpty(tx, dirname(tree));
      }
      for (const end of [front, back]) {
        const error = dirname(errorPath(end));
        await removeTree(tx, error);
        // As many as there are of a path below `error`.
        for (let up = dirname(error); !up.endsWith('/error'); up = dirname(up)) await removeEmpty(tx, up);
      }
      const address = dirname(addressPath(name));
      if (name.kind === 'vif') {
        await removeTree(tx, address);
        await removeEmpty(tx, dirname(address));
      }
    });
  }

  /** The backend's state once it is what is waited for, 0 if there is none; undefined: not within libxl's patience. */
  async #until(
    back: string,
    enough: (state: number, error: string | undefined) => boolean,
    signal?: AbortSignal,
  ): Promise<number | undefined> {
    const limit = AbortSignal.timeout(this.#patienceMs);
    const ending = signal === undefined ? limit : AbortSignal.any([limit, signal]);
    const errors = this.#store.watch(errorPath(back), { signal: ending });
    const states = this.#store.watch(`${back}/state`, { signal: ending });
    try {
      return await firstOf([states, errors], async () => {
        const state = numberOf(await this.#store.findText(`${back}/state`), 0);
        const error = await this.#store.findText(errorPath(back));
        return enough(state, error) ? state : undefined;
      });
    } finally {
      await Promise.all([states.close(), errors.close()]);
      signal?.throwIfAborted();
    }
  }
}

/** What `look` answers, when any of the watches fires and it does; undefined: they have ended. */
async function firstOf<T>(
  watches: readonly { take(): Promise<unknown> }[],
  look: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const follow = async (watch: { take(): Promise<unknown> }): Promise<T | undefined> => {
    while ((await watch.take()) !== undefined) {
      const found = await look();
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return await Promise.race(watches.map(follow));
}

/** Where a guest of this project is told its interface's address. */
function addressPath({ frontendDomid, devid }: DeviceName): string {
  return `/local/domain/${frontendDomid}/vm-data/vif/${devid}/address`;
}

function label({ name, config }: PlacedDevice): string {
  return labelOf(config.kind, name.devid, vdevOf(config));
}

function vdevOf(config: DeviceConfig): string | undefined {
  return config.kind === 'vbd' ? config.vdev : undefined;
}

/** What no backend of this project does, and nobody else is there for on the simulator; undefined: it is served. */
function unserved(config: DeviceConfig): string | undefined {
  if (config.kind === 'pvcalls') return undefined;
  if (config.script !== undefined) return `script=${config.script}: there are no hotplug scripts here`;
  if (config.kind === 'vif')
    return config.type === 'ioemu' ? 'type=ioemu: there are no emulated interfaces' : undefined;
  const { format, backendtype } = config;
  if (format !== 'raw' && format !== 'empty') return `format=${format} is not served, raw is`;
  return backendtype === undefined || backendtype === 'phy'
    ? undefined
    : `backendtype=${backendtype} is not served, phy is`;
}

/** A backend that knows guests by name has to be able to read it, from the moment on in which it finds the device. */
async function introduce(tx: Store, { backendDomid, frontendDomid }: DeviceName): Promise<void> {
  const path = `/local/domain/${frontendDomid}/name`;
  const perms = await tx.getPerms(path);
  if (perms.some(({ domid }) => domid === backendDomid)) return;
  await tx.setPerms(path, [...perms, `r${backendDomid}`]);
}

/** A directory with nothing in it that says nothing either. */
async function removeEmpty(store: Store, path: string): Promise<void> {
  if ((await store.findText(path)) === '' && (await store.directory(path)).length === 0) await store.rm(path);
}
