/**
 * What a test may ask for when it starts a host or something on it. Types alone.
 */
import type { FaultOdds } from '../../osdep/sim/faults.ts';
import type { Actor, StepTime } from './process.ts';

export interface HostOptions {
  /** Decides everything that chance decides. Default: STUBDOM0_SEED, else a new one. */
  readonly seed?: number;
  /** Odds from 0 to 1, none by default: events late (up to `maxDelayMs`, 20) or overtaken, requests of actors refused where a hypervisor may. */
  readonly faults?: Partial<FaultOdds>;
}

/** A guest: a domain, and the first process in it. */
export type Guest = Actor;

export interface ActorOptions {
  /** The domain that it runs in. Default: the control domain. */
  readonly in?: Guest;
  /** Default: what it is. */
  readonly name?: string;
  /** It dies at this step, 0 being its first: for what begins before `killAt` could be called. */
  readonly killAt?: number;
  /** What dies then. Default: it alone. */
  readonly killed?: 'alone' | 'with its domain';
  /** It loses its connection to the store at this step. */
  readonly cutAt?: number;
  /** When that is. Default: `before`, instead of the step; `after`: what it has asked is under way, will be done, and is not answered. */
  readonly when?: StepTime;
}

/** A backend or a driver, and what there is to give back when the host is closed: not before, since whoever is killed gives nothing back. */
export interface Made<T> {
  readonly service: T;
  close?(): void | Promise<void>;
}

/** A backend or a driver, or what makes one for a process that it is to run in. */
export type Maker<T> = T | ((actor: Actor) => T | Made<T>);
