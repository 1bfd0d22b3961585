/**
 * A host's state as others read it: in `state.json` of its run directory, and over its control socket. Plain data.
 */
import type { ProcessId } from './identity.ts';

export interface HostState {
  readonly version: 1;
  readonly host: string;
  readonly phase: 'starting' | 'up' | 'stopping';
  /** The process of `stubdom0 up`. */
  readonly owner: ProcessId;
  readonly since: string;
  readonly socket: string;
  /** Of xenstore-admin, once there is one. */
  readonly url: string | undefined;
  readonly processes: readonly ProcessState[];
  readonly domains: readonly DomainState[];
}

export interface ProcessState {
  readonly name: string;
  /** As in toolstack/core/supervise.ts. */
  readonly phase: string;
  /** undefined: it does not run at the moment. */
  readonly id: ProcessId | undefined;
  readonly restarts: number;
}

export interface DomainState {
  readonly domid: number;
  readonly name: string;
  readonly memoryMb: number;
}
