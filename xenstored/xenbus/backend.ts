/**
 * One device seen from its backend, as a state machine: what is read from the store and what the service has finished comes in as
 * events, what is to be done goes out as effects (backend-events.ts, with the rules for both). Every decision is a look into
 * `backendTable`; this file only does one thing at a time and in the right order. It knows neither rings, grants nor a store, nor what a
 * device's keys are.
 */
import type {
  BackendEffect,
  BackendEvent,
  BackendFound,
  BackendOptions,
  BackendState,
  Keys,
} from './backend-events.ts';
import { stateName, XenbusState } from './state.ts';
import { type BackendAct, type BackendOwn, backendTable } from './table.ts';

export class Backend<K> {
  readonly #options: BackendOptions;
  #state: BackendState;
  #effects: BackendEffect<K>[] = [];

  /** `begin` is to be called next. A saved state goes on where it was, without `begin`. */
  constructor(options: BackendOptions, from: BackendFound | BackendState) {
    this.#options = options;
    this.#state = 'life' in from ? from : found(options, from);
  }

  get state(): BackendState {
    return this.#state;
  }

  begin(): readonly BackendEffect<K>[] {
    return this.#settle();
  }

  step(event: BackendEvent<K>): readonly BackendEffect<K>[] {
    if (this.#state.life === 'gone') return [];
    this.#take(event);
    return this.#settle();
  }

  #take(event: BackendEvent<K>): void {
    const { own, rings, job, life } = this.#state;
    switch (event.kind) {
      case 'front':
        // It has closed and begun again since the last look: what is mapped are its former rings.
        if (own === 4 && rings === 'mapped' && this.#state.front === 4 && event.state === 3)
          this.#set({ rings: 'broken' });
        this.#set({ front: event.state, heard: true, insists: this.#state.insists && !answers(event.state) });
        break;
      case 'own':
        if (event.state === this.#state.node) break;
        this.#set({ node: event.state });
        if (event.state === 0 || event.state === 1) this.#set({ life: 'vanished' });
        else if (event.state === 5) this.#set({ own: 5, insists: attached(this.#state.front) });
        else if (event.state === 6) this.#set({ own: 6 });
        else this.#write(own);
        break;
      case 'online':
        this.#set({ online: event.online });
        break;
      case 'hotplug':
        if (event.status === 'connected') this.#set({ hotplugged: true });
        else if (event.status === 'error') this.#error('the hotplug script failed, see hotplug-error');
        break;
      case 'prepared':
        this.#set({ job: 'none', features: event.features });
        this.#look();
        break;
      case 'keys':
        this.#set({ job: 'none' });
        if (this.#missesRings()) {
          this.#set({ job: 'connect' });
          this.#effects.push({ kind: 'connect', keys: event.keys, attach: rings === 'lost' });
        }
        break;
      case 'connected':
        this.#set({ job: 'none', rings: 'mapped', properties: event.properties });
        this.#look();
        break;
      case 'disconnected':
        this.#set({ job: 'none', rings: 'none' });
        this.#look();
        break;
      case 'reconfigured':
        this.#set({ job: 'none' });
        if (this.#act() === 'reconfigure') this.#write(8);
        break;
      case 'failed':
        this.#set({ job: 'none' });
        // What the frontend has not waited for, and a predecessor's rings while both ends close, are no loss worth a word.
        if (job === 'prepare' || job === 'reconfigure' || this.#missesRings()) {
          if (rings === 'lost') this.#set({ rings: 'none' });
          if (rings === 'mapped') this.#set({ rings: 'broken' });
          if (rings !== 'lost' || own !== 5) this.#fail(event.error);
        }
        break;
      case 'broken':
        if (rings !== 'mapped' || job === 'disconnect') break;
        this.#set({ rings: 'broken' });
        this.#fail(event.error);
        break;
      case 'dead':
        if (life === 'here') this.#set({ life: 'dead' });
        break;
    }
  }

  #settle(): readonly BackendEffect<K>[] {
    while (this.#state.life !== 'gone' && this.#state.job === 'none' && this.#perform()) {
      // As long as something has changed, the next look may find more to do.
    }
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #act(): BackendAct {
    const { own, front, online, life, insists, rings } = this.#state;
    if (life === 'vanished') return 'remove';
    if (life === 'dead') return own === 6 ? 'remove' : 'closed';
    const act = backendTable[online ? 'online' : 'offline'][own as BackendOwn][front];
    if (act === 'reopen' && insists) return attached(front) ? 'drain' : 'wait';
    if (act === 'reconfigure' && !this.#options.reconfigures) return 'refuse';
    // The frontend began again, and has come back before this end could say that its rings are gone.
    if ((act === 'serve' || act === 'resume' || act === 'reconfigure') && rings === 'none') return 'reopen';
    return act;
  }

  /** One thing towards what the table wants; false: nothing more to do for now. */
  #perform(): boolean {
    const state = this.#state;
    if (state.rings === 'broken') return this.#disconnect();
    if (!state.heard && state.life === 'here') return false;
    const act = this.#act();
    if (needsRings(act, state)) return this.#start(state.features === undefined ? 'prepare' : 'read');
    switch (act) {
      case 'open':
      case 'reopen':
        if (state.rings === 'mapped') return this.#disconnect();
        if (state.features === undefined) return this.#start('prepare');
        this.#set({ rings: 'none' });
        return this.#write(2, { ...state.features, ...this.#hotplugKeys() });
      case 'connect':
        return state.hotplugged && this.#write(4, state.properties);
      case 'resume':
        return this.#write(4);
      case 'reconfigure':
        return this.#start('reconfigure');
      case 'close':
        if (this.#options.letsGoFirst && state.rings === 'mapped') return this.#disconnect();
        return this.#write(5);
      case 'closed':
        if (state.rings === 'mapped') return this.#disconnect();
        this.#set({ rings: 'none' });
        return this.#write(6);
      case 'refuse':
        if (state.rings === 'mapped') this.#set({ rings: 'broken' });
        this.#fail(`the frontend is ${stateName(state.front)}, which has no meaning here`);
        return true;
      case 'remove':
        if (state.rings === 'mapped') return this.#disconnect();
        this.#set({ life: 'gone', rings: 'none' });
        this.#effects.push({ kind: 'remove' });
        return false;
      case 'wait':
        // The frontend has begun again while its rings were being mapped, or the toolstack has written a 6 here.
        return state.rings === 'mapped' && this.#disconnect();
      case 'serve':
      case 'drain':
        return false;
    }
  }

  #missesRings(): boolean {
    return this.#state.life === 'here' && needsRings(this.#act(), this.#state);
  }

  #hotplugKeys(): Keys {
    return this.#options.hotplug === 'self' ? { 'hotplug-status': 'connected' } : {};
  }

  #disconnect(): boolean {
    return this.#start('disconnect');
  }

