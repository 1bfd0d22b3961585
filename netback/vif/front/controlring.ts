/**
 * A guest's control ring: what it orders about the queue that a packet comes in by, one order at a time. Keys and tables go in a page that is granted for
 * reading. Knows no ports. (xen/include/public/io/netif.h)
 */
import type { Gntshr, SharedPages } from '../../../osdep/gntshr.ts';
import { Front } from '../../../osdep/ring/slotring.ts';
import {
  CTRL_SLOT_BYTES,
  CtrlRequest,
  CtrlResponse,
  CtrlStatus,
  CtrlType,
  HashAlgorithm,
  PAGE_BYTES,
  putU16,
  putU32,
  u16,
  u32,
} from '../core/netif.ts';

/** How packets are to be spread over queues (Toeplitz). */
export interface HashOrder {
  /** Bits by core's HashType. */
  readonly flags: number;
  /** At most 40 bytes. */
  readonly key: Uint8Array;
  /** The queue for each hash, modulo its length; none: hash modulo queues. */
  readonly mapping: readonly number[];
}

export interface Control {
  /** Bits by core's HashType that the backend knows. Rejects as `setHash`. */
  hashFlags(): Promise<number>;
  /** Entries that a mapping may have. */
  mappingSize(): Promise<number>;
  /** Rejects with one line where the backend refuses, or is gone. */
  setHash(order: HashOrder): Promise<void>;
  /** Leaves the choice to the backend again. */
  clearHash(): Promise<void>;
}

interface Waiting {
  readonly type: number;
  readonly data: readonly [number, number, number];
  readonly bytes: Uint8Array | undefined;
  readonly resolve: (data: number) => void;
  readonly reject: (error: Error) => void;
}

const statusNames: Readonly<Record<number, string>> = {
  [CtrlStatus.NOT_SUPPORTED]: 'not supported',
  [CtrlStatus.INVALID_PARAMETER]: 'invalid parameter',
  [CtrlStatus.BUFFER_OVERFLOW]: 'buffer overflow',
};

export interface ControlRingOptions {
  readonly gntshr: Gntshr;
  readonly backendDomid: number;
  readonly notify: () => void;
}

export class ControlRing implements Control {
  /** Packets may come with a hash from now on. */
  hashes = false;
  readonly #options: ControlRingOptions;
  readonly #ringPage: SharedPages;
  readonly #page: SharedPages;
  readonly #ring: Front;
  readonly #slot: Uint8Array = new Uint8Array(CTRL_SLOT_BYTES);
  readonly #waiting: Waiting[] = [];
  #asked: Waiting | undefined;
  #id = 0;
  #open = false;
  #gone = false;

  /** Throws OsError, and then has nothing. */
  constructor(options: ControlRingOptions) {
    const { gntshr, backendDomid } = options;
    this.#options = options;
    this.#ringPage = gntshr.sharePages(backendDomid, 1, 'rw');
    try {
      this.#page = gntshr.sharePages(backendDomid, 1, 'r');
    } catch (error) {
      this.#ringPage.unmap();
      throw error;
    }
    this.#ring = Front.init(this.#ringPage.bytes, CTRL_SLOT_BYTES);
  }

  get ringRef(): number {
    return this.#ringPage.refs[0]!;
  }

  hashFlags(): Promise<number> {
    return this.#whileHashing(() => this.#order(CtrlType.GET_HASH_FLAGS));
  }

  mappingSize(): Promise<number> {
    return this.#order(CtrlType.GET_HASH_MAPPING_SIZE);
  }

  async setHash({ flags, key, mapping }: HashOrder): Promise<void> {
    this.hashes = true;
    await this.#order(CtrlType.SET_HASH_ALGORITHM, [HashAlgorithm.TOEPLITZ, 0, 0]);
    await this.#order(CtrlType.SET_HASH_KEY, [this.#page.refs[0]!, key.length, 0], key);
    await this.#order(CtrlType.SET_HASH_MAPPING_SIZE, [mapping.length, 0, 0]);
    const table = new Uint8Array(mapping.length * 4);
    for (const [index, queue] of mapping.entries()) putU32(table, index * 4, queue);
    if (mapping.length > 0)
      await this.#order(CtrlType.SET_HASH_MAPPING, [this.#page.refs[0]!, mapping.length, 0], table);
    await this.#order(CtrlType.SET_HASH_FLAGS, [flags, 0, 0]);
  }

  async clearHash(): Promise<void> {
    await this.#order(CtrlType.SET_HASH_ALGORITHM, [HashAlgorithm.NONE, 0, 0]);
  }

  activate(): void {
    this.#open = true;
    this.#next();
  }

  /** The port has fired, or may have. A text: what the backend has done wrong. */
  event(): string | undefined {
    for (;;) {
      const there = this.#ring.finalCheck();
      if (!there.ok) return 'the backend answers more orders than it was given';
      if (there.slots === 0) return undefined;
      const failure = this.#answer();
      if (failure !== undefined) return failure;
    }
  }

  release(): void {
    this.#gone = true;
    const error = new Error('the interface is closed');
    for (const waiting of [this.#asked, ...this.#waiting.splice(0)]) waiting?.reject(error);
    this.#asked = undefined;
    this.#ringPage.unmap();
    this.#page.unmap();
  }

  /** Before there is an algorithm, a backend knows no flags. */
  async #whileHashing(ask: () => Promise<number>): Promise<number> {
    if (!this.hashes) await this.#order(CtrlType.SET_HASH_ALGORITHM, [HashAlgorithm.TOEPLITZ, 0, 0]);
    return ask();
  }

  #order(type: number, data: Waiting['data'] = [0, 0, 0], bytes?: Uint8Array): Promise<number> {
    if (this.#gone) return Promise.reject(new Error('the interface is closed'));
    if (bytes !== undefined && bytes.length > PAGE_BYTES)
      throw new RangeError('an order has at most a page of data');
    return new Promise((resolve, reject) => {
      this.#waiting.push({ type, data, bytes, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (!this.#open || this.#asked !== undefined) return;
    const asked = this.#waiting.shift();
    if (asked === undefined) return;
    this.#asked = asked;
    // What the last order had in it is nobody's business any more.
    this.#page.bytes.fill(0);
    if (asked.bytes !== undefined) this.#page.bytes.set(asked.bytes);
    this.#id = (this.#id + 1) & 0xffff;
    const slot = this.#slot;
    putU16(slot, CtrlRequest.ID, this.#id);
    putU16(slot, CtrlRequest.TYPE, asked.type);
    for (const [index, value] of asked.data.entries()) putU32(slot, CtrlRequest.DATA + index * 4, value);
    this.#ring.request(slot);
    if (this.#ring.publish()) this.#options.notify();
  }

  #answer(): string | undefined {
    const slot = this.#slot;
    this.#ring.take(slot);
    const asked = this.#asked;
    const [id, type] = [u16(slot, CtrlResponse.ID), u16(slot, CtrlResponse.TYPE)];
    const status = u32(slot, CtrlResponse.STATUS);
    if (asked === undefined || id !== this.#id || type !== asked.type)
      return `the backend answers order ${id} of type ${type}, which was not given`;
    this.#asked = undefined;
    if (status === CtrlStatus.SUCCESS) asked.resolve(u32(slot, CtrlResponse.DATA));
    else
      asked.reject(
        new Error(`the backend refuses order ${type}: ${statusNames[status] ?? `status ${status}`}`),
      );
    this.#next();
    return undefined;
  }
}
