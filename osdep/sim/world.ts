/**
 * The simulated hypervisor: one pure, deterministic state machine. A domain's request goes in, its answer comes out,
 * and what has to be done outside (events to deliver, processes to end) is collected as effects. Memory is reached
 * only through what it is given; time and chance do not exist here. The pieces are in world/, one subject a file.
 */
import { Errno } from '../errno.ts';
import type { CopyTable } from '../gnttab.ts';
import type { Handlers } from './world/calls.ts';
import { deviceCalls } from './world/calls-devices.ts';
import { domainCalls } from './world/calls-domains.ts';
import { evtchnCalls } from './world/calls-evtchn.ts';
import { grantCalls, memoryCalls } from './world/calls-memory.ts';
import { checkRequest } from './world/check.ts';
import { ConRing } from './world/conring.ts';
import { Devices } from './world/devices.ts';
import type { Effect, Memory } from './world/effects.ts';
import { Emulation } from './world/emulation.ts';
import { Events } from './world/events.ts';
import { Files } from './world/files.ts';
import { Foreign } from './world/foreign.ts';
import { Frames } from './world/frames.ts';
import { Grants } from './world/grants.ts';
import { Ioreq } from './world/ioreq.ts';
import { Lifecycle } from './world/lifecycle.ts';
import { Maps } from './world/maps.ts';
import { fail } from './world/outcome.ts';
import type { Args, OpName, Reply } from './world/requests.ts';
import { type Domain, type Limits, State } from './world/state.ts';
import { copyByTable } from './world/tablecopies.ts';

export type { Effect, Memory } from './world/effects.ts';
export type { Args, MappedMemory, MappingOp, OpName, Reply, Requests, Run, Value } from './world/requests.ts';
export type { Limits } from './world/state.ts';

export interface WorldOptions {
  readonly memory: Memory;
  readonly limits?: Partial<Limits>;
}

/** Four gibibytes; the rest as Xen's defaults. */
const DEFAULT_LIMITS: Limits = { totalPages: 1_048_576, maxGrantFrames: 64, maxMaptrackFrames: 1024 };

export class World {
  readonly #state: State;
  readonly #lifecycle: Lifecycle;
  readonly #handlers: Handlers;

  /** A machine with nothing but its control domain, number 0, which runs. */
  constructor(options: WorldOptions) {
    const state = new State(options.memory, { ...DEFAULT_LIMITS, ...options.limits });
    const conring = new ConRing();
    const events = new Events(state);
    const files = new Files(state, events);
    const frames = new Frames(state, (owner) => lifecycle.settle(owner));
    const grants = new Grants(state, frames, (granter, ref) => maps.unpinned(granter, ref));
    const maps: Maps = new Maps(state, frames, grants, events);
    const devices = new Devices(frames, grants, maps);
    const foreign = new Foreign(state, frames, grants, maps);
    const emulation = new Emulation(state, events);
    const ioreq = new Ioreq(state, frames, events, (domain) => lifecycle.crashed(domain));
    const lifecycle: Lifecycle = new Lifecycle(state, { events, files, frames, grants, maps, ioreq });
    const memory = { frames, grants, maps, foreign, devices };
    const parts = { state, conring, events, files, ioreq, lifecycle, emulation, ...memory };
    this.#state = state;
    this.#lifecycle = lifecycle;
    this.#handlers = {
      ...evtchnCalls(parts),
      ...grantCalls(parts),
      ...memoryCalls(parts),
      ...domainCalls(parts),
      ...deviceCalls(parts),
    };
    const first = lifecycle.create({}, 'control');
    if (!first.ok) {
      throw new Error('no memory for the control domain');
    }
  }

  /**
   * Performs a domain's request. ESRCH where the caller does not exist (any more), ENOSYS for a request that does not,
   * EFAULT for arguments of another shape.
   */
  hypercall<K extends OpName>(domid: number, op: K, args: Args<K>): Reply<K>;
  hypercall(domid: number, op: string, args: unknown): Reply;
  hypercall(domid: number, op: string, args: unknown): Reply {
    const caller = this.#state.domains.get(domid);
    if (caller === undefined || caller.life !== 'alive') {
      return fail(Errno.ESRCH);
    }
    const shape = checkRequest(op, args);
    if (shape !== 'good') {
      return fail(shape === 'unknown' ? Errno.ENOSYS : Errno.EFAULT);
    }
    const handler = this.#handlers[op as OpName] as (caller: Domain, args: unknown) => Reply;
    return handler(caller, args);
  }

  /**
   * Grant copies between guests and memory that `gntdevCopier` made, `map`: 0, or ESRCH without such a caller, EBADF without such memory, EINVAL for a
   * copy that leaves its page or the memory (those before it have been done). Nothing is allocated, and there is never an effect.
   */
  copyByTable(domid: number, map: number, table: CopyTable): number {
    const caller = this.#state.domains.get(domid);
    if (caller === undefined || caller.life !== 'alive') {
      return Errno.ESRCH;
    }
    const record = caller.maps.get(map);
    return record?.forCopies === true ? copyByTable(this.#state, caller, record, table) : Errno.EBADF;
  }

  /** The process that ran a domain is gone: the domain crashed, and is taken down. */
  crashed(domid: number): void {
    const domain = this.#state.domains.get(domid);
    if (domain !== undefined && !domain.control) {
      this.#lifecycle.crashed(domain);
    }
  }

  /** Whether the domain has said that it is done, and nobody has taken it down yet. */
  hasShutDown(domid: number): boolean {
    const domain = this.#state.domains.get(domid);
    return domain?.life === 'alive' && domain.shutdownReason !== undefined;
  }

  /** Whether the domain exists and is not dead. */
  isAlive(domid: number): boolean {
    return this.#state.domains.get(domid)?.life === 'alive';
  }

  /** What has to be done outside, in order; each is handed out once. */
  takeEffects(): Effect[] {
    return this.#state.takeEffects();
  }
}
