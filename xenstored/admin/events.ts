/**
 * Changes of the store as server-sent events (the HTML standard, 9.2), for as long as the reader keeps up. Knows no store and no HTTP:
 * it has paths coming in, a pipe that may be full, and a clock.
 *
 *   event: change    data: {"path": "/local/domain/1/data"}   once for the asked path at the beginning
 *   event: dropped   data: {"reason": "..."}                   the stream ends: ask again
 *   a comment line every 15 s
 */
import type { Clock } from '../../osdep/clock.ts';

export interface Pipe {
  /** False: full; `drained` will be called. Still takes what it is given. */
  write(text: string): boolean;
  end(): void;
  /** Ends at once whatever is still queued. */
  destroy(): void;
}

export const HEARTBEAT_MS = 15_000;
/** Distinct paths kept for a reader that is behind. */
export const BACKLOG_MAX = 1_000;
/** How long a reader may take nothing at all. */
export const STALL_MS: number = 2 * HEARTBEAT_MS;

export class EventStream {
  readonly #pipe: Pipe;
  readonly #clock: Clock;
  /** Paths not yet written, each once: a reader that is behind wants to know what changed, not how often. */
  readonly #backlog = new Set<string>();
  #fullSince: number | undefined;
  #cancel: () => void = () => {};
  #over = false;

  constructor(pipe: Pipe, clock: Clock) {
    this.#pipe = pipe;
    this.#clock = clock;
    this.#beat();
  }

  get over(): boolean {
    return this.#over;
  }

  /** Answers false once the stream is over. */
  change(path: string): boolean {
    if (this.#over) return false;
    if (this.#fullSince === undefined) {
      this.#write(event('change', { path }));
    } else {
      this.#backlog.add(path);
      if (this.#backlog.size > BACKLOG_MAX) this.drop(`more than ${BACKLOG_MAX} changes behind`);
    }
    return !this.#over;
  }

  drained(): void {
    this.#fullSince = undefined;
    for (const path of this.#backlog) {
      if (this.#over || this.#fullSince !== undefined) return;
      this.#backlog.delete(path);
      this.#write(event('change', { path }));
    }
  }

  /** Says why, and ends. */
  drop(reason: string): void {
    if (this.#over) return;
    this.#pipe.write(event('dropped', { reason }));
    this.#pipe.end();
    this.closed();
  }

  /** The reader is gone. */
  closed(): void {
    this.#over = true;
    this.#backlog.clear();
    this.#cancel();
  }

  #write(text: string): void {
    if (!this.#pipe.write(text)) this.#fullSince = this.#clock.now();
  }

  #beat(): void {
    this.#cancel = this.#clock.after(HEARTBEAT_MS, () => {
      if (this.#fullSince !== undefined && this.#clock.now() - this.#fullSince >= STALL_MS) {
        this.#pipe.destroy();
        this.closed();
        return;
      }
      if (this.#fullSince === undefined) this.#write(': still here\n\n');
      this.#beat();
    });
  }
}

function event(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
