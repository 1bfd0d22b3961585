/**
 * Hosts on a wire, in virtual time: what one sends all others hear, in the order of sending. Whoever stands in between can lose frames.
 */
import { NetHost, type NetHostOptions } from '../../netback/vif/front/host.ts';
import type { Clock } from '../../osdep/clock.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** Time that passes when it is told to. */
export class WireTime implements Pick<Clock, 'now' | 'after'> {
  readonly #timers = new Set<Timer>();
  #now = 0;

  now(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#now + delayMs, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Lets so much time pass, and whatever is due happen when it is. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      // What follows from the last step without any time.
      await new Promise((resolve) => setImmediate(resolve));
      const next = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
    this.#now = end;
  }
}

type Hear = (frame: Uint8Array) => void;

export class Wire {
  readonly time: WireTime = new WireTime();
  /** All that was sent. */
  readonly frames: Uint8Array[] = [];
  /** Whether a frame gets through. */
  passes: (frame: Uint8Array) => boolean = () => true;
  readonly #ends = new Set<Hear>();

  /** Somebody who hears; the result sends. */
  join(hear: Hear): (frame: Uint8Array) => void {
    this.#ends.add(hear);
    return (frame) => {
      this.frames.push(frame);
      if (!this.passes(frame)) return;
      for (const end of this.#ends) if (end !== hear) queueMicrotask(() => end(frame.slice()));
    };
  }

  host(number: number, options: Partial<NetHostOptions> = {}): NetHost {
    let host: NetHost | undefined;
    const send = this.join((frame) => host?.receive(frame));
    let next = number;
    const random = {
      u32: (): number => Math.imul(++next, 0x9e3779b1) >>> 0,
      below: (limit: number): number => (Math.imul(++next, 0x9e3779b1) >>> 0) % limit,
    };
    const mac = macOf(number);
    host = new NetHost({ mac, address: `10.0.0.${number}`, send, clock: this.time, random, ...options });
    return host;
  }
}

export function macOf(number: number): Uint8Array {
  return Uint8Array.of(0, 0x16, 0x3e, 0, 0, number);
}
