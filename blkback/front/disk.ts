/**
 * A guest's disk in use: reads and writes of any number of sectors as requests on a ring, through pages that are granted once and used
 * again (feature-persistent). The backend is not trusted: its answers are looked up, and a ring that cannot be is the end. Knows no store.
 */
import type { Evtchn } from '../../osdep/evtchn.ts';
import type { Gntshr, SharedPages } from '../../osdep/gntshr.ts';
import { PAGE_SIZE } from '../../osdep/mapping.ts';
import { Front } from '../../osdep/ring/slotring.ts';
import type { VbdBackKeys } from '../../xenstored/xenbus/vbd.ts';
import { BlkifOp, BlkifStatus, DIRECT_SEGMENTS, SECTOR_BYTES } from '../core/blkif.ts';
import {
  decodeResponse,
  encodeIndirect,
  encodeRequest,
  encodeSegments,
  type FrontSegment,
  SLOT_BYTES,
} from './requests.ts';

const PAGE_SECTORS = PAGE_SIZE / SECTOR_BYTES;
/** Segments in a request: as many as one page describes would do, but no more than 1 MiB. */
const MOST_SEGMENTS = 256;
/** Granted for data; a backend like Linux's keeps 1056 of them mapped. */
const DATA_PAGES = 1024;

export interface FrontDiskOptions {
  readonly gntshr: Gntshr;
  readonly evtchn: Evtchn;
  readonly backendDomid: number;
  /** The ring is so many pages, a power of two up to 16. */
  readonly ringPages: number;
  /** The backend has broken the rules. */
  readonly onBroken: (reason: string) => void;
}

interface Waiting {
  readonly pages: readonly number[];
  readonly resolve: (status: number) => void;
}

export class FrontDisk {
  readonly port: number;
  readonly #options: FrontDiskOptions;
  readonly #ringPages: SharedPages;
  readonly #front: Front;
  readonly #data: SharedPages;
  readonly #freePages: number[];
  readonly #waiting = new Map<number, Waiting>();
  /** Requests that wait for pages, a slot, or the backend. */
  #queue: (() => boolean)[] = [];
  #nextId = 1;
  #properties: VbdBackKeys | undefined;
  #stopped = false;
  #whenIdle: (() => void) | undefined;

  /** Grants a ring and data pages, and allocates a port. Throws OsError. */
  constructor(options: FrontDiskOptions) {
    const { gntshr, evtchn, backendDomid, ringPages } = options;
    this.#options = options;
    this.#ringPages = gntshr.sharePages(backendDomid, ringPages, 'rw');
    this.#front = Front.init(this.#ringPages.bytes, SLOT_BYTES);
    this.#data = gntshr.sharePages(backendDomid, DATA_PAGES, 'rw');
    this.#freePages = this.#data.refs.map((_, page) => page).reverse();
    this.port = evtchn.bindUnboundPort(backendDomid);
  }

  get ringRefs(): readonly number[] {
    return this.#ringPages.refs;
  }

  /** What the backend says of the disk; undefined before it is connected. */
  get properties(): VbdBackKeys | undefined {
    return this.#properties;
  }

  /** Requests may flow from now on. */
  activate(properties: VbdBackKeys): void {
    this.#properties = properties;
    this.#drain();
  }

