/**
 * The page that a domain and the store share: two byte areas, four indices and the fields behind them (xen/docs/misc/xenstore-ring.txt). The
 * guest may change any of it at any moment: each value is read once per look and checked by whoever looks. Bytes are copied before the index
 * that speaks of them is stored, and after the one that speaks of them was loaded.
 */
import type { Mapping } from '../../osdep/mapping.ts';
import type { RingFields } from '../core/ports.ts';
import { Ring } from '../wire/ops.ts';

const MASK = Ring.AREA_BYTES - 1;
const NO_BYTES = new Uint8Array(0);

export class StorePage {
  readonly mapping: Mapping;
  #bytes: Uint8Array = NO_BYTES;
  #words: Int32Array = new Int32Array(0);

  constructor(mapping: Mapping) {
    this.mapping = mapping;
  }

  set reqCons(index: number) {
    this.#store(Ring.REQ_CONS, index);
  }

  get reqProd(): number {
    return this.#load(Ring.REQ_PROD);
  }

  get rspCons(): number {
    return this.#load(Ring.RSP_CONS);
  }

  set rspProd(index: number) {
    this.#store(Ring.RSP_PROD, index);
  }

  set features(bits: number) {
    this.#store(Ring.SERVER_FEATURES, bits);
  }

  get connection(): number {
    return this.#load(Ring.CONNECTION);
  }

  set connection(state: number) {
    this.#store(Ring.CONNECTION, state);
  }

  set error(error: number) {
    this.#store(Ring.ERROR, error);
  }

  /** 0 unless the hypervisor has filled it in. */
  get evtchnPort(): number {
    return this.#load(Ring.EVTCHN_PORT);
  }

  fields(): RingFields {
    return {
      reqCons: this.#load(Ring.REQ_CONS),
      reqProd: this.reqProd,
      rspCons: this.rspCons,
      rspProd: this.#load(Ring.RSP_PROD),
      connection: this.connection,
      error: this.#load(Ring.ERROR),
    };
  }

  /** All four indices to 0: both areas are empty. */
  reset(): void {
    for (const index of [Ring.REQ_CONS, Ring.REQ_PROD, Ring.RSP_CONS, Ring.RSP_PROD]) this.#store(index, 0);
  }

  /** Copies `length` request bytes from index `from` on; at most a whole area. */
  takeRequest(from: number, target: Uint8Array, length: number): void {
    const { bytes } = this;
    const start = from & MASK;
    const first = Math.min(length, Ring.AREA_BYTES - start);
    target.set(bytes.subarray(Ring.REQ + start, Ring.REQ + start + first), 0);
    if (first < length) target.set(bytes.subarray(Ring.REQ, Ring.REQ + length - first), first);
  }

  /** Copies `length` response bytes to index `from` on; at most a whole area. */
  putResponse(from: number, source: Uint8Array, length: number): void {
    const { bytes } = this;
    const start = from & MASK;
    const first = Math.min(length, Ring.AREA_BYTES - start);
    bytes.set(source.subarray(0, first), Ring.RSP + start);
    if (first < length) bytes.set(source.subarray(first, length), Ring.RSP);
  }

  unmap(): void {
    this.mapping.unmap();
  }

  /** The page as it is mapped now. */
  get bytes(): Uint8Array {
    const { bytes } = this.mapping;
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
    }
    return bytes;
  }

  #load(offset: number): number {
    void this.bytes;
    return Atomics.load(this.#words, offset >> 2) >>> 0;
  }

  #store(offset: number, value: number): void {
    void this.bytes;
    Atomics.store(this.#words, offset >> 2, value | 0);
  }
}
