/**
 * Makes and ends domains: hypercalls through Ctrl and requests to the store, in the order that toolstack/core/domain.ts gives. Knows no
 * process: who runs in a domain is somebody else's business.
 */
import { randomUUID } from 'node:crypto';
import { type Ctrl, HvmParam } from '../../osdep/ctrl.ts';
import { Errno, OsError } from '../../osdep/errno.ts';
import { Virq } from '../../osdep/evtchn.ts';
import { type Client, type Store, XenstoreError } from '../../xenstored/client/index.ts';
import { backendRoot } from '../../xenstored/xenbus/path.ts';
import { CONSOLE, consoleNodes, consoleTrees } from '../core/console.ts';
import {
  controlDomain,
  type DomainAction,
  type DomainSpec,
  details,
  directories,
  domainSteps,
  domainTrees,
  type NodeSpec,
  type OwnRing,
} from '../core/domain.ts';
import { Plan } from '../core/plan.ts';
import { carryOut } from './carry.ts';

const PAGES_PER_MB = 256;
/** A hypercall takes a bounded list. */
const PAGES_A_CALL = 32_768;
/** Eight times what a guest may have mapped and copy: a thousand guests' disks are served by one. */
const SERVICE_MAPTRACK_FRAMES = 8192;

/** What remains to be known of a service's domain until it is destroyed. */
export interface Domain {
  readonly domid: number;
  readonly uuid: string;
  readonly name: string;
  readonly memoryMb: number;
}

export interface NewService {
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

  /** A paused domain for a service, that the store knows; if a step fails, nothing of it is left. */
  async createService(store: Client, storeDomid: number, wanted: NewService): Promise<Domain> {
    const uuid = randomUUID();
    const spec = {
      ...serviceSpec(wanted.name, uuid, wanted.memoryMb),
      maxMaptrackFrames: SERVICE_MAPTRACK_FRAMES,
    };
    const builder = this.builder(store, { storeDomid, consoleDomid: undefined }, spec);
    await carryOut(new Plan(domainSteps({ console: false })), {
      perform: (action) => builder.perform(action),
    });
    return { domid: builder.domid!, uuid, name: wanted.name, memoryMb: wanted.memoryMb };
  }

  /** Carries out the steps of toolstack/core/domain.ts for one domain. */
  builder(store: Client, serving: Serving, spec: Omit<DomainSpec, 'domid'>): DomainBuilder {
    return new DomainBuilder(this, this.#ctrl, store, serving, spec);
  }

  /** Gives a service's domain whose process has ended a new way to its store. */
  async reconnect(store: Client, storeDomid: number, { domid, memoryMb }: Domain): Promise<void> {
    const gfn = lastFrame(memoryMb * PAGES_PER_MB, 0);
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
    await store.transaction((tx) => removeAll(tx, domainTrees(domid, uuid)));
  }
}

/** Who serves what every domain has. */
export interface Serving {
  readonly storeDomid: number;
  /** undefined: domains have no console. */
  readonly consoleDomid: number | undefined;
}

/** One domain while it is made. */
export class DomainBuilder {
  readonly #domains: Domains;
  readonly #ctrl: Ctrl;
  readonly #store: Client;
  readonly #serving: Serving;
  readonly #spec: Omit<DomainSpec, 'domid'>;
  #domid: number | undefined;
  #ring: OwnRing = { port: 0, gfn: 0 };

  constructor(
    domains: Domains,
    ctrl: Ctrl,
    store: Client,
    serving: Serving,
    spec: Omit<DomainSpec, 'domid'>,
  ) {
    this.#domains = domains;
    this.#ctrl = ctrl;
    this.#store = store;
    this.#serving = serving;
    this.#spec = spec;
  }

  /** undefined: it has none yet. */
  get domid(): number | undefined {
    return this.#domid;
  }

  async perform(action: DomainAction): Promise<void> {
    await this.#actions[action]();
  }

