/**
 * The daemon's own trace of who wrote what, fetched entry after entry while somebody looks at it; where a daemon has none, nothing. Knows
 * nothing of devices.
 */
import { ApiError } from './api.ts';
import type { App } from './app.ts';
import type { Traced } from './timeline.ts';

interface Entry {
  readonly seq: number;
  readonly age_ms: number;
  readonly domid: number;
  readonly path: string;
  readonly what?: string;
  readonly op?: string;
}

const KEPT = 4_000;
const WAIT_MS = 120;

export class Trace {
  readonly #app: App;
  entries: readonly Traced[] = [];
  offered = true;
  #following = false;
  #last: number | undefined;
  #timer = 0;

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

  async #ask(): Promise<void> {
    try {
      const query = { after: this.#last };
      const { entries } = await this.#app.api.get<{ readonly entries: readonly Entry[] }>(
        '/v1/daemon/trace',
        query,
      );
      const now = performance.now();
      const known = new Set(this.entries.map(({ seq }) => seq));
      const fresh = entries
        .filter(({ seq }) => !known.has(seq))
        .map((entry): Traced => {
          const { seq, domid, path, age_ms } = entry;
          return {
            seq,
            at: now - age_ms,
            by: domid,
            path,
            what: entry.what ?? entry.op ?? '',
          };
        })
        .sort((a, b) => a.seq - b.seq);
      this.entries = [...this.entries, ...fresh].slice(-KEPT);
      this.#last = this.entries.at(-1)?.seq;
      this.offered = true;
    } catch (error) {
      if (error instanceof ApiError && error.status !== 0 && error.status !== 503) this.offered = false;
    }
    this.#app.refresh();
  }
}
