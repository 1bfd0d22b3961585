/**
 * A TAP device plugged into a network of ours as its way out: opened, watched, and let go again. Knows neither whose the network is nor how the
 * device got its name.
 */
import type { Clock } from '../../../osdep/clock.ts';
import { EDGE, type Poller, READABLE } from '../../../osdep/os/poll.ts';
import { Tap } from '../../../osdep/os/tap.ts';
import { TapWriter } from '../../../osdep/os/tapwriter.ts';
import type { Exchange } from './exchange.ts';
import type { Lan } from './lan.ts';
import { Spare, TapWire } from './uplink.ts';

export interface OutletsOptions {
  readonly exchange: Exchange;
  readonly clock: Pick<Clock, 'now'>;
  readonly poller: Poller;
  /** One line. */
  readonly log: (line: string) => void;
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
  #writer: TapWriter | undefined;

  constructor(options: OutletsOptions) {
    this.#options = options;
  }

  /** Throws OsError, as a TAP does. */
  open({ lan, name, which, mac, full, onGone }: OutletOptions): Outlet {
    const { exchange, clock, poller } = this.#options;
    const writer = this.#writer ?? this.#openWriter();
    const { memory } = exchange;
    const tap = new Tap({ name, which, memory });
    const { network } = lan;
    const now = clock.now();
    const wire = new TapWire({ tap, writer, mac, network, memory, spare: this.#spare, now, full, onGone });
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

  /** After those that were opened are closed. */
  close(): void {
    this.#writer?.close();
  }

  #openWriter(): TapWriter {
    const writer = new TapWriter({ memory: this.#options.exchange.memory });
    const { refused } = writer;
    if (refused !== undefined) this.#options.log(`frames are written one by one: ${refused}`);
    this.#writer = writer;
    return writer;
  }
}
