/**
 * One poller for all the domains of this process: a thousand guests in one process want one wake-up, not a thousand. It
 * keeps the process alive while any of them waits for events, and is gone when the last of them has left.
 */
import { Poller } from '../os/poll.ts';

let shared: Poller | undefined;
let members = 0;
let waiting = 0;

/** A domain's part in it. */
export class LoopMember {
  readonly poller: Poller;
  #waiting = 0;
  #left = false;

  constructor() {
    if (shared === undefined) {
      shared = new Poller();
      shared.unref();
    }
    this.poller = shared;
    members += 1;
  }

  /** Somebody begins to wait for events, or ends; each beginning has its end. */
  waiting(change: 'begins' | 'ends'): void {
    if (this.#left) return;
    const step = change === 'begins' ? 1 : -1;
    this.#waiting += step;
    count(step);
  }

  /** What this domain watched has been removed before. Idempotent. */
  leave(): void {
    if (this.#left) return;
    this.#left = true;
    count(-this.#waiting);
    members -= 1;
    if (members > 0) return;
    this.poller.close();
    shared = undefined;
  }
}

function count(step: number): void {
  waiting += step;
  if (waiting > 0) shared?.ref();
  else shared?.unref();
}
