/**
 * One device seen from its frontend, as a state machine of the same make as backend.ts, for guests and for tests of backends. Every
 * decision is a look into `frontendTable`. It knows neither rings nor grants, nor what a device's keys are. A backend is not trusted
 * more than a guest: the properties are checked by whoever performs `activate`.
 *
 * The guest promises what a service promises to a backend: effects on the store come before the next read, present values only, each job
 * (`share`, `activate`, `quiesce`) answered exactly once. Watched are the own state and the backend's.
 */
import type { Keys } from './backend-events.ts';
import { XenbusState } from './state.ts';
import { type FrontendAct, type FrontendOwn, frontendTable } from './table.ts';

export interface FrontendOptions {
  /** The state that says "published": Initialised for a disk, Connected for a network interface. */
  readonly published: 3 | 4;
}

export interface FrontendFound {
  readonly own: XenbusState;
  readonly back: XenbusState;
}

export type FrontendEvent =
  /** The backend's state node; Unknown when it or its directory is missing. */
  | { readonly kind: 'back'; readonly state: XenbusState }
  /** The own state node; Unknown when the directory has been removed. */
  | { readonly kind: 'own'; readonly state: XenbusState }
  /** Answers `share`: the keys to publish. */
  | { readonly kind: 'shared'; readonly keys: Keys }
  | { readonly kind: 'activated' }
  | { readonly kind: 'quiesced' }
  /** Answers share or activate. */
  | { readonly kind: 'failed'; readonly error: string }
  /** The data path has stopped itself: the backend broke the ring's rules. */
  | { readonly kind: 'broken'; readonly error: string }
  /** The guest wants the device, as it does from the beginning. */
  | { readonly kind: 'open' }
  /** The guest wants the device no more: a driver is unloaded, a machine goes down. */
  | { readonly kind: 'close' };

export type FrontendEffect =
  /** Read the features, allocate rings, grant them, allocate ports. */
  | { readonly kind: 'share' }
  /** Read and check the properties, let requests flow. */
  | { readonly kind: 'activate' }
  /** Read the backend's state and hand it in: what was read before a write, or before a job was done, may be out of date. */
  | { readonly kind: 'look' }
  /** The properties may have changed: read them again. */
  | { readonly kind: 'refresh' }
  /** Send no more requests; answer when none is in flight, or when none will ever be answered. */
  | { readonly kind: 'quiesce' }
  /** End the grants and close the ports. A grant that is still mapped (a backend that was removed by force) has to be kept back. */
  | { readonly kind: 'release' }
  /** In one transaction: if the state node holds `from`, write the state and the keys; else nothing, and hand in what it holds (`own`). */
  | { readonly kind: 'write'; readonly from: XenbusState; readonly state: XenbusState; readonly keys: Keys }
  /** One line for the error node of the own domain (`errorPath`). */
  | { readonly kind: 'error'; readonly message: string }
  /** The device is no more. */
  | { readonly kind: 'remove' };

/** The whole of a frontend between two events, plain and comparable. */
export interface FrontendState {
  /** The table's row. */
  readonly own: XenbusState;
  /** What the state node holds, as far as is known. */
  readonly node: XenbusState;
  readonly back: XenbusState;
  readonly shared: boolean;
  readonly active: boolean;
  readonly job: 'none' | 'share' | 'activate' | 'quiesce';
  /** Keys waiting to be published. */
  readonly keys: Keys;
  /** Whether the backend's state has been read since the last `look`. */
  readonly heard: boolean;
  readonly wanted: boolean;
  /** When Closed is reached, begin again. */
  readonly again: boolean;
  readonly life: 'here' | 'vanished' | 'gone';
}

export class Frontend {
  readonly #options: FrontendOptions;
  #state: FrontendState;
  #effects: FrontendEffect[] = [];

  /** `begin` is to be called next. A saved state goes on where it was, without `begin`. */
  constructor(options: FrontendOptions, from: FrontendFound | FrontendState) {
    this.#options = options;
    this.#state = 'life' in from ? from : found(from);
  }

  get state(): FrontendState {
    return this.#state;
  }

