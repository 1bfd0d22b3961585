/**
 * A TAP device plugged into a network of ours as its way out: opened, watched, and let go again. Knows neither whose the network is nor how the
 * device got its name.
 */
import type { Clock } from '../../../osdep/clock.ts';
import { EDGE, type Poller, READABLE } from '../../../osdep/os/poll.ts';
import { Tap } from '../../../osdep/os/tap.ts';
import type { Exchange } from './exchange.ts';
import type { Lan } from './lan.ts';
import { Spare, TapWire } from './uplink.ts';

export interface OutletsOptions {
  readonly exchange: Exchange;
  readonly clock: Pick<Clock, 'now'>;
  readonly poller: Poller;
}

export interface OutletOptions {
  readonly lan: Lan;
  readonly name: string;
  /** As for a TAP. */
  readonly which: 'new' | 'any';
  /** As for a wire. */
  readonly mac?: Uint8Array | undefined;
  /** Who is on the network has enough waiting. */
  readonly full: () => boolean;
  /** Somebody has removed the device. */
  readonly onGone: () => void;
}

export interface Outlet {
  readonly tap: Tap;
  close(): void;
}

/** Makes outlets; they share what they need for no longer than a moment. */
export class Outlets {
  readonly #options: OutletsOptions;
  readonly #spare: Spare = new Spare();

  constructor(options: OutletsOptions) {
    this.#options = options;
  }

  /** Throws OsError, as a TAP does. */
  open({ lan, name, which, mac, full, onGone }: OutletOptions): Outlet {
    const { exchange, clock, poller } = this.#options;
    const { memory } = exchange;
    const tap = new Tap({ name, which, memory });
    const { network } = lan;
    const now = clock.now();
    const wire = new TapWire({ tap, mac, network, memory, spare: this.#spare, now, full, onGone });
    // All there is, is taken: told once is enough, and a full network costs no wake-ups.
    poller.add(tap.fd, READABLE | EDGE, () => {
      wire.readable();
      exchange.schedule(lan);
    });
    lan.wire = wire;
    return {
      tap,
      close() {
        poller.remove(tap.fd);
        lan.wire = undefined;
        wire.close();
        tap.close();
      },
    };
  }
}
