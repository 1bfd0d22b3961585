/**
 * A host's state as others read it: in `state.json` of its run directory, and over its control socket; and where that directory is. Plain data.
 */
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Uplink } from '../core/uplink.ts';
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
  /** Where the toolstack answers SSH, once it does. */
  readonly ssh: SshState | undefined;
  /** The machine's way in to the guests, if there is one. */
  readonly uplink: Uplink | undefined;
  /** What guests serve, as far as this machine reaches it. */
  readonly webs: readonly WebState[];
  readonly processes: readonly ProcessState[];
  readonly domains: readonly DomainState[];
}

export interface SshState {
  readonly address: string;
  readonly port: number;
  /** Of the host's key. */
  readonly fingerprint: string;
}

export interface ProcessState {
  readonly name: string;
  /** As in toolstack/core/supervise.ts. */
  readonly phase: string;
  /** undefined: it does not run at the moment. */
  readonly id: ProcessId | undefined;
  readonly restarts: number;
}

export interface WebState {
  readonly guest: string;
  readonly url: string;
}

export interface DomainState {
  readonly domid: number;
  readonly name: string;
  readonly memoryMb: number;
  readonly role: 'control' | 'service' | 'guest';
  /** For people: `xvda alice.img`. */
  readonly devices: readonly string[];
}

/** `--run`, STUBDOM0_RUN, or a place that fits who asks. */
export function runPath(given: string | undefined, env: NodeJS.ProcessEnv): string {
  const named = given ?? env.STUBDOM0_RUN;
  if (named !== undefined && named !== '') return resolve(named);
  const base =
    env.XDG_RUNTIME_DIR ||
    (process.getuid?.() === 0 ? '/run' : join(tmpdir(), `stubdom0-${process.getuid?.()}`));
  return resolve(base, 'stubdom0');
}

/** What `state.json` says; undefined where there is none that can be read. */
export function readState(path: string): HostState | undefined {
  try {
    const state = JSON.parse(readFileSync(join(path, 'state.json'), 'utf8')) as HostState;
    return state.version === 1 ? state : undefined;
  } catch {
    return undefined;
  }
}
