/**
 * Rings of streams that are closed at a backend that drops what it has not sent by their release, as Linux's does: when they may be released. That is
 * when it has taken everything, has said that it cannot, or has taken nothing for a while. Asks the backend nothing.
 */
import type { Clock } from '../../../osdep/clock.ts';
import type { Ring } from './ring.ts';

/** Bytes that nobody takes for so long are dropped with their connection. */
const PATIENCE_MS = 30_000;

export class Emptying {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #ends = new Set<() => void>();

  constructor(clock: Pick<Clock, 'after'>) {
    this.#clock = clock;
  }

  /** Settles when nothing in the ring is worth waiting for. Nobody else is told of the ring's events any more. */
  wait(ring: Ring): Promise<void> {
    if (ring.isEmptied) return Promise.resolve();
    return new Promise((resolve) => {
      let room = ring.outRoom();
      let cancel = (): void => {};
      const end = (): void => {
        cancel();
        this.#ends.delete(end);
        resolve();
      };
      const arm = (): void => {
        cancel = this.#clock.after(PATIENCE_MS, () => {
          const before = room;
          room = ring.outRoom();
          if (room === before) end();
          else arm();
        });
      };
      this.#ends.add(end);
      ring.onEvent = () => {
        if (ring.isEmptied) end();
      };
      arm();
    });
  }

  /** The rings are going away. */
  stop(): void {
    for (const end of [...this.#ends]) end();
  }
}
