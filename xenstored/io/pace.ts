/**
 * Long work in small pieces beside something more urgent: after each piece it rests, so that it takes no more than its share of the time. Knows
 * nothing of the work.
 */
import { setTimeout as after, setImmediate as nextTurn } from 'node:timers/promises';

export class Pace {
  readonly #share: number;
  #begun: number = performance.now();
  #owedMs = 0;
  #hurried = false;

  /** `share`: of the time, 0 to 1. With 1 it only lets others go first. */
  constructor(share: number) {
    this.#share = share;
  }

  /** To be called after each piece of work. Rests that are too short for a timer are saved up. */
  async rest(): Promise<void> {
    const worked = performance.now() - this.#begun;
    this.#owedMs += (worked * (1 - this.#share)) / this.#share;
    if (this.#hurried || this.#owedMs < 1) await nextTurn();
    else await after(Math.min(this.#owedMs, LONGEST_REST_MS));
    if (this.#owedMs >= 1) this.#owedMs = 0;
    this.#begun = performance.now();
  }

  /** Somebody waits for the end: no more rests. */
  hurry(): void {
    this.#hurried = true;
  }
}

/** Something that took long for another reason (a machine that was asleep) is no reason to rest for long. */
const LONGEST_REST_MS = 50;
