/**
 * Domains: how they are made, paused, shut down, destroyed, and when nothing of them is left. A dead domain stays,
 * a zombie, while anybody maps a page of it (xen/common/domain.c, domctl.c).
 */
import type { CreateDomain, DomainInfo } from '../../ctrl.ts';
import { Domid, isRealDomid } from '../../domid.ts';
import { Errno } from '../../errno.ts';
import { Virq } from '../../evtchn.ts';
import { DomainCaps, DomainState } from '../../manage.ts';
import type { Events } from './events.ts';
import type { Files } from './files.ts';
import type { Frames } from './frames.ts';
import type { Grants } from './grants.ts';
import type { Ioreq } from './ioreq.ts';
import type { Maps } from './maps.ts';
import { Numbers } from './numbers.ts';
import { done, fail, nothing, type Outcome } from './outcome.ts';
import type { DomainStateValue } from './requests.ts';
import type { Domain, State } from './state.ts';

type Empty = Record<never, never>;

const NO_HANDLE = '00000000-0000-0000-0000-000000000000';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MAX_PAUSES = 255;
const MAX_VCPUS = 128;
const MAX_PORT = 131071;
const HANDLES_PER_FRAME = 256;
const CRASH = 3;
/** Where a domain's kernel puts pages that it shares: above whatever a toolstack populates. */
const FIRST_SHARED_GFN = 0x100000;

export interface Parts {
  readonly events: Events;
  readonly files: Files;
  readonly frames: Frames;
  readonly grants: Grants;
  readonly maps: Maps;
  readonly ioreq: Ioreq;
}

export class Lifecycle {
  readonly #state: State;
  readonly #parts: Parts;
  #made = 0n;
  #nextDomid = 1;

  constructor(state: State, parts: Parts) {
    this.#state = state;
    this.#parts = parts;
  }

