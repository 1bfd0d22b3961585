/**
 * A domain's own memory and that of others: giving and taking frames, mapping them by frame number or as a resource
 * of the hypervisor (xen/common/memory.c, and privcmd's way of answering for each frame).
 */
import { Errno } from '../../errno.ts';
import { Resource, type ResourceFrames } from '../../foreignmemory.ts';
import type { Frames } from './frames.ts';
import type { Grants } from './grants.ts';
import type { Mapped, Maps } from './maps.ts';
import { done, type Fail, fail, nothing, type Outcome } from './outcome.ts';
import { command, may } from './policy.ts';
import type { MappedMemory, MapResult } from './requests.ts';
import type { Domain, Frame, State } from './state.ts';

const MAX_GFN = 2 ** 40;

export interface ForeignMapped {
  readonly ok: true;
  readonly value: MapResult & { errors: number[] };
  readonly memory: MappedMemory;
}

export class Foreign {
  readonly #state: State;
  readonly #frames: Frames;
  readonly #grants: Grants;
  readonly #maps: Maps;

  constructor(state: State, frames: Frames, grants: Grants, maps: Maps) {
    this.#state = state;
    this.#frames = frames;
    this.#grants = grants;
    this.#maps = maps;
  }

  own(caller: Domain, gfns: readonly number[]): Mapped | Fail {
    const frames = this.#lookUp(caller, gfns);
    return frames.length === 0 || frames.includes(undefined)
      ? fail(Errno.EINVAL)
      : this.#maps.add(caller, { frames, writable: true });
  }

  map(
    caller: Domain,
    domid: number,
    gfns: readonly number[],
    writable: boolean,
    missing: 'allowed' | 'refused',
  ): ForeignMapped | Fail {
    const target = this.#state.find(caller, domid);
    if (target === undefined) {
      return fail(Errno.ESRCH);
    }
    if (!may(caller, 'self', target)) {
      return fail(Errno.EPERM);
    }
    const frames = this.#lookUp(target, gfns);
    if (frames.length === 0 || (missing === 'refused' && frames.includes(undefined))) {
      return fail(Errno.EINVAL);
    }
    const mapped = this.#maps.add(caller, { frames, writable });
    const errors = frames.map((frame) => (frame === undefined ? Errno.EINVAL : 0));
    return { ...mapped, value: { ...mapped.value, errors } };
  }

  resource(caller: Domain, asked: ResourceFrames, writable: boolean): Mapped | Fail {
    const target = this.#resourceOwner(caller, asked.domid);
    if (!target.ok) {
      return target;
    }
    if (!(asked.count > 0) || !(asked.frame >= 0 && asked.frame + asked.count <= 2 ** 32)) {
      return fail(Errno.EINVAL);
    }
    const all = this.#resourceFrames(target.value, asked.type, asked.id, asked.frame + asked.count);
    const frames = all?.slice(asked.frame, asked.frame + asked.count) ?? [];
    return frames.length < asked.count || frames.includes(undefined)
      ? fail(Errno.EINVAL)
      : this.#maps.add(caller, { frames, writable });
  }

  resourceSize(caller: Domain, domid: number, type: number, id: number): Outcome<{ frames: number }> {
    const target = this.#resourceOwner(caller, domid);
    if (!target.ok) {
      return target;
    }
    if (type === Resource.GRANT_TABLE && id === 0) {
      return done({ frames: target.value.maxGrantFrames });
    }
    const frames = this.#resourceFrames(target.value, type, id, 0);
    return frames === undefined ? fail(Errno.EINVAL) : done({ frames: frames.length });
  }

  populate(caller: Domain, domid: number, gfns: readonly number[]): Outcome<Record<never, never>> {
    const target = this.#adjustable(caller, domid);
    if (!target.ok) {
      return target;
    }
    const domain = target.value;
    const places = new Set(gfns);
    const sane = gfns.every(
      (gfn) => Number.isInteger(gfn) && gfn >= 0 && gfn < MAX_GFN && !domain.p2m.has(gfn),
    );
    if (!sane || places.size < gfns.length || domain.life !== 'alive') {
      return fail(Errno.EINVAL);
    }
    if (gfns.length === 0) {
      return nothing;
    }
    const frames =
      domain.p2m.size + gfns.length > limitFor(caller, domain)
        ? undefined
        : this.#frames.allocate(domain, gfns.length, 'free');
    if (frames === undefined) {
      return fail(Errno.ENOMEM);
    }
    for (const [index, frame] of frames.entries()) {
      this.#frames.place(frame, gfns[index] ?? 0);
    }
    return nothing;
  }

  decrease(caller: Domain, domid: number, gfns: readonly number[]): Outcome<Record<never, never>> {
    const target = this.#adjustable(caller, domid);
    if (!target.ok) {
      return target;
    }
    const frames = this.#lookUp(target.value, gfns);
    if (frames.includes(undefined)) {
      return fail(Errno.EINVAL);
    }
    for (const frame of new Set(frames)) {
      if (frame !== undefined) {
        this.#frames.displace(frame);
      }
    }
    return nothing;
  }

  maximumGpfn(caller: Domain, domid: number): Outcome<{ gfn: number }> {
    const target = this.#adjustable(caller, domid);
    if (!target.ok) {
      return target;
    }
    let highest = 0;
    for (const gfn of target.value.p2m.keys()) {
      highest = Math.max(highest, gfn);
    }
    return done({ gfn: highest });
  }

  #adjustable(caller: Domain, domid: number): Outcome<Domain> {
    const target = this.#state.find(caller, domid);
    if (target === undefined) {
      return fail(Errno.ESRCH);
    }
    return may(caller, 'self', target) ? done(target) : fail(Errno.EPERM);
  }

  /** Never the caller itself: its own resources are no business of this call. */
  #resourceOwner(caller: Domain, domid: number): Outcome<Domain> {
    const target = this.#state.find(caller, domid);
    if (target === undefined) {
      return fail(Errno.ESRCH);
    }
    return target === caller ? fail(Errno.EPERM) : command(this.#state, caller, 'model', target.domid);
  }

  /** All frames of a resource, in order; a grant table grows to `upTo` frames as far as it may. */
  #resourceFrames(domain: Domain, type: number, id: number, upTo: number): (Frame | undefined)[] | undefined {
    if (type === Resource.GRANT_TABLE && id === 0) {
      if (domain.life === 'alive') {
        this.#grants.grow(domain, upTo);
      }
      return domain.grantFrames;
    }
    const server = type === Resource.IOREQ_SERVER ? domain.servers.get(id) : undefined;
    return server === undefined ? undefined : [server.bufioreqPage, server.ioreqPage];
  }

  #lookUp(domain: Domain, gfns: readonly number[]): (Frame | undefined)[] {
    return gfns.map((gfn) => domain.p2m.get(gfn));
  }
}

/** Until a toolstack says how much a domain may have, only those above it can give it any. */
function limitFor(caller: Domain, domain: Domain): number {
  return domain.maxPages ?? (caller === domain && !domain.control ? 0 : Number.POSITIVE_INFINITY);
}
