/**
 * Short pauses for streams that are sent without end: who has just taken much, and found no more, looks again in a while, by itself, rather than have the
 * guest ring for each piece that he puts. Knows no ring.
 */
import { FineTimer } from '../../../osdep/os/finetimer.ts';
import type { Poller } from '../../../osdep/os/poll.ts';
import type { Mover } from './localhub.ts';

/** A guest puts some ten to a hundred KiB meanwhile; being rung takes about as long. */
const PAUSE_US = 100;

export class Pauses {
  readonly #timer: FineTimer;
  readonly #stir: (mover: Mover) => void;
  #pausing: Mover[] = [];
  #due: Mover[] = [];

  /** Throws OsError. */
  constructor(poller: Poller, turns: { stir(mover: Mover): void }) {
    this.#stir = (mover) => turns.stir(mover);
    this.#timer = new FineTimer(poller, () => this.#end());
  }

  /** It is stirred when the pause is over; once for each time it is added. */
  add(mover: Mover): void {
    if (this.#pausing.length === 0) this.#timer.arm(PAUSE_US);
    this.#pausing.push(mover);
  }

  close(): void {
    this.#timer.close();
    this.#pausing.length = 0;
  }

  #end(): void {
    const due = this.#pausing;
    this.#pausing = this.#due;
    this.#due = due;
    for (let i = 0; i < due.length; i++) this.#stir(due[i]!);
    due.length = 0;
  }
}
