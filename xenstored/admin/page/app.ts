/**
 * What all views share: the service, who may do what, the live stream, where in the page one is, and the next drawing of it. Knows no view
 * but that each can be drawn and told of changes.
 */
import { type Api, ApiError } from './api.ts';
import { Live, type LiveState } from './live.ts';
import { Loader } from './loader.ts';
import { StoreModel } from './model.ts';
import { Names } from './names.ts';
import type { Happened } from './timeline.ts';
import type { Change, Domain, Session } from './types.ts';

export interface Notice {
  readonly text: string;
  readonly bad: boolean;
}

/** Changes kept for timelines. */
const KEPT = 4_000;

export class App {
  readonly api: Api;
  readonly model = new StoreModel();
  readonly names = new Names();
  readonly loader: Loader;
  readonly live: Live;
  liveState: LiveState = { how: 'connecting' };
  session: Session | undefined;
  /** The service is there, and its store is not. */
  away = false;
  notice: Notice | undefined;
  /** The last changes, oldest first. */
  readonly happened: Happened[] = [];
  readonly #draw: () => void;
  readonly #listeners = new Set<(changes: readonly Change[] | undefined) => void>();
  #drawing = false;
  #fading = 0;

  constructor(api: Api, draw: () => void) {
    this.api = api;
    this.#draw = draw;
    this.loader = new Loader(api, this.model, (error) => {
      if (error && error.status !== 0) this.tell(error);
      this.refresh();
    });
    this.live = new Live(api, {
      state: (state) => {
        this.liveState = state;
        if (state.how === 'live') void this.#greet();
        this.refresh();
      },
      changes: (changes, ageMs) => this.#changed(changes, ageMs),
      store: (connected) => this.#present(connected),
      resync: () => {
        this.#present(true);
        this.model.doubt();
        void this.#root();
        void this.#name();
        for (const listener of this.#listeners) listener(undefined);
        this.refresh();
      },
    });
  }

  get mayWrite(): boolean {
    return this.session?.role === 'write';
  }

  /** Told of changes; of undefined when anything may have changed. */
  watch(listener: (changes: readonly Change[] | undefined) => void): void {
    this.#listeners.add(listener);
  }

  /** Draws before the next frame, once however often it is asked. */
  refresh(): void {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  tell(what: string | Error): void {
    if (what instanceof ApiError && what.code === 'store_unavailable') {
      // Gone, or only busy: the service knows.
      void this.#greet();
      return;
    }
    this.notice =
      typeof what === 'string' ? { text: what, bad: false } : { text: `${what.message}`, bad: true };
    this.refresh();
  }

  /** Does something that the service may refuse; a refusal is shown. Answers whether it was done. */
  async attempt(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if ((error as Error).name !== 'AbortError') this.tell(error as Error);
      return false;
    } finally {
      this.refresh();
    }
  }

  /** Goes on with another token; throws if the service does not know it. */
  async signIn(kind: 'read' | 'write', token: string): Promise<void> {
    this.api.setToken(kind, token);
    // One of another run of the service would be sent in its place.
    if (kind === 'read') this.api.setToken('write', undefined);
    try {
      this.session = await this.api.get<Session>('/v1/session');
    } catch (error) {
      if (error instanceof ApiError && error.status !== 404) this.api.setToken(kind, undefined);
      throw error;
    }
    if (kind === 'read' || this.liveState.how === 'unauthorised') this.live.start();
    this.refresh();
  }

  async signOut(): Promise<void> {
    this.api.setToken('write', undefined);
    await this.#greet();
  }

  async #greet(): Promise<void> {
    await this.attempt(async () => {
      this.session = await this.api.get<Session>('/v1/session');
      this.#present(this.session.connected !== false);
    });
  }

  #present(there: boolean): void {
    if (this.away === !there) return;
    this.away = !there;
    this.refresh();
  }

  async #root(): Promise<void> {
    try {
      if (this.model.get('/')?.loaded) return;
      await this.loader.first();
    } catch (error) {
      if ((error as ApiError).status !== 0) this.tell(error as Error);
    }
    this.refresh();
  }

  async #name(): Promise<void> {
    await this.attempt(async () => {
      const { domains } = await this.api.get<{ readonly domains: readonly Domain[] }>('/v1/domains');
      this.names.learn(domains);
    });
  }

  #changed(changes: readonly Change[], ageMs: number): void {
    const at = performance.now();
    this.#present(true);
    const news = changes.filter((change) => !this.model.confirms(change));
    for (const change of news) {
      this.model.apply(change, at);
      this.names.follow(change);
      this.happened.push({ change, at: at - ageMs });
    }
    if (this.happened.length > KEPT) this.happened.splice(0, this.happened.length - KEPT);
    for (const listener of this.#listeners) listener(news);
    this.refresh();
    // What shines shall fade even if nothing else happens.
    clearTimeout(this.#fading);
    this.#fading = setTimeout(() => this.refresh(), 2_000);
  }
}
