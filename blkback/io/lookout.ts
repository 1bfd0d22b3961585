/**
 * What happens between two sleeps of the process: disks that have something to do have their turns, round and round, and when there is nothing
 * they are looked at for a while longer. To fall asleep and be woken costs more than a small request; who is about to ask again, as one with a
 * few requests under way always is, is served without. How long, is learned from how soon one is woken. Knows no ring and no transfer.
 */

/** A disk, as far as it is looked at. */
export interface Watched {
  /** Whether it has something to do. A look at memory. */
  stirs(): boolean;
  /** Does a limited part of it. Throws nothing, as none of these. */
  turn(): void;
  /** Nobody looks from now on: asks to be told. False: it stirs after all. */
  rest(): boolean;
}

export interface LookoutOptions {
  /** Milliseconds. */
  readonly now: () => number;
  /** Looks for so long at most, milliseconds; 0: sleeps at once. */
  readonly longestMs: number;
  /** Guests are told now of what has been done; else when the running callback is over. */
  readonly flush: () => void;
}

/** Turns of Node's loop that are timed, and how many of them it pays to look out rather than to sleep. */
const TURNS = 21;
const TURNS_WORTH = 8;
const [LEAST_MS, MOST_MS] = [0.05, 3];

/**
 * For how long it pays to look out on this machine, milliseconds: a few times what a turn of Node's loop takes, which is part of what being woken
 * costs: tens of microseconds, or a millisecond and more where system calls are dear.
 */
export async function worthLookingMs(now: () => number): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < TURNS; i++) {
    const from = now();
    await new Promise<void>((resolve) => setImmediate(resolve));
    times.push(now() - from);
  }
  const median = times.sort((a, b) => a - b)[TURNS >> 1]!;
  return Math.min(Math.max(median * TURNS_WORTH, LEAST_MS), MOST_MS);
}

/** Node's own loop has its turn at least this often; where that turn is dear, after so many times what it pays to look for: it costs 3 % then. */
const STRETCH_MS = 4;
const STRETCH_WORTH = 4;
/** Looking for less than this share of the longest is not worth it. */
const LEAST_SHARE = 1 / 8;

export class Lookout {
  readonly #now: () => number;
  readonly #longestMs: number;
  readonly #stretchMs: number;
  readonly #flush: () => void;
  readonly #watched: Watched[] = [];
  #patienceMs = 0;
  /** When there was something to do last. */
  #workedAt = 0;
  #state: 'asleep' | 'looking' | 'between' = 'asleep';
  readonly #onStretch = (): void => this.#look();
  /** Those that want a turn when the running callback is over. */
  readonly #soon = new Set<Watched>();
  readonly #onSoon = (): void => this.#serveAll();

  constructor({ now, longestMs, flush }: LookoutOptions) {
    this.#flush = flush;
    this.#now = now;
    this.#longestMs = longestMs;
    this.#stretchMs = Math.max(STRETCH_MS, Math.min(longestMs, MOST_MS) * STRETCH_WORTH);
  }

  add(disk: Watched): void {
    this.#watched.push(disk);
  }

  remove(disk: Watched): void {
    const at = this.#watched.indexOf(disk);
    if (at >= 0) this.#watched.splice(at, 1);
  }

  /** Something has happened to a disk: it has its turn, and others, until there is nothing to do. */
  wake(disk: Watched): void {
    if (this.#state === 'looking') return;
    const asleep = this.#state === 'asleep';
    if (asleep) this.#learn(this.#now() - this.#workedAt);
    this.#turn(disk);
    this.#workedAt = this.#now();
    if (asleep) this.#look();
  }

  /** A disk wants a turn by itself: no sign that anybody is about to ask. */
  serve(disk: Watched): void {
    if (this.#state === 'looking') return;
    const asleep = this.#state === 'asleep';
    this.#turn(disk);
    if (asleep) this.#look();
  }

  /** The same when the running callback is over; however many want it then, all of them are looked at once after it. */
  soon(disk: Watched): void {
    if (this.#soon.size === 0) queueMicrotask(this.#onSoon);
    this.#soon.add(disk);
  }

  #serveAll(): void {
    const asleep = this.#state === 'asleep';
    const disks = [...this.#soon];
    this.#soon.clear();
    for (const disk of disks) this.#turn(disk);
    if (asleep) this.#look();
  }

  #turn(disk: Watched): void {
    this.#state = 'looking';
    disk.turn();
    this.#state = 'between';
  }

  /** Woken soon: looking would have been better, which takes no waking. Woken late: it would have been, or was, in vain. */
  #learn(sleptMs: number): void {
    if (sleptMs <= 2 * this.#longestMs) this.#patienceMs = this.#longestMs;
    else if (this.#patienceMs > this.#longestMs * LEAST_SHARE) this.#patienceMs /= 2;
    else this.#patienceMs = 0;
  }

  #look(): void {
    this.#state = 'looking';
    let now = this.#now();
    const until = now + this.#stretchMs;
    for (;;) {
      this.#flush();
      const worked = this.#turns();
      now = this.#now();
      if (worked) this.#workedAt = now;
      else if (now - this.#workedAt >= this.#patienceMs && this.#rest()) break;
      if (now < until) continue;
      this.#state = 'between';
      setImmediate(this.#onStretch);
      return;
    }
    this.#state = 'asleep';
  }

  #turns(): boolean {
    let worked = false;
    for (let i = 0; i < this.#watched.length; i++) {
      const disk = this.#watched[i]!;
      if (!disk.stirs()) continue;
      disk.turn();
      worked = true;
    }
    return worked;
  }

  #rest(): boolean {
    let resting = true;
    for (let i = 0; i < this.#watched.length; i++) if (!this.#watched[i]!.rest()) resting = false;
    return resting;
  }
}
