/**
 * A small guest that serves: the archive on one of its disks by HTTP, on a port of whatever sockets it has (`vm-data/web/disk` and `port`). The files are
 * read from the disk whenever somebody asks for them. `data/web` in the store says how that goes. Node's own HTTP server does the protocol.
 */
import { createServer, type Server } from 'node:http';
import type { FrontDisk } from '../../blkback/front/disk.ts';
import type { Clock } from '../../osdep/clock.ts';
import type { Client } from '../../xenstored/client/index.ts';
import { type ArchivedFile, type Medium, readArchive } from './archive.ts';
import { answer } from './files.ts';

const SECTOR_BYTES = 512;
const PAUSE_MS = 1000;

/** Where its connections come from: until the result settles, which says why there will be no more. */
export type Listen = (port: number, server: Server, onListening: () => void) => Promise<string>;

export interface WebOptions {
  readonly store: Client;
  readonly clock: Clock;
  readonly print: (text: string) => void;
  readonly listen: Listen;
}

export class Web {
  /** It serves, or it is known why not. */
  readonly settled: Promise<void>;
  readonly #options: WebOptions;
  #settle = (): void => {};
  readonly #disks = new Map<number, FrontDisk>();
  #onDisk = (): void => {};
  #answered = 0;
  #failed = 0;
  #state = '';
  #told = '';

  constructor(options: WebOptions) {
    this.#options = options;
    this.settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /** A disk has come. */
  disk(devid: number, disk: FrontDisk): void {
    this.#disks.set(devid, disk);
    this.#onDisk();
  }

  /** For as long as the guest lives, if it was told to serve. */
  async run(): Promise<void> {
    const { store } = this.#options;
    const disk = await store.findText('vm-data/web/disk');
    const port = await store.findText('vm-data/web/port');
    if (disk === undefined || port === undefined) return;
    void this.#keepTelling();
    try {
      const medium = mediumOf(await this.#wait(Number(disk)));
      const files = await readArchive(medium);
      this.#options.print(`${files.size} files are on disk ${disk}`);
      await this.#serve(Number(port), medium, files);
    } catch (error) {
      this.#say(`serves nothing: disk ${disk}: ${error instanceof Error ? error.message : error}`);
    }
  }

  async #serve(port: number, medium: Medium, files: ReadonlyMap<string, ArchivedFile>): Promise<void> {
    const { listen, clock } = this.#options;
    const found = {
      find: (path: string) => files.get(path),
      read: ({ at }: ArchivedFile, from: number, to: number) => medium.read(at + from, to - from),
    };
    const server = createServer((request, response) => {
      answer(found, request, response).then(
        () => this.#answered++,
        // Whoever asked knows: his connection is over.
        () => this.#failed++,
      );
    });
    for (;;) {
      const why = await listen(port, server, () => this.#say(`serves ${files.size} files on port ${port}`));
      this.#say(`serves nothing: ${why}`);
      await new Promise<void>((resolve) => clock.after(PAUSE_MS, resolve));
    }
  }

  #say(state: string): void {
    if (this.#state !== state) this.#options.print(state);
    this.#state = state;
    this.#settle();
  }

  async #wait(devid: number): Promise<FrontDisk> {
    for (;;) {
      const disk = this.#disks.get(devid);
      if (disk !== undefined) return disk;
      await new Promise<void>((resolve) => {
        this.#onDisk = resolve;
      });
    }
  }

  /** Once a second, if there is anything new. */
  async #keepTelling(): Promise<void> {
    const { store, clock, print } = this.#options;
    for (;;) {
      const failed = this.#failed === 0 ? '' : `, ${this.#failed} broken off`;
      const text = this.#state === '' ? '' : `${this.#state}: ${this.#answered} requests${failed}`;
      if (text !== this.#told)
        await store.write('data/web', text).catch((error: unknown) => print(`data/web: ${error}`));
      this.#told = text;
      await new Promise<void>((resolve) => clock.after(PAUSE_MS, resolve));
    }
  }
}

function mediumOf(disk: FrontDisk): Medium {
  return {
    size: disk.properties!.sectors * SECTOR_BYTES,
    read: async (at, length) => {
      const first = Math.floor(at / SECTOR_BYTES);
      const bytes = await disk.read(first, Math.ceil((at + length) / SECTOR_BYTES) - first);
      return bytes.subarray(at - first * SECTOR_BYTES).subarray(0, length);
    },
  };
}