  #start(job: 'prepare' | 'read' | 'reconfigure' | 'disconnect'): boolean {
    this.#set({ job });
    this.#effects.push({ kind: job });
    return false;
  }

  #write(state: XenbusState, keys: Keys = {}): boolean {
    this.#effects.push({ kind: 'write', from: this.#state.node, state, keys });
    this.#set({ own: state, node: state });
    return true;
  }

  #look(): void {
    this.#set({ heard: false });
    this.#effects.push({ kind: 'look' });
  }

  #error(message: string): void {
    this.#effects.push({ kind: 'error', message });
  }

  /** The error node, then Closing, unless the device is on its way out already. The rings, if there are any, follow. */
  #fail(message: string): void {
    if (this.#state.life !== 'here') return;
    this.#error(message);
    const { own, front, online } = this.#state;
    const insists = !answers(front);
    this.#set({ insists });
    if (own !== 5 && (own !== 6 || (insists && online))) this.#write(5);
  }

  #set(change: Partial<BackendState>): void {
    this.#state = { ...this.#state, ...change };
  }
}

/** Whether a state of the frontend answers a backend that wants to close. */
function answers(front: XenbusState): boolean {
  return front === 0 || front === 5 || front === 6;
}

/** Whether the frontend has, or may have, published rings. */
function attached(front: XenbusState): boolean {
  return front === 3 || front === 4 || front === 5 || front === 7;
}

/** Whether what the table wants cannot be done without rings that are not there yet. */
function needsRings(act: BackendAct, { rings, hotplugged, front }: BackendState): boolean {
  switch (act) {
    case 'connect':
      return hotplugged && rings === 'none';
    case 'serve':
    case 'reconfigure':
    case 'resume':
      return rings === 'lost';
    case 'drain':
      return rings === 'lost' && front !== 3 && attached(front);
    default:
      return false;
  }
}

function found(options: BackendOptions, { own, front, online, hotplugStatus }: BackendFound): BackendState {
  const begins = own === 2 || own === 3;
  return {
    own: begins ? 1 : own === 7 ? 8 : own,
    node: own,
    front,
    online,
    hotplugged: options.hotplug === 'self' || hotplugStatus === 'connected',
    features: undefined,
    properties: {},
    rings: own === 4 || own === 5 || own === 7 || own === 8 ? 'lost' : 'none',
    job: 'none',
    heard: true,
    insists: own === 5 && attached(front) && front !== 5,
    life: own === XenbusState.Unknown ? 'vanished' : 'here',
  };
}
