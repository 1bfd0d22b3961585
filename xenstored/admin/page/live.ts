/**
 * The stream of the store's changes, kept alive: connects, resumes where it was after a loss, and says which of these it is doing. Knows what
 * a change looks like, not what becomes of it.
 */
import { type Api, ApiError } from './api.ts';
import { SseParser } from './sse.ts';
import type { Change } from './types.ts';

export type LiveState =
  | { readonly how: 'connecting' | 'live' | 'unauthorised' }
  /** `why`: a clause, as the service says it. */
  | { readonly how: 'reconnecting' | 'away'; readonly why: string };

export interface LiveEvents {
  state(state: LiveState): void;
  /** `ageMs`: how long ago the oldest of them happened, as far as the service knows. */
  changes(changes: readonly Change[], ageMs: number): void;
  /** What was shown so far may be wrong: ask again for what is wanted. Also at the very beginning. */
  resync(reason: string): void;
  /** Whether the service reaches its store. */
  store(connected: boolean): void;
}

const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 8_000;
/** The service says something at least every 15 s. */
const SILENCE_MAX_MS = 40_000;

export class Live {
  readonly #api: Api;
  readonly #events: LiveEvents;
  #attempt = new AbortController();
  #lastId = '';
  #delayMs = RETRY_MIN_MS;
  #wake: () => void = () => {};
  #running = false;

  constructor(api: Api, events: LiveEvents) {
    this.#api = api;
    this.#events = events;
  }

  /** Starts, or begins anew with another token. */
  start(): void {
    this.#attempt.abort();
    this.#delayMs = RETRY_MIN_MS;
    this.#wake();
    if (!this.#running) void this.#run();
  }

  /** Does not wait for the next attempt's time. */
  hurry(): void {
    this.#delayMs = RETRY_MIN_MS;
    this.#wake();
  }

  async #run(): Promise<void> {
    this.#running = true;
    this.#events.state({ how: 'connecting' });
    for (;;) {
      const failure = await this.#follow();
      if (failure.status === 401 || failure.status === 403) {
        this.#events.state({ how: 'unauthorised' });
        break;
      }
      const how = failure.code === 'store_unavailable' ? 'away' : 'reconnecting';
      this.#events.state({ how, why: failure.message });
      await this.#pause(this.#delayMs);
      this.#delayMs = Math.min(2 * this.#delayMs, RETRY_MAX_MS);
    }
    this.#running = false;
  }

  /** Until the stream is over, whyever. */
  async #follow(): Promise<ApiError> {
    const attempt = new AbortController();
    this.#attempt = attempt;
    let silence = setTimeout(() => attempt.abort(), SILENCE_MAX_MS);
    try {
      const response = await this.#api.send('/v1/events', {
        query: { path: '/', nodes: true },
        headers: this.#lastId === '' ? {} : { 'last-event-id': this.#lastId },
        signal: attempt.signal,
      });
      this.#events.state({ how: 'live' });
      if (this.#lastId === '') this.#events.resync('connected');
      const parser = new SseParser();
      const pieces = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await pieces.read();
        if (done) return new ApiError(0, 'ended', 'the stream ended');
        this.#delayMs = RETRY_MIN_MS;
        clearTimeout(silence);
        silence = setTimeout(() => attempt.abort(), SILENCE_MAX_MS);
        for (const { event, data } of parser.feed(value)) this.#take(event, data);
        this.#lastId = parser.lastId || this.#lastId;
      }
    } catch (error) {
      return error instanceof ApiError ? error : new ApiError(0, 'lost', 'the connection was lost');
    } finally {
      clearTimeout(silence);
    }
  }

  #take(event: string, data: string): void {
    const body = JSON.parse(data) as {
      readonly changes?: readonly Change[];
      readonly age_ms?: number;
      readonly reason?: string;
      readonly connected?: boolean;
    };
    if (event === 'changes') this.#events.changes(body.changes ?? [], body.age_ms ?? 0);
    else if (event === 'resync') this.#events.resync(body.reason ?? '');
    else if (event === 'store') this.#events.store(body.connected === true);
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
