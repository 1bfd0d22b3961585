/**
 * One disk of one guest, as the handshake's runner sees it: opened when it comes, connected with the guest's rings, let go. Knows the
 * store through its link alone.
 */
import { join } from 'node:path';
import type { Clock } from '../../osdep/clock.ts';
import type { Gnttab } from '../../osdep/gnttab.ts';
import type { Ports } from '../../osdep/ports.ts';
import type { BackendDevice, BackendLink, DeviceStatistics } from '../../xenstored/client/backend.ts';
import { lineOf } from '../../xenstored/client/devicenodes.ts';
import { RecordFile } from '../../xenstored/client/ringrecord.ts';
import type { Keys } from '../../xenstored/xenbus/backend-events.ts';
import { readVbdFront, type VbdFrontKeys, type VbdOffer } from '../../xenstored/xenbus/vbd.ts';
import { layoutOf } from '../core/blkif.ts';
import { vbdLimits } from '../core/limits.ts';
import { Vbd } from '../core/vbd.ts';
import { emptyDrive } from './emptydrive.ts';
import { GuestMemory } from './guestmemory.ts';
import type { Lookout } from './lookout.ts';
import type { MapBudget } from './mapbudget.ts';
import type { Medium, MediumOrder } from './medium.ts';
import { type DiskOrder, readDiskOrder } from './order.ts';
import type { PoolBudget } from './poolbudget.ts';
import { BackRing } from './ring.ts';
import { Runner } from './runner.ts';

const offer: VbdOffer = {
  maxRingPageOrder: 4,
  maxQueues: 4,
  protocol: process.arch === 'arm64' ? 'arm-abi' : 'x86_64-abi',
};
export const INDIRECT_SEGMENTS = 256;
const MEDIUM_KEYS: ReadonlySet<string> = new Set(['params', 'physical-device', 'physical-device-path']);

/** How long the predecessor's last transfers may take, and how often that is looked at. */
const LOCK_WAIT_MS = 30_000;
const LOCK_LOOK_MS = 20;

export interface DeviceOptions {
  readonly link: BackendLink;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly gnttab: Gnttab;
  readonly ports: Ports;
  readonly lookout: Lookout;
  readonly maps: MapBudget;
  readonly pools: PoolBudget;
  readonly recordDir: string;
  readonly openMedium: (order: MediumOrder) => Medium;
  readonly onClosed: () => void;
  /** One line. */
  readonly log: (line: string) => void;
}

interface Connection {
  readonly runner: Runner;
  readonly rings: readonly BackRing[];
  readonly records: RecordFile;
  /** Of the guest's pages that may be kept mapped. */
  readonly maps: number;
  /** For data that is copied. */
  readonly poolPages: number;
}

export class DiskDevice implements BackendDevice<VbdFrontKeys> {
  readonly features: Keys = {
    'max-ring-page-order': `${offer.maxRingPageOrder}`,
    'max-ring-pages': `${1 << offer.maxRingPageOrder}`,
    'multi-queue-max-queues': `${offer.maxQueues}`,
    'feature-max-indirect-segments': `${INDIRECT_SEGMENTS}`,
    'feature-persistent': '1',
  };
  readonly #options: DeviceOptions;
  #order: DiskOrder;
  #medium: Medium | undefined;
  #connection: Connection | undefined;
  #changing: Promise<void> = Promise.resolve();
  #gone = false;

  private constructor(options: DeviceOptions, order: DiskOrder) {
    this.#options = options;
    this.#order = order;
    if (!order.awaitsScript) this.#medium = this.#open(order);
  }

  static async open(options: DeviceOptions): Promise<DiskDevice> {
    return new DiskDevice(options, await options.link.read(readDiskOrder()));
  }

  readFront(): ReturnType<typeof readVbdFront> {
    return readVbdFront(offer);
  }

