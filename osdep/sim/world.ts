/**
 * The simulated hypervisor: one pure, deterministic state machine. A domain's request goes in, its answer comes out,
 * and what has to be done outside (events to deliver, processes to end) is collected as effects. Memory is reached
 * only through what it is given; time and chance do not exist here. The pieces are in world/, one subject a file.
 */
import type { EvtchnStatus, GrantSeed } from '../ctrl.ts';
import { Errno } from '../errno.ts';
import { GrantStatus, ReservedGrant } from '../gnttab.ts';
import { checkRequest } from './world/check.ts';
import { ConRing, VERSION } from './world/conring.ts';
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
import { done, fail, nothing, type Outcome } from './world/outcome.ts';
import { getParam, setParam } from './world/params.ts';
import { command, type Right, reach } from './world/policy.ts';
import type { Args, OpName, Reply } from './world/requests.ts';
import { type Domain, type EvtchnFile, type IoreqServer, type Limits, State } from './world/state.ts';

export type { Effect, Memory } from './world/effects.ts';
export type { Args, MappedMemory, MappingOp, OpName, Reply, Requests, Run, Value } from './world/requests.ts';
export type { Limits } from './world/state.ts';

export interface WorldOptions {
  readonly memory: Memory;
  readonly limits?: Partial<Limits>;
}

/** One gibibyte; the rest as Xen's defaults. */
const DEFAULT_LIMITS: Limits = { totalPages: 262_144, maxGrantFrames: 64, maxMaptrackFrames: 1024 };

const MAX_FILES = 1024;
const MAX_MAPS = 65_536;
const MAP_FLAGS_HOST = 2;
const MAP_FLAGS_DEVICE = 1;
const MAP_FLAG_READONLY = 4;

type Handlers = { [K in OpName]: (caller: Domain, args: Args<K>) => Reply<K> };

export class World {
  readonly #state: State;
  readonly #conring = new ConRing();
  readonly #events: Events;
  readonly #frames: Frames;
  readonly #grants: Grants;
  readonly #maps: Maps;
  readonly #files: Files;
  readonly #devices: Devices;
  readonly #foreign: Foreign;
  readonly #ioreq: Ioreq;
  readonly #lifecycle: Lifecycle;
  readonly #emulation: Emulation;
  readonly #handlers: Handlers;

