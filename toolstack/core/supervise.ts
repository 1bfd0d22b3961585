/**
 * The life of one supervised process: started, ready, and when it ends started again, later each time, until it has been up
 * for a while or it is clear that it will not come up. Events in, effects out; time is an argument. Knows no process, only that there is one.
 */

export interface Policy {
  /**
   * What its end means. `restart`: start it again. `gone`: it was the life of something that ends with it. `fatal`: nothing else can go on.
   */
  readonly onExit: 'restart' | 'gone' | 'fatal';
  /** How long it may take to say that it is ready. */
  readonly readyMs: number;
  /** From SIGTERM to SIGKILL. */
  readonly graceMs: number;
  /** The first pause before a restart; each further one is twice as long, up to `pauseMaxMs`. */
  readonly pauseFirstMs: number;
  readonly pauseMaxMs: number;
  /** Having been ready for so long, it counts as good again: pauses and failures start afresh. */
  readonly stableMs: number;
  /** So many ends in a row without having been stable, and it is given up. One that has never served yet is given up at once. */
  readonly failuresMax: number;
}

export const defaultPolicy: Policy = {
  onExit: 'restart',
  readyMs: 60_000,
  graceMs: 5_000,
  pauseFirstMs: 100,
  pauseMaxMs: 5_000,
  stableMs: 10_000,
  failuresMax: 6,
};

export type Phase = 'idle' | 'starting' | 'ready' | 'pausing' | 'stopping' | 'stopped' | 'ended' | 'failed';

export type Event =
  | { readonly kind: 'start' }
  /** It says that it serves. */
  | { readonly kind: 'ready' }
  /** It ended, or could not be started; `how` is for people: "exit code 1", "SIGKILL". */
  | { readonly kind: 'exited'; readonly how: string }
  | { readonly kind: 'stop' }
  /** Some time has passed. */
  | { readonly kind: 'tick' };

export type Effect =
  | { readonly kind: 'spawn' }
  | { readonly kind: 'kill'; readonly signal: 'SIGTERM' | 'SIGKILL' }
  /** For the log. */
  | { readonly kind: 'note'; readonly text: string }
  /** It will not be started again. Why, for people. */
  | { readonly kind: 'over'; readonly phase: 'stopped' | 'ended' | 'failed'; readonly text: string };

export class Supervisor {
  readonly name: string;
  readonly policy: Policy;
  #phase: Phase = 'idle';
  #failures = 0;
  #restarts = 0;
  /** When it served last; undefined: never. */
  #readyAt: number | undefined;
  #due: number | undefined;
  /** Why we killed it, if we did: a better word for its end than the signal. */
  #verdict: string | undefined;

  constructor(name: string, policy: Policy) {
    this.name = name;
    this.policy = policy;
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** How often it was started again in its life. */
  get restarts(): number {
    return this.#restarts;
  }

  /** When it wants a `tick`, by the clock of `now`; undefined: never. */
  get due(): number | undefined {
    return this.#due;
  }

  step(event: Event, now: number): Effect[] {
    switch (event.kind) {
      case 'start':
        return this.#phase === 'idle' ? this.#spawn(now) : [];
      case 'ready':
        return this.#ready(now);
      case 'exited':
        return this.#exited(this.#verdict ?? event.how, now);
      case 'stop':
        return this.#stop(now);
      case 'tick':
        return this.#due !== undefined && now >= this.#due ? this.#late(now) : [];
    }
  }

  #spawn(now: number): Effect[] {
    this.#verdict = undefined;
    this.#enter('starting', now + this.policy.readyMs);
    return [{ kind: 'spawn' }];
  }

  #ready(now: number): Effect[] {
    if (this.#phase !== 'starting') return [];
    this.#readyAt = now;
    this.#enter('ready', undefined);
    return [];
  }

  #exited(how: string, now: number): Effect[] {
    if (this.#phase === 'stopping') return this.#over('stopped', how);
    const wasReady = this.#phase === 'ready';
    if (!wasReady && this.#phase !== 'starting') return [];
    if (this.policy.onExit === 'gone') return this.#over('ended', how);
    if (this.policy.onExit === 'fatal') return this.#over('failed', how);
    // A mistake in what was asked for rather than an accident: trying again would only put off telling.
    if (this.#readyAt === undefined) return this.#over('failed', how);
    if (wasReady && now - this.#readyAt >= this.policy.stableMs) this.#failures = 0;
    this.#failures++;
    if (this.#failures >= this.policy.failuresMax) {
      return this.#over('failed', `${how}, ${this.#failures} times in a row`);
    }
    const pauseMs = Math.min(this.policy.pauseMaxMs, this.policy.pauseFirstMs * 2 ** (this.#failures - 1));
    this.#enter('pausing', now + pauseMs);
    return [{ kind: 'note', text: `${this.name} ended (${how}); starting it again in ${pauseMs} ms` }];
  }

  #stop(now: number): Effect[] {
    if (this.#phase === 'starting' || this.#phase === 'ready') {
      this.#enter('stopping', now + this.policy.graceMs);
      return [{ kind: 'kill', signal: 'SIGTERM' }];
    }
    return this.#phase === 'idle' || this.#phase === 'pausing' ? this.#over('stopped', 'not running') : [];
  }

  #late(now: number): Effect[] {
    if (this.#phase === 'pausing') {
      this.#restarts++;
      return this.#spawn(now);
    }
    // Once is enough: what follows is its exit.
    this.#due = undefined;
    const why =
      this.#phase === 'starting'
        ? `not ready after ${this.policy.readyMs} ms`
        : `still there ${this.policy.graceMs} ms after SIGTERM`;
    this.#verdict = why;
    return [
      { kind: 'note', text: `${this.name}: ${why}; killing it` },
      { kind: 'kill', signal: 'SIGKILL' },
    ];
  }

  #over(phase: 'stopped' | 'ended' | 'failed', how: string): Effect[] {
    this.#enter(phase, undefined);
    return [{ kind: 'over', phase, text: how }];
  }

  #enter(phase: Phase, due: number | undefined): void {
    this.#phase = phase;
    this.#due = due;
  }
}
