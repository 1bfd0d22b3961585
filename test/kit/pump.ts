/**
 * Who makes the machine go: as long as somebody waits for something, one step after the other, promises in between as far as they come. Nobody waits:
 * nothing moves, and no time passes. Knows neither domains nor stores.
 */
import type { SteppedScheduler } from '../../osdep/sim/schedule.ts';

export interface Want {
  /** For the message, should it not come. */
  readonly what: string;
  /** Looked at before each step. */
  readonly over: () => boolean;
  /** When to look even if nothing happens, in virtual time. */
  readonly nextMs: () => number;
  /** When to give up. */
  readonly untilMs: number;
}

interface Waiting extends Want {
  stepsLeft: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** A want that takes more steps than that runs in a circle. */
const MAX_STEPS = 500_000;
/** A request that is not answered in this virtual time will never be. */
const REQUEST_MS = 60_000;

export class Pump {
  readonly #scheduler: SteppedScheduler;
  readonly #waiting = new Set<Waiting>();
  /** Requests on their way, and until when they are waited for. */
  readonly #requests = new Map<object, number>();
  #going = false;
  #failure: Error | undefined;

  constructor(scheduler: SteppedScheduler) {
    this.#scheduler = scheduler;
  }

  /** Goes on until a want is over. Rejects when it cannot be, and with what a program's callback threw meanwhile. */
  async drive(want: Want): Promise<void> {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
    await new Promise<void>((resolve, reject) => {
      this.#waiting.add({ ...want, stepsLeft: MAX_STEPS, resolve, reject });
      this.#go();
    });
  }

  /** Somebody has asked for something; the result is to be called when it is answered, or never will be. */
  asked(): () => void {
    const request = {};
    this.#requests.set(request, this.#now + REQUEST_MS);
    this.#go();
    return () => void this.#requests.delete(request);
  }

  /** Whoever still waits is told why in vain. */
  stop(why: Error): void {
    this.#requests.clear();
    this.#rejectAll(why);
  }

  get #now(): number {
    return this.#scheduler.clock.now();
  }

  get #wanted(): boolean {
    return this.#waiting.size > 0 || this.#requests.size > 0;
  }

  #go(): void {
    if (this.#going) return;
    this.#going = true;
    const turn = (): void => {
      this.#look();
      if (!this.#wanted) {
        this.#going = false;
        return;
      }
      this.#step();
      setImmediate(turn);
    };
    setImmediate(turn);
  }

  #step(): void {
    const nexts = [...this.#waiting].map((want) => Math.min(want.nextMs(), want.untilMs));
    const horizonMs = Math.min(...nexts, ...this.#requests.values());
    try {
      if (!this.#scheduler.step(horizonMs)) this.#scheduler.runFor(Math.max(0, horizonMs - this.#now));
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      if (this.#waiting.size === 0) this.#failure ??= failure;
      this.#rejectAll(failure);
    }
    for (const want of this.#waiting) want.stepsLeft -= 1;
  }

  /** Settles what is settled. */
  #look(): void {
    const now = this.#now;
    for (const [request, untilMs] of this.#requests) if (now >= untilMs) this.#requests.delete(request);
    for (const want of [...this.#waiting]) {
      try {
        if (want.over()) this.#end(want, undefined);
        else if (now >= want.untilMs) this.#end(want, new Error(`${want.what}: not by ${want.untilMs} ms`));
        else if (want.stepsLeft <= 0) this.#end(want, new Error(`${want.what}: not in ${MAX_STEPS} steps`));
      } catch (error) {
        this.#end(want, error instanceof Error ? error : new Error(String(error)));
      }
    }
  }

  #end(want: Waiting, error: Error | undefined): void {
    this.#waiting.delete(want);
    if (error === undefined) want.resolve();
    else want.reject(error);
  }

  #rejectAll(error: Error): void {
    for (const want of [...this.#waiting]) this.#end(want, error);
  }
}
