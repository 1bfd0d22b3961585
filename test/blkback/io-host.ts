/**
 * A whole host for disks in this process: a store, a control domain that serves disks from files, guests with a driver of ours, a toolstack that
 * attaches them. On a simulated machine that goes by itself.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RawDisks } from '../../blkback/disk/raw.ts';
import type { FrontDisk } from '../../blkback/front/disk.ts';
import { type BlkfrontOptions, blkfront } from '../../blkback/front/driver.ts';
import { MapBudget } from '../../blkback/io/mapbudget.ts';
import type { Medium } from '../../blkback/io/medium.ts';
import { type Disks, serveDisks } from '../../blkback/io/service.ts';
import type { SimPlatform } from '../../osdep/sim/platform.ts';
import { type Served, serveBackends } from '../../xenstored/client/backend.ts';
import { type Driven, runFrontends } from '../../xenstored/client/frontend.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { SimHost } from '../conformance/simhost.ts';
import { type BareGuest, bootBareGuest, writeDevice } from '../xenstored/client-guest.ts';

export interface DiskGuest {
  readonly domid: number;
  readonly platform: SimPlatform;
  readonly store: Client;
  /** Resolves when the disk is connected. */
  disk(devid: number): Promise<FrontDisk>;
  /** Its kernel stops, in the middle of whatever it is at. */
  halt(): Promise<void>;
}

/** Writes a disk's nodes, as libxl does. */
export async function attachDisk(
  dom0: Client,
  domid: number,
  devid: number,
  keys: Readonly<Record<string, string>>,
  backendDomid = 0,
): Promise<void> {
  await writeDevice(dom0, {
    device: { backendDomid, kind: 'vbd', frontendDomid: domid, devid },
    backend: { mode: 'w', type: 'phy', dev: 'xvda', removable: '0', 'device-type': 'disk', ...keys },
    frontend: { 'virtual-device': `${devid}`, 'device-type': 'disk' },
    frontendReadOnly: {},
  });
}

/** Settles when a node says what is wanted. */
export async function until(
  store: Client,
  path: string,
  wanted: (text: string | undefined) => boolean,
): Promise<string | undefined> {
  const watch = store.watch(path);
  for await (const _ of watch) {
    const text = await store.findText(path);
    if (wanted(text)) {
      await watch.close();
      return text;
    }
  }
  throw new Error(`${path} is no longer watched`);
}

export class DiskHost {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'blkback-'));
  readonly sim: SimHost;
  readonly dom0: Client;
  readonly log: string[] = [];
  /** What is made of each medium that is opened. */
  wrap: (medium: Medium) => Medium = (medium) => medium;
  /** Of guests' pages that are kept mapped. */
  maps: MapBudget = new MapBudget();
  readonly #media = new RawDisks();
  readonly #stores: Client[] = [];
  readonly #drivers: Driven[] = [];
  #backend: { readonly disks: Disks; readonly served: Served } | undefined;

  private constructor(sim: SimHost, dom0: Client) {
    this.sim = sim;
    this.dom0 = dom0;
  }

  static async start(): Promise<DiskHost> {
    const sim = await SimHost.start(['--database', 'memory']);
    const host = new DiskHost(sim, await connect({ path: sim.socketPath }));
    await host.startBackend();
    return host;
  }

  async startBackend(): Promise<void> {
    const platform = this.sim.machine.platformFor(0);
    const log = (line: string): void => void this.log.push(line);
    const disks = serveDisks({
      log,
      platform,
      recordDir: join(this.directory, 'records'),
      openMedium: (order) => this.wrap(this.#media.open(order)),
      maps: this.maps,
    });
    const served = await serveBackends(disks.service, { store: this.dom0, domid: 0, log });
    this.#backend = { disks, served };
  }

  async stopBackend(): Promise<void> {
    await this.#backend?.served.close();
    this.#backend?.disks.close();
    this.#backend = undefined;
  }

  /** What a disk of a guest's has counted. */
  counted(domid: number, devid: number): Readonly<Record<string, number>> {
    const path = `/local/domain/0/backend/vbd/${domid}/${devid}`;
    const found = Array.from(this.#backend?.disks.service.statistics?.() ?? []).find(
      (one) => one.path === path,
    );
    if (found === undefined) throw new Error(`${path} counts nothing`);
    return found.counters;
  }

  file(name: string, sectors: number): string {
    const path = join(this.directory, name);
    writeFileSync(path, Buffer.alloc(sectors * 512));
    return path;
  }

  /** What is on a disk. */
  content(name: string): Buffer {
    return readFileSync(join(this.directory, name));
  }

  /** A guest without a driver. */
  async bareGuest(): Promise<BareGuest> {
    const guest = await bootBareGuest(this.sim, this.dom0);
    this.#stores.push(guest.store);
    return guest;
  }

  async guest(options: Partial<BlkfrontOptions> = {}): Promise<DiskGuest> {
    return this.driven(await this.bareGuest(), options);
  }

  /** A guest's driver, started: for the first time, or by the next kernel after a kexec. */
  async driven(
    { domid, platform, store }: Omit<DiskGuest, 'disk' | 'halt'>,
    options: Partial<BlkfrontOptions> = {},
  ): Promise<DiskGuest> {
    const disks = new Map<number, FrontDisk>();
    const waiting = new Map<number, (disk: FrontDisk) => void>();
    const onDisk = (devid: number, disk: FrontDisk): void => {
      disks.set(devid, disk);
      waiting.get(devid)?.(disk);
    };
    const driven = await runFrontends(blkfront({ platform, onDisk, ...options }), { store });
    this.#drivers.push(driven);
    return {
      domid,
      platform,
      store,
      halt: async () => {
        await driven.close();
        this.#drivers.splice(this.#drivers.indexOf(driven), 1);
      },
      disk: async (devid) =>
        disks.get(devid) ?? (await new Promise((resolve) => waiting.set(devid, resolve))),
    };
  }

  async stop(): Promise<void> {
    for (const driven of this.#drivers) await driven.close();
    for (const store of this.#stores) await store.close();
    await this.stopBackend();
    await this.dom0.close();
    await this.sim.stop();
    this.#media.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
