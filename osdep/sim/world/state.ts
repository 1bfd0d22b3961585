/**
 * What the simulated machine consists of: domains, frames, ports, grants, servers. Only shapes and the look-ups that
 * everybody needs; what happens to them is in the files beside. Order of everything is order of creation, so that a
 * run repeats.
 */
import { Domid } from '../../domid.ts';
import type { Effect, Memory } from './effects.ts';
import type { Numbers } from './numbers.ts';

/** A page of the machine. It is free again when it has no gfn and nobody maps it. */
export interface Frame {
  readonly mfn: number;
  readonly extent: number;
  readonly page: number;
  readonly owner: Domain;
  /** Where its owner has it; undefined for the hypervisor's own pages (grant tables, ioreq) and for what was given back. */
  gfn: number | undefined;
  /** Held by the hypervisor on the domain's behalf, until the domain is gone. */
  kept: boolean;
  maps: number;
}

export interface Port {
  readonly number: number;
  state: 'unbound' | 'interdomain' | 'virq';
  /** Expected or actual peer. */
  remoteDomid: number;
  remotePort: number;
  virq: number;
  vcpu: number;
  pending: boolean;
  /** By its event channel file; a port that belongs to none is never delivered. */
  masked: boolean;
  file: number | undefined;
  /** The hypervisor's own end of an ioreq server's channel. */
  consumer: ((port: Port) => void) | undefined;
}

export interface EvtchnFile {
  readonly handle: number;
  restrictedTo: number | undefined;
  /** Ports that fire here. */
  readonly ports: Set<number>;
}

/** One grant entry while in use. */
export interface ActiveGrant {
  readonly domid: number;
  readonly frame: Frame;
  readers: number;
  writers: number;
}

/** One mapping of a grant, as the mapping domain's handle names it. */
export interface Maptrack {
  readonly granter: Domain;
  readonly ref: number;
  readonly writable: boolean;
}

/** A memory area that a domain has mapped. */
export interface MapRecord {
  readonly map: number;
  /** Holes included. */
  readonly pages: number;
  readonly frames: readonly Frame[];
  /** Grant handles that go with it. */
  readonly handles: readonly number[];
  /** References to take back: pages that were shared by this domain. */
  readonly refs: readonly number[];
  readonly clearByte: number | undefined;
  readonly notifyPort: number | undefined;
  readonly forCopies: boolean;
}

export interface IoreqServer {
  readonly id: number;
  readonly emulator: Domain;
  readonly ioreqPage: Frame;
  readonly bufioreqPage: Frame | undefined;
  readonly bufioreqPort: number;
  /** Port of the guest for each vCPU. */
  readonly ports: readonly number[];
  ranges: { readonly type: 'port' | 'memory' | 'pci'; readonly start: number; readonly end: number }[];
  enabled: boolean;
}

/** A guest's access to a device while an emulator has it (`server` set), and until the guest fetched the answer. */
export interface PendingIo {
  server: IoreqServer | undefined;
  readonly size: number;
  readonly direction: 'read' | 'write';
  value: number;
}

export interface Domain {
  readonly domid: number;
  readonly uniqueId: string;
  readonly control: boolean;
  readonly xenstore: boolean;
  readonly hvm: boolean;
  readonly hap: boolean;
  handle: string;
  readonly ssidref: number;
  maxVcpus: number;
  readonly maxEvtchnPort: number;
  readonly maxGrantFrames: number;
  readonly maxMaptrack: number;
  /** undefined: nobody has said yet. */
  maxPages: number | undefined;
  pauseCount: number;
  shutdownReason: number | undefined;
  life: 'alive' | 'dying' | 'dead';
  target: Domain | undefined;
  readonly p2m: Map<number, Frame>;
  /** Frames that exist, its own to map or not. At 0 a dead domain is gone. */
  frames: number;
  /** Next gfn for pages that the domain's kernel picks a place for. */
  nextGfn: number;
  readonly ports: Map<number, Port>;
  readonly portNumbers: Numbers;
  readonly virqs: Map<number, number>;
  readonly files: Map<number, EvtchnFile>;
  readonly grantFrames: Frame[];
  readonly grants: Map<number, ActiveGrant>;
  readonly freeRefs: number[];
  nextRef: number;
  /** Shared pages given up by us that the peer still maps: reference to frame. */
  readonly lingering: Map<number, Frame>;
  readonly shared: Map<number, Frame>;
  readonly maptrack: Map<number, Maptrack>;
  nextMaptrack: number;
  readonly maps: Map<number, MapRecord>;
  /** Of all maps together. */
  mappedPages: number;
  readonly params: Map<number, number>;
  readonly servers: Map<number, IoreqServer>;
  readonly io: Map<number, PendingIo>;
  readonly dirty: Set<number>;
  /** The pages of which a device model wants to know whether they are written. */
  tracked: { readonly firstPfn: number; readonly count: number } | undefined;
}

export interface Limits {
  /** Pages of the machine. */
  readonly totalPages: number;
  readonly maxGrantFrames: number;
  readonly maxMaptrackFrames: number;
}

export class State {
  readonly memory: Memory;
  readonly limits: Limits;
  readonly domains: Map<number, Domain> = new Map();
  /** Handlers of global VIRQs other than the control domain. */
  readonly virqHandlers: Map<number, Domain> = new Map();
  /** Domains to be told of; undefined while nobody listens. */
  changed: Set<number> | undefined = undefined;
  freePages: number;
  #effects: Effect[] = [];
  #serial = 0;

  constructor(memory: Memory, limits: Limits) {
    this.memory = memory;
    this.limits = limits;
    this.freePages = limits.totalPages;
  }

  effect(effect: Effect): void {
    this.#effects.push(effect);
  }

  takeEffects(): Effect[] {
    const taken = this.#effects;
    if (taken.length > 0) {
      this.#effects = [];
    }
    return taken;
  }

  /** A number that was never given before: for extents, handles, maps. Starts at 1. */
  serial(): number {
    this.#serial += 1;
    return this.#serial;
  }

  /** Any domain that exists, a dead one included; SELF is the caller. */
  find(caller: Domain, domid: number): Domain | undefined {
    return domid === Domid.SELF ? caller : this.domains.get(domid);
  }
}