  /** `control` is for the first domain alone. */
  create(options: CreateDomain, role: 'control' | 'guest'): Outcome<Domain> {
    const limits = this.#state.limits;
    const handle = options.handle ?? NO_HANDLE;
    const maxVcpus = options.maxVcpus ?? 1;
    const maxEvtchnPort = Math.min(options.maxEvtchnPort ?? MAX_PORT, MAX_PORT);
    if (!UUID.test(handle) || !(maxVcpus >= 1 && maxVcpus <= MAX_VCPUS) || maxEvtchnPort < 1) {
      return fail(Errno.EINVAL);
    }
    const domid = role === 'control' ? 0 : this.#pickDomid(options.domid);
    if (domid === undefined) {
      return fail(Errno.EEXIST);
    }
    this.#made += 1n;
    const domain: Domain = {
      domid,
      // Any number that differs each time; spread out so that nobody relies on its order.
      uniqueId: String((this.#made * 0x9e3779b97f4a7c15n) & 0xffff_ffff_ffff_ffffn),
      control: role === 'control',
      xenstore: options.xenstore ?? false,
      hvm: options.hvm ?? true,
      hap: options.hap ?? true,
      handle,
      ssidref: options.ssidref ?? 0,
      maxVcpus,
      maxEvtchnPort,
      maxGrantFrames: options.maxGrantFrames ?? limits.maxGrantFrames,
      maxMaptrack: (options.maxMaptrackFrames ?? limits.maxMaptrackFrames) * HANDLES_PER_FRAME,
      maxPages: undefined,
      pauseCount: role === 'control' ? 0 : 1,
      shutdownReason: undefined,
      life: 'alive',
      target: undefined,
      p2m: new Map(),
      frames: 0,
      nextGfn: FIRST_SHARED_GFN,
      ports: new Map(),
      portNumbers: new Numbers(1, maxEvtchnPort),
      virqs: new Map(),
      files: new Map(),
      grantFrames: [],
      grants: new Map(),
      freeRefs: [],
      nextRef: 0,
      lingering: new Map(),
      shared: new Map(),
      maptrack: new Map(),
      nextMaptrack: 0,
      maps: new Map(),
      mappedPages: 0,
      params: new Map(),
      servers: new Map(),
      io: new Map(),
      dirty: new Set(),
      tracked: undefined,
    };
    if (!this.#parts.grants.grow(domain, 1)) {
      return fail(Errno.ENOMEM);
    }
    this.#state.domains.set(domid, domain);
    this.#state.changed?.add(domid);
    this.#tell(domain, 'created');
    return done(domain);
  }

  pause(caller: Domain, domain: Domain): Outcome<Empty> {
    if (caller === domain) {
      return fail(Errno.EINVAL);
    }
    if (domain.pauseCount >= MAX_PAUSES) {
      return fail(Errno.EOVERFLOW);
    }
    domain.pauseCount += 1;
    if (domain.pauseCount === 1) {
      this.#tell(domain, 'paused');
    }
    return nothing;
  }

  unpause(caller: Domain, domain: Domain): Outcome<Empty> {
    if (caller === domain || domain.pauseCount === 0) {
      return fail(Errno.EINVAL);
    }
    domain.pauseCount -= 1;
    if (domain.pauseCount === 0) {
      this.#tell(domain, 'unpaused');
      this.#parts.events.flush(domain);
    }
    return nothing;
  }

  /** The first reason stays. */
  shutdown(domain: Domain, reason: number): void {
    if (domain.shutdownReason !== undefined || domain.life !== 'alive') {
      return;
    }
    domain.shutdownReason = reason & 0xff;
    this.#tell(domain, 'shutdown');
    this.#changed(domain);
  }

  resume(domain: Domain): Outcome<Empty> {
    if (domain.life !== 'alive') {
      return fail(Errno.EINVAL);
    }
    if (domain.shutdownReason !== undefined) {
      domain.shutdownReason = undefined;
      this.#tell(domain, 'resumed');
    }
    return nothing;
  }

  /** What ran the domain has ended by itself. */
  crashed(domain: Domain): void {
    this.shutdown(domain, CRASH);
    this.destroy(domain);
  }

  destroy(domain: Domain): void {
    if (domain.life !== 'alive') {
      return;
    }
    const { events, files, frames, grants, maps, ioreq } = this.#parts;
    domain.life = 'dying';
    ioreq.domainEnds(domain);
    for (const map of [...domain.maps.keys()]) {
      maps.remove(domain, map);
    }
    for (const handle of [...domain.maptrack.keys()]) {
      grants.unmap(domain, handle);
    }
    for (const file of [...domain.files.values()]) {
      files.close(domain, file);
    }
    events.reset(domain, 'all');
    for (const other of this.#state.domains.values()) {
      if (other.target === domain) {
        other.target = undefined;
      }
    }
    for (const frame of [...domain.p2m.values()]) {
      frames.displace(frame);
    }
    domain.life = 'dead';
    this.#tell(domain, 'dead');
    this.#changed(domain);
    // Entries stay readable for the hypervisor until nothing is mapped any more; then they go too, and so does the domain.
    this.settle(domain);
  }

  /** A dead domain of which only the hypervisor's own pages are left is gone. */
  settle(domain: Domain): void {
    if (domain.life !== 'dead' || this.#state.domains.get(domain.domid) !== domain) {
      return;
    }
    const kept = domain.grantFrames.filter((frame) => frame.kept && frame.maps === 0);
    if (domain.frames > kept.length) {
      return;
    }
    this.#state.domains.delete(domain.domid);
    for (const frame of kept) {
      this.#parts.frames.drop(frame);
    }
    this.#tell(domain, 'gone');
    this.#changed(domain);
  }

  stateOf(domain: Domain): DomainStateValue {
    let state: number = DomainState.EXIST;
    state |= domain.shutdownReason === undefined ? 0 : DomainState.SHUTDOWN;
    state |= domain.life === 'dying' ? DomainState.DYING : 0;
    state |= domain.life === 'dead' ? DomainState.DEAD : 0;
    let caps = domain.control ? DomainCaps.CONTROL | DomainCaps.HARDWARE : 0;
    caps |= domain.xenstore ? DomainCaps.XENSTORE : 0;
    return { domid: domain.domid, state, caps, uniqueId: domain.uniqueId };
  }

  pollChanged(caller: Domain): Outcome<DomainStateValue> {
    if (this.#parts.events.virqHandler(Virq.DOM_EXC) !== caller || !(caller.control || caller.xenstore)) {
      return fail(Errno.EACCES);
    }
    const changed = this.#state.changed;
    if (changed === undefined || changed.size === 0) {
      return fail(Errno.ENOENT);
    }
    const domid = Math.min(...changed);
    changed.delete(domid);
    const domain = this.#state.domains.get(domid);
    return done(domain === undefined ? { domid, state: 0, caps: 0, uniqueId: '0' } : this.stateOf(domain));
  }

  infoOf(domain: Domain): DomainInfo {
    const up = domain.life === 'alive' && domain.shutdownReason === undefined;
    return {
      domid: domain.domid,
      dying: domain.life === 'dead',
      hvm: domain.hvm,
      shutdown: domain.shutdownReason !== undefined,
      shutdownReason: domain.shutdownReason,
      paused: domain.pauseCount > 0,
      blocked: up && domain.pauseCount === 0 && !domain.control,
      running: up && domain.control,
      debugged: false,
      xenstore: domain.xenstore,
      hap: domain.hap,
      totPages: domain.p2m.size,
      maxPages: domain.maxPages ?? 0,
      outstandingPages: 0,
      shrPages: 0,
      pagedPages: 0,
      sharedInfoFrame: undefined,
      cpuTimeNs: 0,
      nrOnlineVcpus: domain.maxVcpus,
      maxVcpuId: domain.maxVcpus - 1,
      ssidref: domain.ssidref,
      handle: domain.handle,
      cpupool: 0,
    };
  }

  setHandle(domain: Domain, handle: string): Outcome<Empty> {
    if (!UUID.test(handle)) {
      return fail(Errno.EINVAL);
    }
    domain.handle = handle;
    return nothing;
  }

  setMaxVcpus(domain: Domain, count: number): Outcome<Empty> {
    if (!(Number.isInteger(count) && count >= 1 && count <= MAX_VCPUS)) {
      return fail(Errno.EINVAL);
    }
    domain.maxVcpus = count;
    return nothing;
  }

  #pickDomid(wanted: number | undefined): number | undefined {
    if (wanted !== undefined && wanted !== 0 && isRealDomid(wanted)) {
      return this.#state.domains.has(wanted) ? undefined : wanted;
    }
    for (let tried = 1; tried < Domid.FIRST_RESERVED; tried += 1) {
      const domid = this.#nextDomid;
      this.#nextDomid = domid + 1 < Domid.FIRST_RESERVED ? domid + 1 : 1;
      if (!this.#state.domains.has(domid)) {
        return domid;
      }
    }
    return undefined;
  }

  #changed(domain: Domain): void {
    this.#state.changed?.add(domain.domid);
    this.#parts.events.raiseGlobalVirq(Virq.DOM_EXC);
  }

  #tell(
    domain: Domain,
    what: 'created' | 'paused' | 'unpaused' | 'shutdown' | 'resumed' | 'dead' | 'gone',
  ): void {
    this.#state.effect({ kind: 'domain', domid: domain.domid, what });
  }
}
