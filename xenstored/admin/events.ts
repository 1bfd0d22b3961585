/**
 * One reader of changes, as server-sent events: `changes` and `resync`, each with an id, `store` when the store is lost or found again, and a comment
 * as a heartbeat. A reader that does not take what it is sent is sent nothing more until it does; then it is told what it missed, or to fetch again.
 * Whoever takes nothing for long is cut off. So nothing grows with a slow reader. Knows no subtree.
 */
import type { Clock } from '../../osdep/clock.ts';
import type { Missed, Told } from './livetree.ts';

/** What an HTTP response is to its writer. */
export interface Pipe {
  /** False: full; it says when it is not. */
  write(text: string): boolean;
  end(): void;
  destroy(): void;
}

export interface EventsOptions {
  readonly pipe: Pipe;
  readonly clock: Clock;
  readonly epoch: string;
  /** Can the store be reached? */
  readonly connected: () => boolean;
  /** What came after a number. */
  readonly missed: (seq: number) => Promise<Missed>;
}

export const HEARTBEAT_MS = 15_000;
export const STALL_MS = 30_000;
/** How soon a reader is told that the store is lost. */
export const LOOK_MS = 500;

const LOST = JSON.stringify({ reason: 'more was missed than is kept' });

export class EventStream {
  readonly #options: EventsOptions;
  /** All up to this number has been sent. */
  #seq: number;
  /** There is more than that. */
  #behind = false;
  #catchingUp = false;
  #fullSince: number | undefined;
  #cancel: () => void = () => {};
  #cancelLook: () => void = () => {};
  #connected = true;
  #over = false;

  /** `seq`: what the reader knows already; -1: nothing. */
  constructor(options: EventsOptions, seq: number) {
    this.#options = options;
    this.#seq = seq;
    // With an id from the beginning: a reader that loses its connection now loses nothing.
    this.#write(seq < 0 ? 'retry: 1000\n\n' : `retry: 1000\nid: ${options.epoch}-${seq}\n\n`);
    this.#beat();
    this.#look();
  }

  get over(): boolean {
    return this.#over;
  }

  changes({ seq, data }: Told): void {
    if (this.#over) return;
    if (this.#fullSince !== undefined || this.#catchingUp) {
      this.#behind = true;
      return;
    }
    this.#seq = seq;
    this.#write(this.#event('changes', seq, data));
  }

  resync(reason: string, seq: number): void {
    if (this.#over) return;
    if (this.#fullSince !== undefined || this.#catchingUp) {
      this.#behind = true;
      return;
    }
    this.#seq = seq;
    this.#write(this.#event('resync', seq, JSON.stringify({ reason })));
  }

  /** The reader is behind from the start: it comes back after its connection was lost. */
  resume(): void {
    this.#behind = true;
    this.#catchUp().catch(() => this.end());
  }

  drained(): void {
    this.#fullSince = undefined;
    this.#catchUp().catch(() => this.end());
  }

  /** Ends it; the reader may come again. */
  end(): void {
    if (this.#over) return;
    this.#options.pipe.end();
    this.closed();
  }

  /** The reader is gone. */
  closed(): void {
    this.#over = true;
    this.#cancel();
    this.#cancelLook();
  }

  async #catchUp(): Promise<void> {
    if (this.#catchingUp) return;
    this.#catchingUp = true;
    while (this.#behind && this.#fullSince === undefined && !this.#over) {
      this.#behind = false;
      const { seq, data } = await this.#options.missed(this.#seq);
      if (this.#over) break;
      this.#seq = seq;
      if (data === undefined) this.#write(this.#event('resync', seq, LOST));
      else if (data !== '') this.#write(this.#event('changes', seq, data));
    }
    this.#catchingUp = false;
  }

  #event(name: string, seq: number, data: string): string {
    return `event: ${name}\nid: ${this.#options.epoch}-${seq}\ndata: ${data}\n\n`;
  }

  #write(text: string): void {
    if (!this.#options.pipe.write(text)) this.#fullSince = this.#options.clock.now();
  }

  /** Nobody tells of it; to look costs no request. Without an id: it is no change. */
  #look(): void {
    const { clock, connected } = this.#options;
    this.#cancelLook = clock.after(LOOK_MS, () => {
      if (this.#fullSince === undefined && this.#connected !== connected()) {
        this.#connected = !this.#connected;
        this.#write(`event: store\ndata: ${JSON.stringify({ connected: this.#connected })}\n\n`);
      }
      this.#look();
    });
  }

  #beat(): void {
    const { clock, pipe } = this.#options;
    this.#cancel = clock.after(HEARTBEAT_MS, () => {
      if (this.#fullSince !== undefined && clock.now() - this.#fullSince >= STALL_MS) {
        pipe.destroy();
        this.closed();
        return;
      }
      if (this.#fullSince === undefined) this.#write(': still here\n\n');
      this.#beat();
    });
  }
}
