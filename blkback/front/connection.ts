/**
 * A guest's disk as long as it is connected: rings with their ports, pages for data, requests put on the rings and answers taken off them.
 * The backend is not trusted: an answer has to be to a request that is on that ring, and of its kind; what it says is one of three things.
 * Knows no store, and not who wanted what.
 */
import type { Evtchn } from '../../osdep/evtchn.ts';
import type { Gntshr, SharedPages } from '../../osdep/gntshr.ts';
import { PAGE_SIZE } from '../../osdep/mapping.ts';
import { Front } from '../../osdep/ring/slotring.ts';
import type { Keys } from '../../xenstored/xenbus/backend-events.ts';
import type { BlkifProtocol } from '../../xenstored/xenbus/vbd.ts';
import {
  BlkifOp,
  BlkifStatus,
  DIRECT_SEGMENTS,
  layoutOf,
  SECTOR_BYTES,
  SEGMENT_BYTES,
} from '../core/blkif.ts';
import { NONE } from '../core/fifo.ts';
import { type Buffers, PagePool } from './memory.ts';
import { FrontOp, RequestWriter, responseId, responseOp, responseStatus, writeSegment } from './requests.ts';
import type { Rows } from './rows.ts';

const PAGE_SECTORS = PAGE_SIZE / SECTOR_BYTES;

export interface ConnectionOptions {
  readonly gntshr: Gntshr;
  readonly evtchn: Evtchn;
  readonly backendDomid: number;
  readonly protocol: BlkifProtocol;
  readonly queues: number;
  /** Of each ring, as a power of two. */
  readonly ringPageOrder: number;
  readonly persistent: boolean;
  /** For data, shared by all rings. */
  readonly dataPages: number;
  /** The backend is not to see, in a page that it fills, what it saw there before. */
  readonly distrust: boolean;
  readonly rows: Rows;
  readonly buffers: Buffers;
}

interface Ring {
  readonly pages: SharedPages;
  readonly front: Front;
  readonly port: number;
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #rings: Ring[] = [];
  readonly #pool: PagePool;
  readonly #writer: RequestWriter;
  readonly #answer: Uint8Array;
  /** Where the next request goes. */
  #turn = 0;

  /** Grants and allocates. Throws OsError. */
  constructor(options: ConnectionOptions) {
    const { gntshr, backendDomid, queues, dataPages, protocol } = options;
    this.#options = options;
    const layout = layoutOf(protocol);
    this.#writer = new RequestWriter(layout);
    this.#answer = new Uint8Array(layout.slotBytes);
    this.#pool = new PagePool(gntshr, backendDomid, dataPages);
    try {
      for (let i = 0; i < queues; i++) this.#rings.push(this.#ring(layout.slotBytes));
    } catch (error) {
      this.release();
      throw error;
    }
  }

  get ports(): readonly number[] {
    return this.#rings.map(({ port }) => port);
  }

  /** To be published. */
  get keys(): Keys {
    const { protocol, persistent, ringPageOrder } = this.#options;
    const several = this.#rings.length > 1;
    const keys: Record<string, string> = { protocol };
    if (persistent) keys['feature-persistent'] = '1';
    if (ringPageOrder > 0) keys['ring-page-order'] = `${ringPageOrder}`;
    if (several) keys['multi-queue-num-queues'] = `${this.#rings.length}`;
    for (const [index, { pages, port }] of this.#rings.entries()) {
      const at = several ? `queue-${index}/` : '';
      keys[`${at}event-channel`] = `${port}`;
      for (const [page, ref] of pages.refs.entries())
        keys[ringPageOrder > 0 ? `${at}ring-ref${page}` : `${at}ring-ref`] = `${ref}`;
    }
    return keys;
  }

