/**
 * A guest's disk in use. Requests by `submit`, with a tag each and one callback for all, where every allocation counts; or reads and writes
 * of any length as promises. While there is no connection requests wait, and what the last one left unanswered is sent again on the next.
 * The backend is not trusted; one that breaks the rules ends the disk. Knows no store.
 */
import type { VbdBackKeys } from '../../xenstored/xenbus/vbd.ts';
import { BlkifStatus, DIRECT_SEGMENTS, SECTOR_BYTES } from '../core/blkif.ts';
import { NONE } from '../core/fifo.ts';
import type { Connection } from './connection.ts';
import { FrontOp } from './requests.ts';
import type { Rows, Settle } from './rows.ts';

const PAGE_BYTES = 4096;
/** As much as one page of segments describes would do, but no more than 1 MiB. */
const MOST_SEGMENTS = 256;
/** Looks at a ring before other things have their turn. */
const ROUNDS = 8;

export interface FrontDiskOptions {
  readonly rows: Rows;
  /** Segments of an indirect request, at most; 0: none. */
  readonly indirectSegments: number;
  /** A buffer that the backend may read and write. */
  readonly allocate: (bytes: number) => Uint8Array;
  /** The backend has broken the rules. */
  readonly onBroken: (reason: string) => void;
  /** The guest lets go of its device, and takes it again or not. */
  readonly onLeave: (how: 'for good' | 'to come back') => void;
}

export class FrontDisk {
  readonly #options: FrontDiskOptions;
  readonly #rows: Rows;
  #connection: Connection | undefined;
  #properties: VbdBackKeys | undefined;
  #onDone: (tag: number, status: number) => void = () => {};
  #onChange: (properties: VbdBackKeys) => void = () => {};
  /** Promises' requests for which there is no row yet. */
  #waiting: (() => void)[] = [];
  #sending = false;
  #whenIdle: (() => void) | undefined;
  #ended: string | undefined;
  #answered = 0;
  /** The backend has answered that it cannot, whatever it offers. */
  #refused = new Set<number>();

  constructor(options: FrontDiskOptions) {
    this.#options = options;
    this.#rows = options.rows;
  }

  /** What the backend says of the disk. */
  get properties(): VbdBackKeys | undefined {
    return this.#properties;
  }

  /** Why there is no disk any more. */
  get ended(): string | undefined {
    return this.#ended;
  }

  /** Answers so far. */
  get answered(): number {
    return this.#answered;
  }

  /** Requests that `submit` takes now. */
  get room(): number {
    return this.#ended === undefined ? this.#rows.room : 0;
  }