  connect(keys: VbdFrontKeys, how: 'fresh' | 'attach'): Promise<Keys> {
    // Not while a medium is changed, nor is one changed meanwhile.
    const connected = this.#changing.then(() => this.#connect(keys, how));
    this.#changing = connected.then(
      () => {},
      () => {},
    );
    return connected;
  }

  async #connect(keys: VbdFrontKeys, how: 'fresh' | 'attach'): Promise<Keys> {
    if (this.#medium === undefined) {
      this.#order = await this.#options.link.read(readDiskOrder());
      this.#medium = this.#open(this.#order);
    }
    await this.#lock(this.#medium);
    this.#medium.refresh();
    this.#connection = this.#attach(this.#medium, keys, how);
    const { log, link } = this.#options;
    const { name, disk } = this.#medium;
    const verb = how === 'fresh' ? 'connected' : 'taken over';
    log(`${link.path}: ${verb}: ${name}, ${disk.sectors} sectors, ${this.#connection.runner.manner}`);
    return { ...this.#propertiesOf(this.#medium), ...sizeOf(this.#medium) };
  }

  async disconnect(): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return;
    await connection.runner.close();
    this.#connection = undefined;
    this.#options.maps.giveBack(connection.maps);
    this.#options.pools.giveBack(connection.poolPages);
    release(connection.rings, connection.records);
  }

  async close(): Promise<void> {
    this.#gone = true;
    this.#options.onClosed();
    await this.#medium?.close();
  }

  /** Since it was connected; undefined: it is not. */
  get statistics(): DeviceStatistics | undefined {
    const runner = this.#connection?.runner;
    return runner && { path: this.#options.link.path, counters: runner.statistics };
  }

  tick(): void {
    this.#connection?.runner.tick();
  }

  /** Another `params`, or another device that the script has found, is another medium of a drive where that goes. */
  changed(key: string): void {
    if (!MEDIUM_KEYS.has(key)) return;
    this.#changing = this.#changing.then(() => this.#change()).catch(() => {});
  }

  async #change(): Promise<void> {
    const order = await this.#options.link.read(readDiskOrder());
    if (!order.changeable || order.awaitsScript || order.path === this.#order.path) return;
    this.#order = order;
    const medium = await this.#insertable(order);
    if (this.#gone) await medium.close();
    else if (this.#connection !== undefined) this.#connection.runner.insert(medium);
    else {
      await this.#medium?.close();
      this.#medium = medium;
    }
  }

  /** One that cannot be opened is none. */
  async #insertable(order: DiskOrder): Promise<Medium> {
    try {
      const medium = this.#open(order);
      await this.#lock(medium);
      return medium;
    } catch (error) {
      this.#options.log(`${this.#options.link.path}: drive left empty: ${lineOf(error)}`);
      return emptyDrive;
    }
  }

  #open(order: DiskOrder): Medium {
    return order.empty ? emptyDrive : this.#options.openMedium(order);
  }

  #attach(medium: Medium, keys: VbdFrontKeys, how: 'fresh' | 'attach'): Connection {
    const { link, gnttab, ports, recordDir, lookout, maps, pools } = this.#options;
    const { frontendDomid: domid, devid } = link.device;
    const layout = layoutOf(keys.protocol);
    const records = new RecordFile(join(recordDir, `${domid}-${devid}`), keys.queues.length, how);
    const rings: BackRing[] = [];
    let runner: Runner | undefined;
    let memory: GuestMemory | undefined;
    const wanted = keys.persistent ? vbdLimits.persistentGrants * keys.queues.length : 0;
    const reserved = maps.reserve(wanted);
    const poolPages = pools.reserve();
    try {
      for (const [index, { ringRefs, eventChannel }] of keys.queues.entries()) {
        const record = records.record(index);
        const onEvent = (): void => runner?.event(index);
        const guest = { domid, ringRefs, eventChannel, layout };
        rings.push(new BackRing({ ...guest, gnttab, ports, record, onEvent }));
      }
      const vbd = new Vbd({
        disk: medium.disk,
        protocol: keys.protocol,
        ringSizes: rings.map((ring) => ring.size),
        persistent: keys.persistent,
        indirectSegments: INDIRECT_SEGMENTS,
        answers: 'in order',
        limits: { poolPages, persistentGrants: Math.floor(reserved / keys.queues.length) },
      });
      memory = new GuestMemory({ gnttab, domid, poolPages, answers: vbd });
      runner = new Runner({
        vbd,
        medium,
        memory,
        rings,
        lookout,
        onBroken: (reason) => link.broken(reason),
        onChanged: (now) => {
          const before = this.#medium;
          this.#medium = now;
          if (before !== now) void before?.close();
          // The device may be on its way out.
          void link.announce(sizeOf(now)).catch(() => {});
        },
      });
    } catch (error) {
      memory?.close();
      maps.giveBack(reserved);
      pools.giveBack(poolPages);
      release(rings, records);
      throw error;
    }
    // The last one may have died between its answer and the bell.
    if (how === 'attach') for (const ring of rings) ring.notify();
    runner.schedule();
    return { runner, rings, records, maps: reserved, poolPages };
  }

  /** Nobody's transfers come after ours. */
  async #lock(medium: Medium): Promise<void> {
    const { clock } = this.#options;
    const until = clock.now() + LOCK_WAIT_MS;
    while (!medium.lock()) {
      if (clock.now() > until) throw new Error(`${medium.name} is in use`);
      await new Promise<void>((resolve) => clock.after(LOCK_LOOK_MS, resolve));
    }
  }

  #propertiesOf({ disk, discard }: Medium): Keys {
    const { vbd } = this.#order;
    const info = (vbd.deviceType === 'cdrom' ? 1 : 0) | (vbd.removable ? 2 : 0) | (disk.readOnly ? 4 : 0);
    const keys = {
      info: `${info}`,
      'feature-flush-cache': disk.flush ? '1' : '0',
      'feature-barrier': disk.barrier ? '1' : '0',
    };
    if (discard === undefined) return keys;
    return {
      ...keys,
      'feature-discard': '1',
      'discard-granularity': `${discard.granularity}`,
      'discard-alignment': `${discard.alignment}`,
      'discard-secure': disk.secureDiscard ? '1' : '0',
    };
  }
}

function sizeOf({ disk, physicalSectorSize }: Medium): Keys {
  return {
    sectors: `${disk.sectors}`,
    'sector-size': `${disk.sectorSize}`,
    'physical-sector-size': `${physicalSectorSize}`,
  };
}

function release(rings: readonly BackRing[], records: RecordFile): void {
  for (const ring of rings) ring.close();
  records.close();
}