  /** Puts a request on a ring. False: there is no slot or no memory for it now. */
  send(row: number): boolean {
    const ring = this.#freeRing();
    if (ring === NONE) return false;
    const { rows } = this.#options;
    const { front } = this.#rings[ring]!;
    const op = rows.op[row]! as FrontOp;
    const data = rows.data[row];
    if (op === FrontOp.DISCARD || op === FrontOp.SECURE_DISCARD)
      this.#writer.discard(op, row, rows.sector[row]!, rows.sectors[row]!);
    else if (data === undefined) this.#writer.direct(op, row, rows.sector[row]!, 0);
    else if (!this.#place(row, op, data)) return false;
    front.request(this.#writer.bytes);
    rows.sent(row, ring);
    return true;
  }

  /** Shows what was put, and rings where the backend wants it. */
  publish(): void {
    for (let i = 0; i < this.#rings.length; i++) {
      const { front, port } = this.#rings[i]!;
      if (front.publish()) this.#options.evtchn.notify(port);
    }
  }

  /**
   * Takes the answers there are on a ring, each to `settled` with its data in place. Answers whether there were any; a line if the backend
   * has broken the rules.
   */
  take(port: number, settled: (row: number, status: number) => void): boolean | string {
    const ring = this.#rings.findIndex((one) => one.port === port);
    if (ring === -1) return false;
    const { front } = this.#rings[ring]!;
    const there = front.finalCheck();
    if (!there.ok) return 'the backend answers more than it was asked';
    for (let i = 0; i < there.slots; i++) {
      front.take(this.#answer);
      const wrong = this.#answered(ring, settled);
      if (wrong !== undefined) return wrong;
    }
    return there.slots > 0;
  }

  /** Ends the grants and closes the ports. Rows that were on the rings are lost. */
  release(): void {
    const { evtchn } = this.#options;
    for (const { pages, port } of this.#rings.splice(0)) {
      evtchn.unbind(port);
      pages.unmap();
    }
    this.#pool.release();
  }

  #ring(slotBytes: number): Ring {
    const { gntshr, evtchn, backendDomid, ringPageOrder } = this.#options;
    const pages = gntshr.sharePages(backendDomid, 1 << ringPageOrder, 'rw');
    try {
      const port = evtchn.bindUnboundPort(backendDomid);
      return { pages, front: Front.init(pages.bytes, slotBytes), port };
    } catch (error) {
      pages.unmap();
      throw error;
    }
  }

  /** One with a free slot, the next in turn; NONE. */
  #freeRing(): number {
    const count = this.#rings.length;
    for (let i = 0; i < count; i++) {
      const ring = this.#turn;
      this.#turn = (ring + 1) % count;
      if (this.#rings[ring]!.front.free > 0) return ring;
    }
    return NONE;
  }

  /** Gives a request with data its pages, and writes it. */
  #place(row: number, op: FrontOp, data: Uint8Array): boolean {
    const { rows, buffers } = this.#options;
    const pool = this.#pool;
    const count = Math.ceil(data.length / PAGE_SIZE);
    const area = buffers.areaOf(data);
    const indirect = count > DIRECT_SEGMENTS;
    if (pool.room < (area === undefined ? count : 0) + (indirect ? 1 : 0)) return false;
    let chain = NONE;
    if (area === undefined) {
      // From the last to the first, since a page goes in front of its chain.
      for (let i = count - 1; i >= 0; i--) {
        chain = pool.take(chain);
        if (op !== FrontOp.READ) fill(pool.page(chain), data, i * PAGE_SIZE);
        else if (this.#options.distrust) pool.page(chain).fill(0);
      }
    }
    const first = area === undefined ? 0 : (data.byteOffset - area.bytes.byteOffset) / PAGE_SIZE;
    const list = indirect ? pool.take(chain) : NONE;
    if (indirect) this.#writer.indirect(op, row, rows.sector[row]!, count, pool.refs[list]!);
    else this.#writer.direct(op, row, rows.sector[row]!, count);
    for (let i = 0, page = chain; i < count; i++) {
      const gref = area === undefined ? pool.refs[page]! : area.refs[first + i]!;
      const sectors = Math.min(PAGE_SECTORS, data.length / SECTOR_BYTES - i * PAGE_SECTORS);
      if (indirect) writeSegment(pool.words(list), i * SEGMENT_BYTES, gref, sectors);
      else this.#writer.segment(i, gref, sectors);
      if (area === undefined) page = pool.after(page);
    }
    rows.page[row] = indirect ? list : chain;
    return true;
  }

  /** The answer in hand; a line if it is none. */
  #answered(ring: number, settled: (row: number, status: number) => void): string | undefined {
    const { rows } = this.#options;
    const row = responseId(this.#answer);
    if (row === undefined || rows.ring[row] !== ring)
      return `the backend answers what is not on ring ${ring}`;
    const asked = rows.op[row]! & 0xff;
    const op = responseOp(this.#answer);
    const data = rows.data[row];
    const long = data !== undefined && data.length > DIRECT_SEGMENTS * PAGE_SIZE;
    // For an indirect request Linux says what it asked for, others say INDIRECT.
    if (op !== asked && !(long && op === BlkifOp.INDIRECT))
      return `the backend answers operation ${asked} as ${op}`;
    const said = responseStatus(this.#answer);
    const fine = said === BlkifStatus.OKAY || said === BlkifStatus.EOPNOTSUPP;
    const status = fine ? said : BlkifStatus.ERROR;
    if (status === BlkifStatus.OKAY && asked === FrontOp.READ && data !== undefined)
      this.#fetch(row, data, long);
    this.#pool.give(rows.page[row]!);
    rows.page[row] = NONE;
    settled(row, status);
    return undefined;
  }

  /** What was read, into the memory that it was read for. */
  #fetch(row: number, data: Uint8Array, long: boolean): void {
    const pool = this.#pool;
    const { rows } = this.#options;
    let page = rows.page[row]!;
    if (long) page = pool.after(page);
    for (let at = 0; page !== NONE; at += PAGE_SIZE, page = pool.after(page)) {
      const granted = pool.page(page);
      const length = Math.min(PAGE_SIZE, data.length - at);
      data.set(length === PAGE_SIZE ? granted : granted.subarray(0, length), at);
    }
  }
}

/** A page of some data, which may end within it. */
function fill(page: Uint8Array, data: Uint8Array, at: number): void {
  if (data.length <= PAGE_SIZE) page.set(data);
  else page.set(data.subarray(at, at + PAGE_SIZE));
}
