/**
 * Keeps a session: makes the first one, and a new one whenever it is lost, with longer and longer pauses; whoever needs one meanwhile waits. Knows
 * nothing of requests. Time is an argument.
 */
import type { Clock } from '../../osdep/clock.ts';
import { XenstoreError } from './error.ts';
import { Session, type SessionUser } from './session.ts';
import type { WatchEvent } from './store.ts';
import type { Connector } from './transport.ts';

export interface KeeperOptions {
  readonly connector: Connector;
  readonly clock: Pick<Clock, 'after'>;
  readonly first: 'fail' | 'wait';
  readonly lost: 'reconnect' | 'end';
  readonly signal?: AbortSignal | undefined;
}

export interface KeeperUser {
  event(event: WatchEvent): void;
  /** There is a session; whoever waits for it comes after this call. */
  begun(session: Session): void;
  /** There will be none any more, because the last one was lost. */
  ended(reason: XenstoreError): void;
}

/** Pauses between attempts: doubling, from the first to the longest. */
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 1_000;

export class SessionKeeper implements SessionUser {
  readonly #options: KeeperOptions;
  readonly #user: KeeperUser;
  readonly #stop = new AbortController();
  #session: Session | undefined;
  /** While there is no session: the next one, for all who wait. */
  #coming: Promise<Session> | undefined;
  /** Why there will never be another session. */
  #over: XenstoreError | undefined;

  constructor(options: KeeperOptions, user: KeeperUser) {
    this.#options = options;
    this.#user = user;
  }

  /** The first session. Rejects with a `XenstoreError` of op CONNECT. */
  async start(): Promise<void> {
    const { first, signal } = this.#options;
    const abort = (): void => this.#stop.abort();
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort);
    try {
      await this.#connect(first === 'wait');
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** The session at this moment. */
  get session(): Session | undefined {
    return this.#session;
  }

  get over(): XenstoreError | undefined {
    return this.#over;
  }

  /** The next session, where there is none. Rejects with the code of `over`. */
  async next(op: string, path?: string): Promise<Session> {
    try {
      if (this.#over === undefined && this.#coming !== undefined) return await this.#coming;
    } catch (error) {
      throw new XenstoreError((error as XenstoreError).code, op, path, { cause: error });
    }
    throw new XenstoreError(this.#over?.code ?? 'ENOTCONN', op, path);
  }

  /** No more sessions. Idempotent: the first reason counts. */
  end(over: XenstoreError): void {
    if (this.#over !== undefined) return;
    this.#over = over;
    this.#stop.abort();
    this.#session?.close();
    this.#session = undefined;
  }

  event(event: WatchEvent): void {
    this.#user.event(event);
  }

  lost(session: Session, reason: Error): void {
    if (session !== this.#session) return;
    this.#session = undefined;
    if (this.#options.lost === 'end') {
      this.#over = new XenstoreError('ECONNRESET', 'LOST', this.#options.connector.name, { cause: reason });
      this.#user.ended(this.#over);
      return;
    }
    // Nobody need be waiting for it; those who are get the error themselves.
    this.#connect(true).catch(() => {});
  }

  #connect(patient: boolean): Promise<Session> {
    this.#coming = this.#attempts(patient);
    return this.#coming;
  }

  async #attempts(patient: boolean): Promise<Session> {
    const { connector } = this.#options;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      try {
        const session = await Session.open(connector, this);
        if (this.#stop.signal.aborted) session.close();
        else if (!session.ended) return this.#begin(session);
      } catch (error) {
        // Full is not absent: Xen's daemons let one connection wait at a time.
        if (!patient && !(error instanceof XenstoreError && error.code === 'EAGAIN')) throw error;
      }
      if (this.#stop.signal.aborted) throw new XenstoreError('ENOTCONN', 'CONNECT', connector.name);
      await this.#pause(pause);
    }
  }

  #begin(session: Session): Session {
    this.#session = session;
    this.#coming = undefined;
    this.#user.begun(session);
    return session;
  }

  #pause(delayMs: number): Promise<void> {
    const { signal } = this.#stop;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.#options.clock.after(delayMs, done);
      signal.addEventListener('abort', done);
    });
  }
}