  /** A machine with nothing but its control domain, number 0, which runs. */
  constructor(options: WorldOptions) {
    const state = new State(options.memory, { ...DEFAULT_LIMITS, ...options.limits });
    this.#state = state;
    this.#events = new Events(state);
    this.#frames = new Frames(state, (owner) => this.#lifecycle.settle(owner));
    this.#grants = new Grants(state, this.#frames, (granter, ref) => this.#maps.unpinned(granter, ref));
    this.#maps = new Maps(state, this.#frames, this.#grants, this.#events);
    this.#files = new Files(state, this.#events);
    this.#devices = new Devices(this.#frames, this.#grants, this.#maps);
    this.#foreign = new Foreign(state, this.#frames, this.#grants, this.#maps);
    this.#ioreq = new Ioreq(state, this.#frames, this.#events, (domain) => this.#lifecycle.crashed(domain));
    this.#emulation = new Emulation(state);
    this.#lifecycle = new Lifecycle(state, {
      events: this.#events,
      files: this.#files,
      frames: this.#frames,
      grants: this.#grants,
      maps: this.#maps,
      ioreq: this.#ioreq,
    });
    this.#handlers = {
      ...this.#evtchnHandlers(),
      ...this.#grantHandlers(),
      ...this.#memoryHandlers(),
      ...this.#domainHandlers(),
      ...this.#deviceHandlers(),
    };
    const first = this.#lifecycle.create({}, 'control');
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

  /** The process that ran a domain is gone: the domain crashed, and is taken down. */
  crashed(domid: number): void {
    const domain = this.#state.domains.get(domid);
    if (domain !== undefined && !domain.control) {
      this.#lifecycle.crashed(domain);
    }
  }

  /** Whether the domain exists and is not dead. */
  isAlive(domid: number): boolean {
    return this.#state.domains.get(domid)?.life === 'alive';
  }

  /** What has to be done outside, in order; each is handed out once. */
  takeEffects(): Effect[] {
    return this.#state.takeEffects();
  }

  #file(caller: Domain, handle: number, then: (file: EvtchnFile) => Outcome<unknown>): Outcome<never> {
    const file = caller.files.get(handle);
    return (file === undefined ? fail(Errno.EBADF) : then(file)) as Outcome<never>;
  }

  /** Does something to a domain that the caller has this right over. */
  #on(
    caller: Domain,
    right: Right,
    domid: number,
    then: (target: Domain) => Outcome<unknown>,
  ): Outcome<never> {
    const target = reach(this.#state, caller, right, domid);
    return (target.ok ? then(target.value) : target) as Outcome<never>;
  }

  #command(
    caller: Domain,
    right: Right,
    domid: number,
    then: (target: Domain) => Outcome<unknown>,
  ): Outcome<never> {
    const target = command(this.#state, caller, right, domid);
    return (target.ok ? then(target.value) : target) as Outcome<never>;
  }

  #server(
    caller: Domain,
    domid: number,
    id: number,
    then: (server: IoreqServer, domain: Domain) => Outcome<unknown>,
  ): Outcome<never> {
    return this.#on(caller, 'model', domid, (domain) => {
      const server = this.#ioreq.find(caller, domain, id);
      return server.ok ? then(server.value, domain) : server;
    });
  }

  #evtchnHandlers(): Pick<Handlers, Extract<OpName, `evtchn${string}`>> {
    const events = this.#events;
    const files = this.#files;
    const portOf = (bound: Outcome<{ number: number }>) =>
      bound.ok ? done({ port: bound.value.number }) : bound;
    return {
      evtchnOpen: (caller) =>
        caller.files.size < MAX_FILES ? done({ handle: files.open(caller).handle }) : fail(Errno.EMFILE),
      evtchnClose: (caller, { handle }) =>
        this.#file(caller, handle, (file) => {
          files.close(caller, file);
          return nothing;
        }),
      evtchnBindUnbound: (caller, { handle, domid }) =>
        this.#file(caller, handle, (file) => files.bindUnbound(caller, file, domid)),
      evtchnBindInterdomain: (caller, { handle, domid, port }) =>
        this.#file(caller, handle, (file) => files.bindInterdomain(caller, file, domid, port)),
      evtchnBindVirq: (caller, { handle, virq }) =>
        this.#file(caller, handle, (file) => files.bindVirq(caller, file, virq)),
      evtchnBind: (caller, { handle, port }) =>
        this.#file(caller, handle, (file) => files.bind(caller, file, port)),
      evtchnUnbind: (caller, { handle, port }) =>
        this.#file(caller, handle, (file) => files.unbind(caller, file, port)),
      evtchnNotify: (caller, { handle, port }) =>
        this.#file(caller, handle, (file) => files.notify(caller, file, port)),
      evtchnUnmask: (caller, { handle, port }) =>
        this.#file(caller, handle, (file) => files.unmask(caller, file, port)),
      evtchnRestrict: (caller, { handle, domid }) =>
        this.#file(caller, handle, (file) => files.restrict(file, domid)),
      evtchnAllocUnbound: (caller, { domid, remoteDomid }) =>
        this.#on(caller, 'self', domid, (owner) => {
          const remote = this.#state.find(caller, remoteDomid)?.domid ?? remoteDomid;
          return portOf(events.allocUnbound(owner, remote));
        }),
      evtchnInterdomain: (caller, { domid, port }) => portOf(events.bindInterdomain(caller, domid, port)),
      evtchnVirq: (caller, { virq, vcpu }) => portOf(events.bindVirq(caller, virq, vcpu)),
      evtchnShut: (caller, { port }) => events.close(caller, port),
      evtchnSend: (caller, { port }) => events.send(caller, port),
      evtchnStatus: (caller, { domid, port }) =>
        this.#on(caller, 'self', domid, (owner) => statusOf(owner, port)),
      evtchnReset: (caller, { domid }) =>
        this.#on(caller, 'self', domid, (owner) => {
          events.reset(owner, 'guest');
          return nothing;
        }),
    };
  }

  #grantHandlers(): Pick<Handlers, Extract<OpName, `gnt${string}` | 'unmap'>> {
    const grants = this.#grants;
    return {
      gntdevMap: (caller, { refs, writable, notify }) =>
        hasRoom(caller) ? this.#devices.map(caller, refs, writable, notify) : fail(Errno.ENOMEM),
      gntdevCopy: (caller, { ops }) => this.#devices.copy(caller, ops),
      gntallocShare: (caller, { domid, count, peerWritable, notify }) =>
        hasRoom(caller)
          ? this.#devices.share(caller, this.#self(caller, domid), count, peerWritable, notify)
          : fail(Errno.ENOMEM),
      gnttabMap: (caller, { ops }) =>
        done({
          results: ops.map(({ domid, ref, flags }) => {
            if ((flags & (MAP_FLAGS_HOST | MAP_FLAGS_DEVICE)) === 0) {
              return { status: GrantStatus.BAD_GNTREF, handle: -1, frame: 0 };
            }
            const mapped = grants.map(caller, domid, ref, (flags & MAP_FLAG_READONLY) === 0 ? 'rw' : 'r');
            return { ...mapped, frame: grants.frameOf(caller, mapped.handle)?.mfn ?? 0 };
          }),
        }),
      gnttabCopy: (caller, { ops }) => done({ results: ops.map((op) => grants.copy(caller, op)) }),
      gnttabUnmap: (caller, { handles }) =>
        done({ statuses: handles.map((handle) => grants.unmap(caller, handle)) }),
      gnttabSetup: (caller, { frames }) => {
        if (frames === 0 || !hasRoom(caller) || !grants.grow(caller, frames)) {
          return fail(Errno.EINVAL);
        }
        return this.#maps.add(caller, { frames: caller.grantFrames.slice(0, frames), writable: true });
      },
      gnttabQuerySize: (caller, { domid }) => {
        const target = reach(this.#state, caller, 'self', domid);
        if (!target.ok) {
          const status =
            target.errno === Errno.ESRCH ? GrantStatus.BAD_DOMAIN : GrantStatus.PERMISSION_DENIED;
          return done({ frames: 0, maxFrames: 0, status });
        }
        const { grantFrames, maxGrantFrames } = target.value;
        return done({ frames: grantFrames.length, maxFrames: maxGrantFrames, status: GrantStatus.OKAY });
      },
      gnttabGetVersion: (caller, { domid }) => this.#on(caller, 'self', domid, () => done({ version: 1 })),
      gnttabSeed: (caller, { domid, seed }) =>
        this.#command(caller, 'model', domid, (domain) => {
          this.#seed(domain, seed);
          return nothing;
        }),
      unmap: (caller, { map }) => this.#maps.remove(caller, map),
    };
  }

  #memoryHandlers(): Pick<
    Handlers,
    | 'ownMap'
    | 'foreignMap'
    | 'resourceMap'
    | 'resourceSize'
    | 'populatePhysmap'
    | 'decreaseReservation'
    | 'maximumGpfn'
  > {
    const foreign = this.#foreign;
    return {
      ownMap: (caller, { gfns }) => (hasRoom(caller) ? foreign.own(caller, gfns) : fail(Errno.ENOMEM)),
      foreignMap: (caller, { domid, gfns, writable, partial }) =>
        hasRoom(caller)
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

  #domainHandlers(): Pick<
    Handlers,
    | Extract<OpName, `${string}Domain` | `set${string}` | `domain${string}` | `hvmParam${string}`>
    | 'guestWidth'
    | 'version'
    | 'physinfo'
    | 'readConsole'
    | 'writeConsole'
  > {
    const life = this.#lifecycle;
    const set = (change: () => void) => {
      change();
      return nothing;
    };
    return {
      createDomain: (caller, options) => {
        const made = caller.control ? life.create(options, 'guest') : fail(Errno.EPERM);
        return made.ok ? done({ domid: made.value.domid }) : made;
      },
      destroyDomain: (caller, { domid }) =>
        this.#command(caller, 'control', domid, (domain) =>
          domain === caller ? fail(Errno.EINVAL) : set(() => life.destroy(domain)),
        ),
      pauseDomain: (caller, { domid }) =>
        this.#command(caller, 'control', domid, (domain) => life.pause(caller, domain)),
      unpauseDomain: (caller, { domid }) =>
        this.#command(caller, 'control', domid, (domain) => life.unpause(caller, domain)),
      shutdownDomain: (caller, { domid, reason }) => {
        const target = this.#state.find(caller, domid);
        return target === caller
          ? set(() => life.shutdown(caller, reason))
          : this.#on(caller, 'model', domid, (domain) => set(() => life.shutdown(domain, reason)));
      },
      resumeDomain: (caller, { domid }) =>
        this.#command(caller, 'control', domid, (domain) =>
          domain === caller ? fail(Errno.EINVAL) : life.resume(domain),
        ),
      setMaxMem: (caller, { domid, maxKb }) =>
        this.#command(caller, 'control', domid, (domain) =>
          set(() => {
            domain.maxPages = Math.floor(maxKb / 4);
          }),
        ),
      setMaxVcpus: (caller, { domid, count }) =>
        this.#command(caller, 'control', domid, (domain) => life.setMaxVcpus(domain, count)),
      setHandle: (caller, { domid, handle }) =>
        this.#command(caller, 'control', domid, (domain) => life.setHandle(domain, handle)),
      setTarget: (caller, { domid, target }) =>
        this.#command(caller, 'control', domid, (domain) => {
          const other = this.#state.domains.get(target);
          if (other === undefined) {
            return fail(Errno.ESRCH);
          }
          if (other === domain || domain.target !== undefined) {
            return fail(Errno.EINVAL);
          }
          domain.target = other;
          return nothing;
        }),
      setVirqHandler: (caller, { domid, virq }) =>
        this.#command(caller, 'control', domid, (domain) => this.#events.setVirqHandler(domain, virq)),
      domainInfo: (caller, { domid }) =>
        this.#command(caller, 'inspect', domid, (domain) => done(life.infoOf(domain))),
      domainInfoList: (caller, { firstDomid, max }) => {
        if (!(caller.control || caller.xenstore)) {
          return fail(Errno.EPERM);
        }
        const listed = [...this.#state.domains.values()]
          .filter((domain) => domain.domid >= firstDomid)
          .sort((a, b) => a.domid - b.domid)
          .slice(0, max);
        return done({ domains: listed.map((domain) => life.infoOf(domain)) });
      },
      domainState: (caller, { domid }) =>
        this.#command(caller, 'inspect', domid, (domain) => done(life.stateOf(domain))),
      pollChangedDomain: (caller) => life.pollChanged(caller),
      hvmParamSet: (caller, { domid, param, value }) =>
        this.#on(caller, 'self', domid, (domain) => setParam(caller, domain, param, value)),
      hvmParamGet: (caller, { domid, param }) =>
        this.#on(caller, 'self', domid, (domain) => getParam(domain, param)),
      guestWidth: (caller, { domid }) => this.#command(caller, 'control', domid, () => done({ bytes: 8 })),
      version: () => done(VERSION),
      physinfo: (caller) =>
        caller.control
          ? done({
              threadsPerCore: 1,
              coresPerSocket: 1,
              nrCpus: 1,
              maxCpuId: 0,
              nrNodes: 1,
              cpuKhz: 1_000_000,
              totalPages: this.#state.limits.totalPages,
              freePages: this.#state.freePages,
              scrubPages: 0,
              maxMfn: this.#frames.maxMfn,
            })
          : fail(Errno.EPERM),
      readConsole: (caller, { index, clear }) =>
        caller.control ? done(this.#conring.read(index, clear ? 'clear' : 'keep')) : fail(Errno.EPERM),
      writeConsole: (caller, { text }) => set(() => this.#conring.write(caller.domid, text)),
    };
  }

  #deviceHandlers(): Pick<Handlers, Extract<OpName, `dm${string}` | `guestIo${string}`>> {
    const ioreq = this.#ioreq;
    const emulation = this.#emulation;
    return {
      dmCreateServer: (caller, { domid, buffered }) =>
        this.#on(caller, 'model', domid, (domain) => ioreq.create(caller, domain, buffered)),
      dmServerInfo: (caller, { domid, id }) =>
        this.#server(caller, domid, id, (server) => done({ bufioreqPort: server.bufioreqPort })),
      dmMapRange: (caller, { domid, id, range }) =>
        this.#server(caller, domid, id, (server) => ioreq.mapRange(server, range)),
      dmUnmapRange: (caller, { domid, id, range }) =>
        this.#server(caller, domid, id, (server) => ioreq.unmapRange(server, range)),
      dmMapPci: (caller, { domid, id, address }) =>
        this.#server(caller, domid, id, (server) => ioreq.mapRange(server, pciRange(address))),
      dmUnmapPci: (caller, { domid, id, address }) =>
        this.#server(caller, domid, id, (server) => ioreq.unmapRange(server, pciRange(address))),
      dmMapMemType: (caller, { domid, id, flags }) =>
        this.#server(caller, domid, id, () => (flags & ~3 ? fail(Errno.EINVAL) : nothing)),
      dmSetServerState: (caller, { domid, id, enabled }) =>
        this.#server(caller, domid, id, (server) => {
          server.enabled = enabled;
          return nothing;
        }),
      dmDestroyServer: (caller, { domid, id }) =>
        this.#server(caller, domid, id, (server, domain) => ioreq.destroy(domain, server)),
      dmInterrupt: (caller, { domid, line, level }) =>
        this.#on(caller, 'model', domid, (domain) => emulation.interrupt(domain, line, level)),
      dmInjectEvent: (caller, { domid, event }) =>
        this.#on(caller, 'model', domid, (domain) => emulation.inject(domain, event)),
      dmTrackDirty: (caller, { domid, firstPfn, count }) =>
        this.#on(caller, 'model', domid, (domain) => emulation.trackDirty(domain, firstPfn, count)),
      dmModified: (caller, { domid, runs }) =>
        this.#on(caller, 'model', domid, (domain) => emulation.modified(domain, runs)),
      dmSetMemType: (caller, { domid, type, firstPfn, count }) =>
        this.#on(caller, 'model', domid, (domain) => emulation.setMemType(domain, type, firstPfn, count)),
      dmRelocate: (caller, { domid, count, sourceGfn, destGfn }) =>
        this.#on(caller, 'model', domid, (domain) => emulation.relocate(domain, count, sourceGfn, destGfn)),
      dmPinCache: (caller, { domid, start, end }) =>
        this.#on(caller, 'model', domid, () => (start > end ? fail(Errno.EINVAL) : nothing)),
      dmVcpus: (caller, { domid }) =>
        this.#on(caller, 'model', domid, (domain) => done({ count: domain.maxVcpus })),
      guestIo: (caller, request) => ioreq.access(caller, request),
      guestIoResult: (caller, { vcpu }) => ioreq.result(caller, vcpu),
    };
  }

  #self(caller: Domain, domid: number): number {
    return this.#state.find(caller, domid)?.domid ?? domid;
  }

  /** A guest that is its own backend gets no grant to itself. */
  #seed(domain: Domain, seed: GrantSeed): void {
    const one = (ref: number, gfn: number | undefined, backend: number | undefined) => {
      if (gfn !== undefined && backend !== undefined && backend !== domain.domid) {
        this.#grants.grant(domain, ref, backend, gfn, 'rw');
      }
    };
    one(ReservedGrant.CONSOLE, seed.consoleGfn, seed.consoleDomid);
    one(ReservedGrant.XENSTORE, seed.xenstoreGfn, seed.xenstoreDomid);
  }
}

function hasRoom(domain: Domain): boolean {
  return domain.maps.size < MAX_MAPS;
}

function pciRange(address: { segment: number; bus: number; device: number; fn: number }): {
  type: 'pci';
  start: number;
  end: number;
} {
  const sbdf = address.segment * 65536 + ((address.bus << 8) | (address.device << 3) | address.fn);
  return { type: 'pci', start: sbdf, end: sbdf };
}

function statusOf(owner: Domain, number: number): Outcome<EvtchnStatus> {
  const port = owner.ports.get(number);
  if (port === undefined) {
    return number > 0 && number <= owner.maxEvtchnPort
      ? done({ state: 'closed', vcpu: 0 })
      : fail(Errno.EINVAL);
  }
  const { state, vcpu, remoteDomid, remotePort, virq } = port;
  switch (state) {
    case 'unbound':
      return done({ state, vcpu, remoteDomid });
    case 'interdomain':
      return done({ state, vcpu, remoteDomid, remotePort });
    case 'virq':
      return done({ state, vcpu, virq });
  }
}