  get #chunkSectors(): number {
    const indirect = this.#properties?.maxIndirectSegments ?? 0;
    return Math.max(DIRECT_SEGMENTS, Math.min(MOST_SEGMENTS, indirect)) * PAGE_SECTORS;
  }

  /** `count` sectors of 512 bytes. Rejects if the disk could not. */
  async read(sector: number, count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count * SECTOR_BYTES);
    await Promise.all(
      chunks(sector, count, this.#chunkSectors).map(([at, sectors]) => {
        const start = (at - sector) * SECTOR_BYTES;
        return this.#transfer(BlkifOp.READ, at, bytes.subarray(start, start + sectors * SECTOR_BYTES));
      }),
    );
    return bytes;
  }

  /** Whole sectors; taken when the promise settles. */
  async write(sector: number, bytes: Uint8Array): Promise<void> {
    await Promise.all(
      chunks(sector, bytes.length / SECTOR_BYTES, this.#chunkSectors).map(([at, sectors]) => {
        const start = (at - sector) * SECTOR_BYTES;
        return this.#transfer(BlkifOp.WRITE, at, bytes.subarray(start, start + sectors * SECTOR_BYTES));
      }),
    );
  }

  /** What was written is on the medium. */
  flush(): Promise<void> {
    return this.#ask(BlkifOp.FLUSH_DISKCACHE, 0, 0, [], () => {});
  }

  discard(sector: number, sectors: number): Promise<void> {
    return this.#ask(BlkifOp.DISCARD, sector, sectors, [], () => {});
  }

  /** The port has fired, or may have. */
  event(): void {
    const slot = new Uint8Array(SLOT_BYTES);
    for (;;) {
      const there = this.#front.finalCheck();
      if (!there.ok) {
        this.#options.onBroken('the backend answers more than it was asked');
        return;
      }
      if (there.slots === 0) break;
      for (let i = 0; i < there.slots; i++) {
        this.#front.take(slot);
        const { id, status } = decodeResponse(slot);
        const waiting = this.#waiting.get(id);
        if (waiting === undefined) {
          this.#options.onBroken(`the backend answers ${id}, which was not asked`);
          return;
        }
        this.#waiting.delete(id);
        waiting.resolve(status);
        this.#freePages.push(...waiting.pages);
      }
    }
    this.#drain();
  }

  /** Sends nothing any more; settles when all is answered, or never will be. */
  quiesce(gone: AbortSignal): Promise<void> {
    this.#stopped = true;
    return new Promise((resolve) => {
      const end = (): void => {
        const lost = [...this.#waiting.values()];
        this.#waiting.clear();
        for (const { resolve } of lost) resolve(BlkifStatus.ERROR);
        const unsent = this.#queue;
        this.#queue = [];
        for (const start of unsent) start();
        resolve();
      };
      this.#whenIdle = end;
      if (gone.aborted) end();
      else gone.addEventListener('abort', end, { once: true });
      this.#drain();
    });
  }

  release(): void {
    this.#options.evtchn.unbind(this.port);
    this.#ringPages.unmap();
    this.#data.unmap();
  }

  #transfer(op: number, sector: number, bytes: Uint8Array): Promise<void> {
    const pages = Math.ceil(bytes.length / PAGE_SIZE);
    return this.#ask(op, sector, 0, this.#parts(bytes.length, pages), (given, when) => {
      for (const [index, page] of given.entries()) {
        const part = bytes.subarray(index * PAGE_SIZE, (index + 1) * PAGE_SIZE);
        const granted = this.#data.page(page);
        if (when === 'before' && op === BlkifOp.WRITE) granted.set(part);
        if (when === 'after' && op === BlkifOp.READ) part.set(granted.subarray(0, part.length));
      }
    });
  }

  #parts(length: number, pages: number): readonly number[] {
    return Array.from({ length: pages }, (_, i) => Math.min(PAGE_SIZE, length - i * PAGE_SIZE));
  }

  #ask(
    op: number,
    sector: number,
    sectors: number,
    parts: readonly number[],
    move: (pages: readonly number[], when: 'before' | 'after') => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (): void => reject(new Error(`the disk could not do ${op} at sector ${sector}`));
      this.#queue.push(() => {
        if (this.#stopped) {
          failed();
          return true;
        }
        const indirect = parts.length > DIRECT_SEGMENTS;
        const needed = parts.length + (indirect ? 1 : 0);
        if (this.#front.free === 0 || this.#freePages.length < needed) return false;
        const id = this.#nextId++;
        const pages = parts.map(() => this.#freePages.pop()!);
        move(pages, 'before');
        const segments = pages.map(
          (page, index): FrontSegment => ({
            gref: this.#data.refs[page]!,
            first: 0,
            last: parts[index]! / SECTOR_BYTES - 1,
          }),
        );
        const taken = [...pages];
        if (indirect) {
          const list = this.#freePages.pop()!;
          taken.push(list);
          encodeSegments(segments, this.#data.page(list));
          const gref = this.#data.refs[list]!;
          this.#front.request(encodeIndirect({ op, id, sector, count: segments.length, gref }));
        } else this.#front.request(encodeRequest({ op, id, sector, segments, sectors }));
        const done = (status: number): void => {
          if (status !== BlkifStatus.OKAY) failed();
          else {
            move(pages, 'after');
            resolve();
          }
        };
        this.#waiting.set(id, { pages: taken, resolve: done });
        return true;
      });
      this.#drain();
    });
  }

  /** Sends what can be sent, in order. */
  #drain(): void {
    if (this.#properties === undefined && !this.#stopped) return;
    let sent = 0;
    while (this.#queue.length > 0 && this.#queue[0]!()) {
      this.#queue.shift();
      sent++;
    }
    if (sent > 0 && this.#front.publish()) this.#options.evtchn.notify(this.port);
    if (this.#waiting.size === 0) this.#whenIdle?.();
  }
}

/** In pieces that a request takes. */
function chunks(sector: number, count: number, most: number): readonly (readonly [number, number])[] {
  return Array.from({ length: Math.ceil(count / most) }, (_, i) => {
    const at = i * most;
    return [sector + at, Math.min(most, count - at)] as const;
  });
}
