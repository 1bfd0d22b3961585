/** Requests about grants and memory, and which piece does them. */
import type { GrantSeed } from '../../ctrl.ts';
import { Errno } from '../../errno.ts';
import { GrantStatus, ReservedGrant } from '../../gnttab.ts';
import { type Handlers, hasRoom, on, onCommand, type Parts } from './calls.ts';
import type { Grants } from './grants.ts';
import { done, fail, nothing } from './outcome.ts';
import { reach } from './policy.ts';
import type { OpName } from './requests.ts';
import type { Domain, State } from './state.ts';

const MAP_DEVICE = 1;
const MAP_HOST = 2;
const MAP_READONLY = 4;

export function grantCalls(parts: Parts): Pick<Handlers, Extract<OpName, `gnt${string}` | 'unmap'>> {
  const grants = parts.grants;
  return {
    gntdevMap: (caller, { refs, writable, notify }) =>
      hasRoom(caller, refs.length) ? parts.devices.map(caller, refs, writable, notify) : fail(Errno.ENOMEM),
    gntdevCopy: (caller, { ops }) => parts.devices.copy(caller, ops),
    gntdevCopier: (caller, { pages }) =>
      hasRoom(caller, pages) ? parts.devices.copier(caller, pages) : fail(Errno.ENOMEM),
    gntallocShare: (caller, { domid, count, peerWritable, notify }) =>
      hasRoom(caller)
        ? parts.devices.share(caller, selfOr(parts.state, caller, domid), count, peerWritable, notify)
        : fail(Errno.ENOMEM),
    gnttabMap: (caller, { ops }) =>
      done({
        results: ops.map(({ domid, ref, flags }) => {
          if ((flags & (MAP_HOST | MAP_DEVICE)) === 0) {
            return { status: GrantStatus.BAD_GNTREF, handle: -1, frame: 0 };
          }
          const mapped = grants.map(caller, domid, ref, (flags & MAP_READONLY) === 0 ? 'rw' : 'r');
          return { ...mapped, frame: grants.frameOf(caller, mapped.handle)?.mfn ?? 0 };
        }),
      }),
    gnttabCopy: (caller, { ops }) => done({ results: ops.map((op) => grants.copy(caller, op)) }),
    gnttabUnmap: (caller, { handles }) =>
      done({ statuses: handles.map((handle) => grants.unmap(caller, handle)) }),
    gnttabSetup: (caller, { frames }) => {
      if (frames === 0 || !hasRoom(caller, frames) || !grants.grow(caller, frames)) {
        return fail(Errno.EINVAL);
      }
      return parts.maps.add(caller, { frames: caller.grantFrames.slice(0, frames), writable: true });
    },
    gnttabQuerySize: (caller, { domid }) => {
      const target = reach(parts.state, caller, 'self', domid);
      if (!target.ok) {
        const status = target.errno === Errno.ESRCH ? GrantStatus.BAD_DOMAIN : GrantStatus.PERMISSION_DENIED;
        return done({ frames: 0, maxFrames: 0, status });
      }
      const { grantFrames, maxGrantFrames } = target.value;
      return done({ frames: grantFrames.length, maxFrames: maxGrantFrames, status: GrantStatus.OKAY });
    },
    gnttabGetVersion: (caller, { domid }) =>
      on(parts.state, caller, 'self', domid, () => done({ version: 1 })),
    gnttabSeed: (caller, { domid, seed }) =>
      onCommand(parts.state, caller, 'model', domid, (domain) => {
        seedGrants(parts.grants, domain, seed);
        return nothing;
      }),
    unmap: (caller, { map }) => parts.maps.remove(caller, map),
  };
}

export function memoryCalls(
  parts: Parts,
): Pick<
  Handlers,
  | 'ownMap'
  | 'foreignMap'
  | 'resourceMap'
  | 'resourceSize'
  | 'populatePhysmap'
  | 'decreaseReservation'
  | 'maximumGpfn'
> {
  const foreign = parts.foreign;
  return {
    ownMap: (caller, { gfns }) =>
      hasRoom(caller, gfns.length) ? foreign.own(caller, gfns) : fail(Errno.ENOMEM),
    foreignMap: (caller, { domid, gfns, writable, partial }) =>
      hasRoom(caller, gfns.length)
        ? foreign.map(caller, domid, gfns, writable, partial ? 'allowed' : 'refused')
        : fail(Errno.ENOMEM),
    resourceMap: (caller, args) =>
      hasRoom(caller) ? foreign.resource(caller, args, args.writable) : fail(Errno.ENOMEM),
    resourceSize: (caller, { domid, type, id }) => foreign.resourceSize(caller, domid, type, id),
    populatePhysmap: (caller, { domid, gfns }) => foreign.populate(caller, domid, gfns),
    decreaseReservation: (caller, { domid, gfns }) => foreign.decrease(caller, domid, gfns),
    maximumGpfn: (caller, { domid }) => foreign.maximumGpfn(caller, domid),
  };
}

function selfOr(state: State, caller: Domain, domid: number): number {
  return state.find(caller, domid)?.domid ?? domid;
}

/** A guest that is its own backend gets no grant to itself. */
function seedGrants(grants: Grants, domain: Domain, seed: GrantSeed): void {
  const one = (ref: number, gfn: number | undefined, backend: number | undefined) => {
    if (gfn !== undefined && backend !== undefined && backend !== domain.domid) {
      grants.grant(domain, ref, backend, gfn, 'rw');
    }
  };
  one(ReservedGrant.CONSOLE, seed.consoleGfn, seed.consoleDomid);
  one(ReservedGrant.XENSTORE, seed.xenstoreGfn, seed.xenstoreDomid);
}