  begin(): readonly FrontendEffect[] {
    // Rings published by a predecessor in this domain (before kexec) are nobody's: the backend has to let go of them.
    if ([3, 4, 7, 8].includes(this.#state.own)) this.#write(5);
    return this.#settle();
  }

  step(event: FrontendEvent): readonly FrontendEffect[] {
    if (this.#state.life === 'gone') return [];
    this.#take(event);
    return this.#settle();
  }

  #take(event: FrontendEvent): void {
    const { own, node, back, active, keys } = this.#state;
    switch (event.kind) {
      case 'back':
        this.#set({ back: event.state, heard: true });
        if (event.state === 4 && back === 4 && own === 4 && active) this.#effects.push({ kind: 'refresh' });
        break;
      case 'own':
        if (event.state === 0 || (event.state === 1 && own !== 1)) this.#set({ life: 'vanished' });
        else if (event.state === 1) this.#look();
        else if (event.state !== node) {
          // Nobody else has anything to write here.
          this.#effects.push({ kind: 'write', from: event.state, state: node, keys: own === 3 ? keys : {} });
        }
        break;
      case 'shared':
        this.#set({ job: 'none', shared: true, keys: event.keys });
        this.#look();
        break;
      case 'activated':
        this.#set({ job: 'none', active: true });
        this.#look();
        break;
      case 'quiesced':
        this.#set({ job: 'none', active: false });
        this.#look();
        break;
      case 'failed':
        this.#set({ job: 'none' });
        this.#fail(event.error);
        break;
      case 'broken':
        if (active) this.#fail(event.error);
        break;
      case 'open':
        this.#set({ wanted: true, again: own >= 5 });
        break;
      case 'close':
        this.#set({ wanted: false, again: false });
        break;
    }
  }

  #settle(): readonly FrontendEffect[] {
    while (this.#state.life !== 'gone' && this.#state.job === 'none' && this.#perform()) {
      // As long as something has changed, the next look may find more to do.
    }
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #act(): FrontendAct {
    const { own, back, wanted, heard } = this.#state;
    if (!wanted && own < 5) return 'leave';
    const act = frontendTable[own as FrontendOwn][back];
    return heard || act === 'serve' ? act : 'wait';
  }

  #perform(): boolean {
    const { life, own, shared, active, keys } = this.#state;
    if (active && (life === 'vanished' || own >= 5)) return this.#start('quiesce');
    if (life === 'vanished') return this.#vanish();
    const act = this.#act();
    switch (act) {
      case 'share':
        if (!shared) return this.#start('share');
        return this.#write(this.#options.published, 3, keys);
      case 'activate':
        if (!active) return this.#start('activate');
        if (this.#options.published === 3) return this.#write(4);
        this.#set({ own: 4 });
        return true;
      case 'reset':
        this.#set({ again: true });
        return this.#write(5);
      case 'leave':
        this.#set({ again: false });
        return this.#write(own === 1 ? 6 : 5);
      case 'closed':
        return this.#write(6);
      case 'release':
        return this.#release();
      case 'serve':
      case 'wait':
        return false;
    }
  }

  #release(): boolean {
    const { shared, again } = this.#state;
    if (shared) {
      this.#set({ shared: false, keys: {} });
      this.#effects.push({ kind: 'release' });
    }
    if (!again) return false;
    this.#set({ again: false });
    return this.#write(1);
  }

  #vanish(): boolean {
    if (this.#state.shared) this.#effects.push({ kind: 'release' });
    this.#set({ life: 'gone', shared: false });
    this.#effects.push({ kind: 'remove' });
    return false;
  }

  #start(job: 'share' | 'activate' | 'quiesce'): boolean {
    this.#set({ job });
    this.#effects.push({ kind: job });
    return false;
  }

  #write(state: XenbusState, row: FrontendOwn = state as FrontendOwn, keys: Keys = {}): boolean {
    this.#effects.push({ kind: 'write', from: this.#state.node, state, keys });
    this.#set({ own: row, node: state });
    if (row !== 3 && row !== 4) this.#look();
    return true;
  }

  /** Nothing is decided on what the backend said before this: it may have been to another device of the same name. */
  #look(): void {
    this.#set({ heard: false });
    this.#effects.push({ kind: 'look' });
  }

  #fail(message: string): void {
    if (this.#state.life !== 'here') return;
    this.#effects.push({ kind: 'error', message });
    this.#set({ again: false });
    const { own } = this.#state;
    if (own < 5) this.#write(own === 1 ? 6 : 5);
  }

  #set(change: Partial<FrontendState>): void {
    this.#state = { ...this.#state, ...change };
  }
}

function found({ own, back }: FrontendFound): FrontendState {
  return {
    own: own === XenbusState.InitWait ? 1 : own,
    node: own,
    back,
    shared: false,
    active: false,
    job: 'none',
    keys: {},
    heard: true,
    wanted: true,
    again: own >= 3,
    life: own === XenbusState.Unknown ? 'vanished' : 'here',
  };
}
