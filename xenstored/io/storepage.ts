/**
 * The page that a domain and the store share, as the daemon uses it: the ring's two directions, and the fields behind them. The guest may change
 * any of it at any moment, and the page goes away with its mapping, so a view is taken anew when that has changed.
 * (xen/docs/misc/xenstore-ring.txt)
 */
import type { Mapping } from '../../osdep/mapping.ts';
import { type RingEnd, type RingReader, type RingWriter, storeBackend } from '../../osdep/ring/bytering.ts';
import { Page } from '../../osdep/ring/page.ts';
import type { RingFields } from '../core/ports.ts';
import { Ring } from '../wire/ops.ts';

interface View {
  readonly bytes: Uint8Array;
  readonly page: Page;
  readonly ring: RingEnd;
}

export class StorePage {
  readonly mapping: Mapping;
  #view: View;

  constructor(mapping: Mapping) {
    this.mapping = mapping;
    this.#view = viewOf(mapping.bytes);
  }

  get requests(): RingReader {
    return this.#current.ring.reader;
  }

  get responses(): RingWriter {
    return this.#current.ring.writer;
  }

  set features(bits: number) {
    this.#current.page.store(Ring.SERVER_FEATURES, bits);
  }

  get connection(): number {
    return this.#current.page.load(Ring.CONNECTION);
  }

  set connection(state: number) {
    this.#current.page.store(Ring.CONNECTION, state);
  }

  set error(error: number) {
    this.#current.page.store(Ring.ERROR, error);
  }

  /** 0 unless the hypervisor has filled it in. */
  get evtchnPort(): number {
    return this.#current.page.load(Ring.EVTCHN_PORT);
  }

  fields(): RingFields {
    const { page } = this.#current;
    return {
      reqCons: page.load(Ring.REQ_CONS),
      reqProd: page.load(Ring.REQ_PROD),
      rspCons: page.load(Ring.RSP_CONS),
      rspProd: page.load(Ring.RSP_PROD),
      connection: page.load(Ring.CONNECTION),
      error: page.load(Ring.ERROR),
    };
  }

  /** All four indices to 0: both directions are empty. */
  reset(): void {
    const { page } = this.#current;
    for (const index of [Ring.REQ_CONS, Ring.REQ_PROD, Ring.RSP_CONS, Ring.RSP_PROD]) page.store(index, 0);
  }

  unmap(): void {
    this.mapping.unmap();
  }

  get #current(): View {
    const { bytes } = this.mapping;
    if (bytes !== this.#view.bytes) this.#view = viewOf(bytes);
    return this.#view;
  }
}

function viewOf(bytes: Uint8Array): View {
  return { bytes, page: new Page(bytes), ring: storeBackend(bytes) };
}
