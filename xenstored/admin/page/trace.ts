/**
 * The daemon's own trace of who wrote what, fetched entry after entry while somebody looks at it; where a daemon has none, nothing. Knows
 * nothing of devices.
 */
import type { ApiError } from './api.ts';
import type { App } from './app.ts';
import type { Traced } from './timeline.ts';

interface Entry {
  readonly seq: number;
  readonly age_ms: number;
  readonly domid: number;
  readonly path: string;
  readonly what: string;
  readonly value?: string;
}

interface Reply {
  /** Oldest first. */
  readonly entries: readonly Entry[];
}

const KEPT = 4_000;
const WAIT_MS = 120;
const PAGES_MAX = 8;

export class Trace {
  readonly #app: App;
  entries: readonly Traced[] = [];
  offered = true;
  #following = false;
  #last: number | undefined;
  #timer = 0;
  #asking = false;
  #again = false;

  constructor(app: App) {
    this.#app = app;
  }

  follow(following: boolean): void {
    this.#following = following;
    if (following) void this.#ask();
  }

  /** Something was written: shortly afterwards the trace has it. */
  changed(): void {
    if (!this.#following || !this.offered) return;
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      void this.#ask();
    }, WAIT_MS);
  }

  /** It may be another daemon by now, which counts afresh. */
  forget(): void {
    this.entries = [];
    this.#last = undefined;
    this.offered = true;
    this.changed();
  }

  async #ask(): Promise<void> {
    // An answer that is under way may be too old.
    this.#again = this.#asking;
    if (this.#asking) return;
    this.#asking = true;
    try {
      for (let page = 0; page < PAGES_MAX && (await this.#page()); page++);
      this.offered = true;
    } catch (error) {
      const { status } = error as ApiError;
      if (status !== 0 && status !== 503) this.offered = false;
    }
    this.#asking = false;
    if (this.#again) this.changed();
    this.#app.refresh();
  }

  /** Answers whether there may be more. */
  async #page(): Promise<boolean> {
    const after = this.#last;
    const asked = performance.now();
    const { entries } = await this.#app.api.get<Reply>('/v1/daemon/trace', { after });
    // An age is from somewhere between question and answer.
    const then = (asked + performance.now()) / 2;
    if (after !== this.#last || entries.length === 0) return false;
    // What came later is not told as earlier, though the next answer was quicker.
    let at = this.entries.at(-1)?.at ?? Number.NEGATIVE_INFINITY;
    const fresh = entries.map(({ seq, domid, path, what, value, age_ms }): Traced => {
      at = Math.max(at, then - age_ms);
      return { seq, at, by: domid, path, what, value };
    });
    this.entries = [...this.entries, ...fresh].slice(-KEPT);
    this.#last = fresh.at(-1)!.seq;
    return true;
  }
}
