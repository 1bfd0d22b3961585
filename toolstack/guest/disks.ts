/**
 * What a small guest does with its disks: twice a second a block is written, flushed, read back and compared, and `data/disk/<number>` in the store
 * says how many. A read-only disk is only read. Goes on for as long as the disk does. Mounts nothing.
 */
import type { FrontDisk } from '../../blkback/front/disk.ts';
import { blkfront } from '../../blkback/front/driver.ts';
import type { Platform } from '../../osdep/platform.ts';
import { type Driven, runFrontends } from '../../xenstored/client/frontend.ts';
import type { Client } from '../../xenstored/client/index.ts';

const SECTOR_BYTES = 512;
const BLOCK_BYTES = 4096;
const BLOCK_SECTORS = BLOCK_BYTES / SECTOR_BYTES;
const PAUSE_MS = 500;
/** One request of ours at a time, and what others read. */
const DATA_PAGES = 256;
/** VDISK_READONLY. */
const READ_ONLY = 4;

export interface DisksOptions {
  readonly platform: Platform;
  readonly store: Client;
  readonly print: (text: string) => void;
  /** Others may use it, too. */
  readonly onDisk: (devid: number, disk: FrontDisk) => void;
}

export async function driveDisks(options: DisksOptions): Promise<Driven> {
  const { platform, store, print } = options;
  const onDisk = (devid: number, disk: FrontDisk): void => {
    print(`disk ${devid} is connected`);
    options.onDisk(devid, disk);
    void new DiskUse(options, devid, disk).run();
  };
  return await runFrontends(blkfront({ platform, onDisk, dataPages: DATA_PAGES }), { store, log: print });
}

class DiskUse {
  readonly #options: DisksOptions;
  readonly #devid: number;
  readonly #disk: FrontDisk;
  #written = 0;
  #verified = 0;
  #failed = 0;

  constructor(options: DisksOptions, devid: number, disk: FrontDisk) {
    this.#options = options;
    this.#devid = devid;
    this.#disk = disk;
  }

  async run(): Promise<void> {
    const { clock } = this.#options.platform;
    for (let turn = 0; this.#disk.ended === undefined; turn++) {
      try {
        await this.#useBlock(turn);
      } catch (error) {
        this.#failed++;
        this.#options.print(`disk ${this.#devid}: ${error instanceof Error ? error.message : error}`);
      }
      await this.#tell();
      await new Promise<void>((resolve) => clock.after(PAUSE_MS, resolve));
    }
    await this.#tell();
  }

  async #tell(): Promise<void> {
    const failed = this.#failed === 0 ? '' : `, ${this.#failed} failed`;
    const ended = this.#disk.ended === undefined ? '' : `; no disk any more: ${this.#disk.ended}`;
    const text = `${this.#written} blocks written, ${this.#verified} verified${failed}${ended}`;
    try {
      await this.#options.store.write(`data/disk/${this.#devid}`, text);
    } catch (error) {
      this.#options.print(`data/disk/${this.#devid}: ${error}`);
    }
  }

  /** Another block each time, with other contents. */
  async #useBlock(turn: number): Promise<void> {
    const { sectors, info } = this.#disk.properties!;
    const blocks = Math.floor(sectors / BLOCK_SECTORS);
    if (blocks === 0) throw new Error('is smaller than a block');
    const sector = (turn % blocks) * BLOCK_SECTORS;
    if ((info & READ_ONLY) !== 0) {
      await this.#disk.read(sector, BLOCK_SECTORS);
      this.#verified++;
      return;
    }
    const bytes = this.#options.platform.random.bytes(BLOCK_BYTES);
    await this.#disk.write(sector, bytes);
    this.#written++;
    await this.#disk.flush();
    const found = await this.#disk.read(sector, BLOCK_SECTORS);
    if (found.some((byte, at) => byte !== bytes[at]))
      throw new Error(`block ${turn % blocks} is not what was written`);
    this.#verified++;
  }
}