  readonly #actions: Record<DomainAction, () => Promise<void> | void> = {
    create: () => {
      const { uuid, type, maxvcpus, maxMaptrackFrames } = this.#spec;
      this.#domid = this.#ctrl.createDomain({
        handle: uuid,
        maxVcpus: maxvcpus,
        hvm: type !== 'pv',
        ...(maxMaptrackFrames !== undefined && { maxMaptrackFrames }),
      });
    },
    destroy: () => this.#domains.destroy(this.#domid!),
    populate: () => {
      this.#ctrl.setMaxMem(this.#domid!, this.#spec.maxmemKb);
      this.#populate(this.#pages);
    },
    directories: () =>
      this.#store.transaction(async (tx) => {
        const trees = domainTrees(this.#domid!, this.#spec.uuid);
        await Promise.all([removeAll(tx, trees), writeAll(tx, directories(this.#whole))]);
      }),
    forget: () => this.#domains.forget(this.#store, this.#domid!, this.#spec.uuid),
    ring: () => {
      const gfn = lastFrame(this.#pages, 0);
      const { storeDomid } = this.#serving;
      const port = this.#ctrl.evtchnAllocUnbound(this.#domid!, storeDomid);
      this.#ctrl.gnttabSeed(this.#domid!, { xenstoreGfn: gfn, xenstoreDomid: storeDomid });
      this.#ctrl.hvmParamSet(this.#domid!, HvmParam.STORE_PFN, gfn);
      this.#ctrl.hvmParamSet(this.#domid!, HvmParam.STORE_EVTCHN, port);
      this.#ring = { port, gfn };
    },
    details: () => this.#store.transaction((tx) => writeAll(tx, details(this.#whole, this.#ring))),
    introduce: () => this.#store.introduce(this.#domid!, this.#ring.gfn, this.#ring.port),
    console: async () => {
      const gfn = lastFrame(this.#pages, 1);
      const backendDomid = this.#serving.consoleDomid!;
      const port = this.#ctrl.evtchnAllocUnbound(this.#domid!, backendDomid);
      this.#ctrl.gnttabSeed(this.#domid!, { consoleGfn: gfn, consoleDomid: backendDomid });
      this.#ctrl.hvmParamSet(this.#domid!, HvmParam.CONSOLE_PFN, gfn);
      this.#ctrl.hvmParamSet(this.#domid!, HvmParam.CONSOLE_EVTCHN, port);
      const { name } = this.#spec;
      const nodes = consoleNodes({ domid: this.#domid!, backendDomid, port, gfn, name });
      await this.#store.transaction(async (tx) => {
        // Its server calls what it keeps by that name.
        const perms = [`n0`, `r${this.#domid!}`, `r${backendDomid}`] as const;
        await Promise.all([
          removeAll(tx, consoleTrees(this.#domid!, backendDomid)),
          writeAll(tx, nodes),
          tx.setPerms(`/local/domain/${this.#domid!}/name`, perms),
        ]);
      });
    },
    forgetConsole: () =>
      this.#store.transaction((tx) => removeConsole(tx, this.#domid!, this.#serving.consoleDomid!)),
  };

  get #whole(): DomainSpec {
    return { ...this.#spec, domid: this.#domid! };
  }

  get #pages(): number {
    return (this.#spec.memoryKb / 1024) * PAGES_PER_MB;
  }

  #populate(pages: number): void {
    // Some of it is nothing to it, and would be had from others for a while.
    const { freePages } = this.#ctrl.physinfo();
    if (pages > freePages) throw new Error(`${inMb(pages)} MB are wanted, and ${inMb(freePages)} are free`);
    for (let first = 0; first < pages; first += PAGES_A_CALL) {
      const length = Math.min(PAGES_A_CALL, pages - first);
      this.#ctrl.populatePhysmap(
        this.#domid!,
        Array.from({ length }, (_, index) => first + index),
      );
    }
  }
}

/** A small domain that serves others. */
export function serviceSpec(name: string, uuid: string, memoryMb: number): Omit<DomainSpec, 'domid'> {
  const memoryKb = memoryMb * 1024;
  return {
    uuid,
    name,
    type: 'pvh',
    memoryKb,
    maxmemKb: memoryKb,
    vcpus: 1,
    maxvcpus: 1,
    driverDomain: true,
    kernel: name,
    cmdline: '',
    startTime: startTime(),
    data: {},
  };
}

/** Now, as libxl writes it. */
export function startTime(): string {
  return (Date.now() / 1000).toFixed(2);
}

function inMb(pages: number): number {
  return Math.floor(pages / PAGES_PER_MB);
}

function lastFrame(pages: number, before: number): number {
  return pages - 1 - before;
}

/** What is not there is fine. All at once, and done in their order. */
export async function removeAll(store: Store, trees: readonly string[]): Promise<void> {
  await Promise.all(trees.map((tree) => removeTree(store, tree)));
}

/** What is not there is fine. */
export async function removeTree(store: Store, tree: string): Promise<void> {
  try {
    await store.rm(tree);
  } catch (error) {
    if (!(error instanceof XenstoreError && error.code === 'ENOENT')) throw error;
  }
}

/** With what is left empty above it: its server's directory of this domain. */
export async function removeConsole(tx: Store, domid: number, consoleDomid: number): Promise<void> {
  await removeAll(tx, consoleTrees(domid, consoleDomid));
  await removeAll(tx, [`${backendRoot(consoleDomid, CONSOLE)}/${domid}`]);
}

/**
 * In their order, and without waiting for one before the next is sent: a domain's nodes are a hundred requests, and a store that answers each
 * within a turn of two processes would take a hundred turns for them.
 */
export async function writeAll(store: Store, nodes: readonly NodeSpec[]): Promise<void> {
  await Promise.all(
    nodes.flatMap(({ path, value, perms }) => [
      store.write(path, value),
      ...(perms === undefined ? [] : [store.setPerms(path, perms)]),
    ]),
  );
}
