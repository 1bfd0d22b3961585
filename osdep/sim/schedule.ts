/**
 * What runs next: ready tasks in an order that the seed decides, and virtual time, which stands still while anything
 * is ready. Knows nothing of domains or events.
 */
import type { Clock } from '../clock.ts';
import { systemClock } from '../os/clock.ts';
import type { SeededRandom } from './random.ts';

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

export interface Scheduler {
  readonly clock: Clock;
  /** Runs a task later, never from within this call. */
  ready(task: () => void): void;
}

/** Goes only when told to: the scheduler for tests. */
export class SteppedScheduler implements Scheduler {
  readonly clock: Clock;
  readonly #random: SeededRandom;
  readonly #tasks: (() => void)[] = [];
  readonly #timers = new Set<Timer>();
  #nowMs = 0;
  #order = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
    this.clock = {
      now: () => this.#nowMs,
      wallNow: () => this.#nowMs,
      after: (delayMs, callback) => this.#after(delayMs, callback),
    };
  }

  ready(task: () => void): void {
    this.#tasks.push(task);
  }

  /** Runs one task, or else the next timer that is due by `untilMs`, at its time. False when there is neither. */
  step(untilMs: number = Number.POSITIVE_INFINITY): boolean {
    return this.#runTask() || this.#runTimer(untilMs);
  }

  /** Runs until nothing is left to do. An endless run is an error of the test: it throws after `maxSteps`. */
  runUntilIdle(maxSteps: number = 100_000): void {
    for (let steps = 0; this.step(); steps += 1) {
      if (steps >= maxSteps) {
        throw new Error(`not idle after ${maxSteps} steps`);
      }
    }
  }

  /** As runUntilIdle, for programs with promises: between steps those run as far as they come. */
  async settle(maxSteps: number = 100_000): Promise<void> {
    for (let steps = 0; ; steps += 1) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (!this.step()) {
        return;
      }
      if (steps >= maxSteps) {
        throw new Error(`not idle after ${maxSteps} steps`);
      }
    }
  }

  /** Runs what is due within so much virtual time, and lets it pass. */
  runFor(durationMs: number): void {
    const endMs = this.#nowMs + durationMs;
    while (this.#runTask() || this.#runTimer(endMs)) {}
    this.#nowMs = endMs;
  }

  #after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, callback };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  #runTask(): boolean {
    if (this.#tasks.length === 0) {
      return false;
    }
    const [task] = this.#tasks.splice(this.#random.below(this.#tasks.length), 1);
    task?.();
    return true;
  }

  #runTimer(untilMs: number): boolean {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (next === undefined || timer.dueMs < next.dueMs) {
        next = timer;
      }
    }
    if (next === undefined || next.dueMs > untilMs) {
      return false;
    }
    this.#timers.delete(next);
    this.#nowMs = Math.max(this.#nowMs, next.dueMs);
    next.callback();
    return true;
  }
}

/** Goes by itself, in Node's own loop and time: for a program that shares its process with a simulated machine. */
export class LiveScheduler implements Scheduler {
  readonly clock: Clock = systemClock;

  ready(task: () => void): void {
    setImmediate(task);
  }
}
