/**
 * Where the data rings of a device's sockets come from and go back to: granted once, with a port each, and used again, since granting costs more
 * than a short connection does. When memory or references run out, rings are smaller rather than none. All of them end with the device's
 * connection. Knows no socket.
 */
import { OsError } from '../../../osdep/errno.ts';
import type { Evtchn } from '../../../osdep/evtchn.ts';
import type { Gntshr } from '../../../osdep/gntshr.ts';
import { type Events, Ring } from './ring.ts';

/** Of rings that nobody has, in pages. */
const IDLE_PAGES = 4096;

export interface RingPoolOptions {
  readonly gntshr: Gntshr;
  readonly evtchn: Evtchn;
  readonly backendDomid: number;
  /** Who is told of the ports, and that they are no more. */
  readonly ports: Map<number, () => void>;
}

export class RingPool {
  readonly #options: RingPoolOptions;
  readonly #all = new Set<Ring>();
  /** By order. */
  readonly #idle: Ring[][] = [];
  /** Of these, and of those that the backend was told it may keep mapped: their references must not come to mean anything else. */
  #idlePages = 0;
  readonly #promised = new Set<Ring>();
  readonly #notify: (port: number) => void;

  constructor(options: RingPoolOptions) {
    this.#options = options;
    this.#notify = (port) => options.evtchn.notify(port);
  }

  /** A ring of this order, or of a smaller one down to `least`. A number: minus an error number. */
  take(order: number, least: number, events: Events): Ring | number {
    for (let tried = order; ; tried--) {
      const ring = this.#idle[tried]?.pop();
      if (ring !== undefined) this.#idlePages -= ring.pages.pages;
      const taken = ring ?? this.#make(tried);
      if (typeof taken !== 'number') {
        taken.reset(events);
        return taken;
      }
      if (tried <= least) return taken;
    }
  }

  /** Whether it will be used again when it is given back, from now on certainly: the backend may keep it mapped. */
  keep(ring: Ring): boolean {
    const { pages } = ring.pages;
    if (this.#promised.has(ring)) return true;
    if (!this.#all.has(ring) || this.#idlePages + pages > IDLE_PAGES) return false;
    this.#promised.add(ring);
    this.#idlePages += pages;
    return true;
  }

  /** The backend has let go of it. */
  give(ring: Ring): void {
    if (!this.#all.has(ring)) return;
    ring.onEvent = undefined;
    if (!this.keep(ring)) {
      this.#end(ring);
      return;
    }
    this.#promised.delete(ring);
    this.#idle[ring.order] ??= [];
    this.#idle[ring.order]!.push(ring);
  }

  /** Ends all grants and ports, whoever has them. */
  release(): void {
    for (const ring of [...this.#all]) this.#end(ring);
    this.#idle.length = 0;
    this.#promised.clear();
    this.#idlePages = 0;
  }

  #make(order: number): Ring | number {
    try {
      return this.#share(order);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      if (this.#idle.length === 0) return -error.errno;
    }
    // What lies idle in other sizes may be what is missing.
    for (const ring of this.#idle.flat()) {
      this.#end(ring);
      this.#idlePages -= ring.pages.pages;
    }
    this.#idle.length = 0;
    return this.#make(order);
  }

  #share(order: number): Ring {
    const { gntshr, evtchn, backendDomid, ports } = this.#options;
    const pages = gntshr.sharePages(backendDomid, 1 + (1 << order), 'rw');
    let port: number;
    try {
      port = evtchn.bindUnboundPort(backendDomid);
    } catch (error) {
      pages.unmap();
      throw error;
    }
    const ring = new Ring({ pages, order, port, notify: this.#notify });
    ports.set(port, () => ring.onEvent?.());
    this.#all.add(ring);
    return ring;
  }

  #end(ring: Ring): void {
    this.#all.delete(ring);
    ring.onEvent = undefined;
    this.#options.ports.delete(ring.port);
    this.#options.evtchn.unbind(ring.port);
    ring.pages.unmap();
  }
}