  /** Bytes of one request, at most. */
  get maxBytes(): number {
    const offered = this.#properties?.maxIndirectSegments ?? 0;
    const indirect = Math.min(MOST_SEGMENTS, this.#options.indirectSegments, offered);
    return Math.max(DIRECT_SEGMENTS, indirect) * PAGE_BYTES;
  }

  /** Who is told of each request of `submit`: its tag and its BlkifStatus. May submit further ones. */
  set onDone(callback: (tag: number, status: number) => void) {
    this.#onDone = callback;
  }

  /** Who is told that the disk has another size, or another medium. */
  set onChange(callback: (properties: VbdBackKeys) => void) {
    this.#onChange = callback;
  }

  /** Memory for data that is not copied on its way: whole pages of it, from a page's start. It stays until the disk ends. */
  allocate(bytes: number): Uint8Array {
    return this.#options.allocate(bytes);
  }

  /**
   * A request at a sector of 512 bytes. `data`: whole sectors, at most `maxBytes`, left alone until it is done; of a discard the number of
   * sectors; of a flush 0. Sent with the next `kick`, or when others are answered. False: too many are under way, see `room`.
   */
  submit(op: FrontOp, sector: number, data: Uint8Array | number, tag: number): boolean {
    return this.#add(op, sector, data, tag, undefined);
  }

  /** Sends what can be sent. */
  kick(): void {
    const connection = this.#connection;
    if (connection === undefined || !this.#sending) return;
    const { unsent } = this.#rows;
    let sent = 0;
    for (let row = unsent.first; row !== NONE; row = unsent.first) {
      // Off the queue first: a row has one place to be.
      unsent.shift();
      if (!connection.send(row)) {
        unsent.unshift(row);
        break;
      }
      sent++;
    }
    if (sent > 0) connection.publish();
  }

  /** `count` sectors of 512 bytes. Rejects if the disk could not. */
  async read(sector: number, count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count * SECTOR_BYTES);
    await this.#pieces(FrontOp.READ, sector, bytes);
    return bytes;
  }

  /** Whole sectors; to be left alone until the promise settles. */
  async write(sector: number, bytes: Uint8Array): Promise<void> {
    await this.#pieces(FrontOp.WRITE, sector, bytes);
  }

  /** The same, between all writes before it and all after it. At most `maxBytes`. */
  writeBarrier(sector: number, bytes: Uint8Array): Promise<void> {
    return this.#ask(FrontOp.WRITE_BARRIER, sector, bytes.length === 0 ? 0 : bytes);
  }

  /** What was written is on the medium; at once where the backend has no cache to speak of. */
  async flush(): Promise<void> {
    const { flush = false, barrier = false } = this.#properties ?? {};
    for (const [op, offered] of [
      [FrontOp.FLUSH, flush],
      [FrontOp.WRITE_BARRIER, barrier],
    ] as const) {
      if (!offered || this.#refused.has(op)) continue;
      const status = await this.#status(op, 0, 0);
      if (status === BlkifStatus.OKAY) return;
      if (status === BlkifStatus.ERROR) throw failure(op, 0, status);
      this.#refused.add(op);
    }
  }

  /** Sectors whose content is no longer wanted. `secure`: nor to be found any more, where the backend can. */
  discard(sector: number, sectors: number, how: 'plain' | 'secure' = 'plain'): Promise<void> {
    return this.#ask(how === 'secure' ? FrontOp.SECURE_DISCARD : FrontOp.DISCARD, sector, sectors);
  }

  /** Goes through the whole handshake again, as after a resume. Requests wait, and none is lost. */
  reconnect(): void {
    this.#options.onLeave('to come back');
  }

  /** Wants the disk no more: what is under way is finished first. */
  leave(): void {
    this.#options.onLeave('for good');
  }

  /** For the driver: there is a connection, and requests flow. */
  connected(connection: Connection, properties: VbdBackKeys): void {
    this.#connection = connection;
    this.#sending = true;
    this.#properties = properties;
    this.kick();
  }

  /** For the driver: the backend says something else of the disk. */
  changed(properties: VbdBackKeys): void {
    this.#properties = properties;
    this.#onChange(properties);
  }

  /** For the driver: a port of the connection has fired. */
  event(port: number): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    let more: boolean | string = true;
    for (let round = 0; round < ROUNDS && more === true; round++) {
      more = connection.take(port, this.#settled);
      this.kick();
    }
    if (this.#rows.underWay === 0) this.#whenIdle?.();
    if (typeof more === 'string') {
      this.#options.onBroken(more);
      this.end(more);
    } else if (more) setImmediate(() => this.event(port));
  }

  /** For the driver: sends nothing any more; settles when all that was sent is answered, or never will be. */
  quiesce(gone: AbortSignal): Promise<void> {
    this.#sending = false;
    return new Promise((resolve) => {
      this.#whenIdle = resolve;
      gone.addEventListener('abort', () => resolve(), { once: true });
      if (gone.aborted || this.#rows.underWay === 0) resolve();
    });
  }

  /** For the driver: the connection is no more. */
  disconnected(): void {
    this.#connection = undefined;
    this.#whenIdle = undefined;
    this.#rows.lost();
  }

  /** For the driver: there will be no other. What is not answered has failed. */
  end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#sending = false;
    for (const row of this.#rows.takeAll()) this.#settled(row, BlkifStatus.ERROR);
    for (const start of this.#waiting.splice(0)) start();
    this.#whenIdle?.();
  }

  readonly #settled = (row: number, status: number): void => {
    const settle = this.#rows.settle[row];
    const tag = this.#rows.tag[row]!;
    this.#rows.give(row);
    this.#answered++;
    if (settle === undefined) this.#onDone(tag, status);
    else settle(status);
    if (this.#waiting.length > 0) this.#waiting.shift()!();
  };

  #add(
    op: FrontOp,
    sector: number,
    data: Uint8Array | number,
    tag: number,
    settle: Settle | undefined,
  ): boolean {
    if (this.room === 0) return false;
    if (typeof data !== 'number' && !this.#fits(data.length))
      throw new RangeError(
        `${data.length} bytes are no request: whole sectors, 1 to ${this.maxBytes / SECTOR_BYTES}`,
      );
    this.#rows.add(op, sector, data, tag, settle);
    return true;
  }

  #fits(bytes: number): boolean {
    return bytes > 0 && bytes % SECTOR_BYTES === 0 && bytes <= this.maxBytes;
  }

  async #pieces(op: FrontOp, sector: number, bytes: Uint8Array): Promise<void> {
    const asked: Promise<void>[] = [];
    for (let at = 0; at < bytes.length; at += this.maxBytes)
      asked.push(this.#ask(op, sector + at / SECTOR_BYTES, bytes.subarray(at, at + this.maxBytes)));
    await Promise.all(asked);
  }

  async #ask(op: FrontOp, sector: number, data: Uint8Array | number): Promise<void> {
    const status = await this.#status(op, sector, data);
    if (status !== BlkifStatus.OKAY) throw failure(op, sector, status);
  }

  #status(op: FrontOp, sector: number, data: Uint8Array | number): Promise<number> {
    return new Promise((resolve) => {
      const start = (): void => {
        if (this.#ended !== undefined) resolve(BlkifStatus.ERROR);
        else if (this.#add(op, sector, data, 0, resolve)) this.kick();
        else this.#waiting.push(start);
      };
      start();
    });
  }
}

const NAMES: Readonly<Record<FrontOp, string>> = {
  [FrontOp.READ]: 'read',
  [FrontOp.WRITE]: 'write',
  [FrontOp.WRITE_BARRIER]: 'write with a barrier',
  [FrontOp.FLUSH]: 'flush',
  [FrontOp.DISCARD]: 'discard',
  [FrontOp.SECURE_DISCARD]: 'discard securely',
};

function failure(op: FrontOp, sector: number, status: number): Error {
  const why = status === BlkifStatus.EOPNOTSUPP ? ': it does not support that' : '';
  return new Error(`the disk could not ${NAMES[op]} at sector ${sector}${why}`);
}
