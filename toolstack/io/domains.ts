/**
 * Makes and ends domains: hypercalls through Ctrl and requests to the store, in the order that toolstack/core/domain.ts gives. Knows no
 * process: who runs in a domain is somebody else's business.
 */
import { randomUUID } from 'node:crypto';
import { type Ctrl, HvmParam } from '../../osdep/ctrl.ts';
import { Errno, OsError } from '../../osdep/errno.ts';
import { Virq } from '../../osdep/evtchn.ts';
import type { Client, Store } from '../../xenstored/client/index.ts';
import {
  controlDomain,
  type DomainAction,
  type DomainSpec,
  details,
  directories,
  domainPlan,
  domainTrees,
  type NodeSpec,
  type StoreRing,
} from '../core/domain.ts';
import { Plan } from '../core/plan.ts';
import { carryOut } from './carry.ts';

const PAGES_PER_MB = 256;
/** A hypercall takes a bounded list. */
const PAGES_A_CALL = 32_768;

export interface NewDomain {
  readonly name: string;
  readonly memoryMb: number;
  readonly vcpus: number;
  /** For its own use, below `vm-data`. */
  readonly data?: Readonly<Record<string, string>>;
}

/** What remains to be known of a domain until it is destroyed. */
export interface Domain {
  readonly domid: number;
  readonly uuid: string;
  readonly name: string;
  readonly memoryMb: number;
}

export class Domains {
  readonly #ctrl: Ctrl;

  constructor(ctrl: Ctrl) {
    this.#ctrl = ctrl;
  }

  /** The domain in which a store is to run: it may see all domains, and hears of their ends. */
  createStoreDomain(memoryMb: number): number {
    const ctrl = this.#ctrl;
    const made = ctrl.createDomain({ handle: randomUUID(), xenstore: true, maxVcpus: 1 });
    try {
      ctrl.setMaxMem(made, memoryMb * 1024);
      ctrl.setVirqHandler(made, Virq.DOM_EXC);
      ctrl.unpause(made);
    } catch (error) {
      this.destroy(made);
      throw error;
    }
    return made;
  }

  /** A domain that is gone already is fine. */
  destroy(domid: number): void {
    try {
      this.#ctrl.destroyDomain(domid);
    } catch (error) {
      if (!(error instanceof OsError && error.errno === Errno.ESRCH)) throw error;
    }
  }

  /** What the store says of the host itself. */
  async announce(store: Client, storeDomid: number): Promise<void> {
    await store.transaction((tx) => writeAll(tx, controlDomain(storeDomid)));
  }

  /** A paused domain that the store knows; if a step fails, nothing of it is left. */
  async create(store: Client, storeDomid: number, wanted: NewDomain): Promise<Domain> {
    const uuid = randomUUID();
    let domid = -1;
    let ring: StoreRing = { port: 0, gfn: 0 };
    const spec = (): DomainSpec => ({
      domid,
      uuid,
      name: wanted.name,
      memoryKb: wanted.memoryMb * 1024,
      vcpus: wanted.vcpus,
      data: wanted.data ?? {},
    });
    const perform: Record<DomainAction, () => Promise<void> | void> = {
      create: () => {
        domid = this.#ctrl.createDomain({ handle: uuid, maxVcpus: wanted.vcpus });
      },
      destroy: () => this.destroy(domid),
      populate: () => {
        this.#ctrl.setMaxMem(domid, wanted.memoryMb * 1024);
        this.#populate(domid, wanted.memoryMb * PAGES_PER_MB);
      },
      directories: async () => {
        await this.forget(store, domid, uuid);
        await store.transaction((tx) => writeAll(tx, directories(spec())));
      },
      forget: () => this.forget(store, domid, uuid),
      ring: () => {
        ring = this.#makeRing(domid, storeDomid, storeGfn(wanted.memoryMb));
      },
      details: () => store.transaction((tx) => writeAll(tx, details(spec(), ring))),
      introduce: () => store.introduce(domid, ring.gfn, ring.port),
    };
    await carryOut(new Plan(domainPlan), { perform: (action) => perform[action]() });
    return { domid, uuid, name: wanted.name, memoryMb: wanted.memoryMb };
  }

  /** Gives a domain whose process has ended a new way to its store. */
  async reconnect(store: Client, storeDomid: number, { domid, memoryMb }: Domain): Promise<void> {
    const gfn = storeGfn(memoryMb);
    const port = this.#ctrl.evtchnAllocUnbound(domid, storeDomid);
    this.#ctrl.hvmParamSet(domid, HvmParam.STORE_EVTCHN, port);
    await store.write(`/local/domain/${domid}/store/port`, `${port}`);
    await store.introduce(domid, gfn, port);
  }

  unpause(domid: number): void {
    this.#ctrl.unpause(domid);
  }

  /** True if the domain has shut down, is dying or is gone. */
  isOver(domid: number): boolean {
    const info = this.#ctrl.getDomainInfo(domid);
    return info === undefined || info.shutdown || info.dying;
  }

  /** Removes what the store says of a domain. */
  async forget(store: Client, domid: number, uuid: string): Promise<void> {
    await store.transaction(async (tx) => {
      for (const tree of domainTrees(domid, uuid)) {
        if (await tx.exists(tree)) await tx.rm(tree);
      }
    });
  }

  #populate(domid: number, pages: number): void {
    for (let first = 0; first < pages; first += PAGES_A_CALL) {
      const length = Math.min(PAGES_A_CALL, pages - first);
      this.#ctrl.populatePhysmap(
        domid,
        Array.from({ length }, (_, index) => first + index),
      );
    }
  }

  #makeRing(domid: number, storeDomid: number, gfn: number): StoreRing {
    const port = this.#ctrl.evtchnAllocUnbound(domid, storeDomid);
    this.#ctrl.gnttabSeed(domid, { xenstoreGfn: gfn, xenstoreDomid: storeDomid });
    this.#ctrl.hvmParamSet(domid, HvmParam.STORE_PFN, gfn);
    this.#ctrl.hvmParamSet(domid, HvmParam.STORE_EVTCHN, port);
    return { port, gfn };
  }
}

/** The last of its frames. */
function storeGfn(memoryMb: number): number {
  return memoryMb * PAGES_PER_MB - 1;
}

/** In their order. */
export async function writeAll(store: Store, nodes: readonly NodeSpec[]): Promise<void> {
  for (const { path, value, perms } of nodes) {
    await store.write(path, value);
    if (perms !== undefined) await store.setPerms(path, perms);
  }
}
