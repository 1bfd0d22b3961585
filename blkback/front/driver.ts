/**
 * The disk driver of a simulated guest: what the handshake's runner (xenstored/client) asks of a driver, and the guest's disks by their
 * ports. A disk whose backend has closed and stays is connected again. Knows nothing of what is on a disk.
 */
import type { Evtchn } from '../../osdep/evtchn.ts';
import type { Gntshr } from '../../osdep/gntshr.ts';
import type { Platform } from '../../osdep/platform.ts';
import type { FrontendDevice, FrontendDriver, FrontendLink } from '../../xenstored/client/frontend.ts';
import type { Keys } from '../../xenstored/xenbus/backend-events.ts';
import type { KeyReader } from '../../xenstored/xenbus/value.ts';
import { type BlkifProtocol, readVbdBack } from '../../xenstored/xenbus/vbd.ts';
import { Connection } from './connection.ts';
import { FrontDisk } from './disk.ts';
import { Buffers } from './memory.ts';
import { Rows } from './rows.ts';

export interface BlkfrontOptions {
  readonly platform: Pick<Platform, 'openEvtchn' | 'openGntshr'>;
  /** A disk is connected: once for each, however often it is connected again. */
  readonly onDisk: (devid: number, disk: FrontDisk) => void;
  /** The largest ring, in pages, up to 16; the backend may offer less. Default: 1. */
  readonly ringPages?: number;
  /** The most rings; the backend may offer less. Default: 1. */
  readonly queues?: number;
  /** Whether the backend may keep pages mapped. Default: yes. */
  readonly persistent?: boolean;
  /** Segments of an indirect request, up to 256; 0: no indirect requests. Default: 256. */
  readonly indirectSegments?: number;
  /** Requests of a disk, sent or waiting. Default: 512. */
  readonly requests?: number;
  /** Pages of a disk for data that is copied on its way. Default: 1024; a backend like Linux's keeps 1056 of them mapped. */
  readonly dataPages?: number;
  /** The layout that requests have. Default: 64 bits. */
  readonly protocol?: BlkifProtocol;
}

/** Connections that brought not one answer, before a disk is given up. */
const FRUITLESS = 3;

export function blkfront(options: BlkfrontOptions): FrontendDriver {
  const gntshr = options.platform.openGntshr();
  const evtchn: Evtchn = options.platform.openEvtchn();
  const disks = new Map<number, FrontDisk>();
  evtchn.onReadable(() => {
    for (let port = evtchn.pending(); port !== undefined; port = evtchn.pending()) {
      evtchn.unmask(port);
      disks.get(port)?.event(port);
    }
  });
  const open = (link: FrontendLink): FrontendDevice =>
    new DiskDevice({ ...options, gntshr, evtchn, disks, link });
  return { kind: 'vbd', published: 3, open };
}

interface DeviceOptions extends BlkfrontOptions {
  readonly gntshr: Gntshr;
  readonly evtchn: Evtchn;
  readonly disks: Map<number, FrontDisk>;
  readonly link: FrontendLink;
}

class DiskDevice implements FrontendDevice {
  readonly #options: DeviceOptions;
  readonly #rows: Rows;
  readonly #buffers: Buffers = new Buffers();
  readonly #disk: FrontDisk;
  #connection: Connection | undefined;
  #shown = false;
  #wanted = true;
  #fruitless = 0;
  #answeredBefore = 0;

  constructor(options: DeviceOptions) {
    const { link, gntshr, indirectSegments = 256, requests = 512 } = options;
    this.#options = options;
    this.#rows = new Rows(requests);
    this.#disk = new FrontDisk({
      rows: this.#rows,
      indirectSegments,
      allocate: (bytes) => this.#buffers.allocate(gntshr, link.backendDomid, bytes),
      onBroken: (reason) => {
        this.#wanted = false;
        link.broken(reason);
      },
      onLeave: (how) => {
        this.#wanted = how === 'to come back';
        this.#fruitless = 0;
        if (this.#connection !== undefined) link.close();
        else if (this.#wanted) link.open();
      },
    });
  }

  async share(): Promise<Keys> {
    const { link, gntshr, evtchn, disks } = this.#options;
    const { ringPages = 1, queues = 1, persistent = true, dataPages = 1024 } = this.#options;
    const { protocol = 'x86_64-abi' } = this.#options;
    const { maxRingPageOrder, maxQueues } = await link.readBack(readVbdBack());
    const trusted = await link.read(readFlag('trusted', true));
    this.#connection = new Connection({
      gntshr,
      evtchn,
      backendDomid: link.backendDomid,
      protocol,
      queues: Math.min(queues, maxQueues),
      ringPageOrder: Math.min(maxRingPageOrder, Math.floor(Math.log2(ringPages))),
      persistent,
      dataPages,
      distrust: !trusted,
      rows: this.#rows,
      buffers: this.#buffers,
    });
    for (const port of this.#connection.ports) disks.set(port, this.#disk);
    return this.#connection.keys;
  }

  async activate(): Promise<void> {
    const { link, onDisk } = this.#options;
    this.#disk.connected(this.#connection!, await link.readBack(readVbdBack()));
    if (!this.#shown) onDisk(link.devid, this.#disk);
    this.#shown = true;
  }

  refresh(): void {
    const { link } = this.#options;
    void link.readBack(readVbdBack()).then(
      (properties) => this.#disk.changed(properties),
      (error: unknown) => link.broken(String(error)),
    );
  }

  quiesce(gone: AbortSignal): Promise<void> {
    return this.#disk.quiesce(gone);
  }

  async release(): Promise<void> {
    const { disks } = this.#options;
    for (const port of this.#connection?.ports ?? []) disks.delete(port);
    this.#disk.disconnected();
    this.#connection?.release();
    this.#connection = undefined;
    if (this.#wanted && (await this.#stays())) this.#options.link.open();
  }

  close(): void {
    this.#disk.end('the device is gone');
    this.#buffers.release();
  }

  /** The backend has closed, but its device is there to come back to, and it was of use so far. */
  async #stays(): Promise<boolean> {
    const { answered } = this.#disk;
    this.#fruitless = answered > this.#answeredBefore ? 0 : this.#fruitless + 1;
    this.#answeredBefore = answered;
    if (this.#fruitless > FRUITLESS) return false;
    return this.#options.link.readBack(readFlag('online', false)).catch(() => false);
  }
}

function* readFlag(key: string, otherwise: boolean): KeyReader<boolean> {
  const text = yield key;
  return { ok: true, value: text === undefined ? otherwise : text === '1' };
}
