/**
 * The machine as the core sees it, on any platform: which domains there are and what became of them, and their store rings, mapped by grant and
 * rung by event channel. A ring is changed only by effects, after a turn's changes are safe; what the core asks for in the middle of a request
 * is prepared at once. Knows no message. (xen/docs/misc/xenstore-ring.txt)
 */
import { Errno, OsError } from '../../osdep/errno.ts';
import { type Evtchn, Virq } from '../../osdep/evtchn.ts';
import { type Gnttab, ReservedGrant } from '../../osdep/gnttab.ts';
import { type Mapping, PAGE_SIZE } from '../../osdep/mapping.ts';
import type { Platform } from '../../osdep/platform.ts';
import type { Link } from '../core/link.ts';
import type { Attached, DomainState, Machine, RingFields } from '../core/ports.ts';
import { type DomainWatcher, type KnownDomain, watchDomains } from './domainwatch.ts';
import type { Peer, RingEffects } from './loop.ts';
import { StorePage } from './storepage.ts';

/** One page for each domain that there can be. */
const MAX_GRANTS = 0x7ff0;
/** The connection field of a guest that waits for a fresh start. */
const RECONNECT = 1;

const TAKEN: readonly number[] = [Errno.EEXIST, Errno.EBUSY];
const SERVED_ALREADY = 'another xenstored, or a domain of the store, serves this host: end it first';

/** Where the store runs and who may do everything. */
export interface Roles {
  readonly storeDomid: number;
  readonly privDomid: number;
}

export interface PlatformMachineOptions {
  readonly platform: Platform;
  /** `undefined`: the hypervisor tells. */
  readonly storeDomid: number | undefined;
  readonly privDomid: number | undefined;
  /** In a stub domain: the port of the control domain's that waits for us. */
  readonly dom0Port: number | undefined;
}

/** A domain's ring as it is attached. */
export class AttachedRing {
  readonly domid: number;
  readonly page: StorePage;
  /** Our end of the event channel; `undefined`: there is none. */
  port: number | undefined = undefined;
  /** New, or about to be reset: what it holds must not be looked at before the turn's effects are done. */
  settling = true;
  attached = true;

  constructor(domid: number, mapping: Mapping) {
    this.domid = domid;
    this.page = new StorePage(mapping);
  }
}

export class PlatformMachine implements Machine, RingEffects {
  readonly roles: Roles;
  readonly evtchn: Evtchn;
  readonly domExcPort: number;
  /** Finds the peer of a link that has none yet. */
  onAdopt: (link: Link) => Peer | undefined = () => undefined;
  readonly #rings = new Map<number, AttachedRing>();
  readonly #ringsByPort = new Map<number, AttachedRing>();
  readonly #options: PlatformMachineOptions;
  readonly #gnttab: Gnttab;
  readonly #watcher: DomainWatcher;
  readonly #kernelRing: { readonly domid: number; readonly page: Mapping; readonly port: number } | undefined;
  /** Found when the roles were looked for; the core is told later. */
  readonly #found: KnownDomain[];
  readonly #settling = new Set<AttachedRing>();
  /** Detachments that are still to be asked for of rings that had to go before. */
  readonly #early = new Map<number, number>();

  /** Throws OsError where there is no hypervisor or another daemon serves the store already. */
  constructor(options: PlatformMachineOptions) {
    this.#options = options;
    const { platform } = options;
    this.#gnttab = platform.openGnttab();
    this.#gnttab.setMaxGrants(MAX_GRANTS);
    this.evtchn = platform.openEvtchn();
    this.domExcPort = this.#takeDomExc();
    this.#watcher = watchDomains(platform);
    this.#found = [...all(this.#watcher)];
    this.roles = findRoles(this.#found, options);
    this.#kernelRing = platform.store.kernelRing();
    if (this.#kernelRing) this.#tryKernelRing(this.#kernelRing);
  }

  domain(domid: number): DomainState | undefined {
    return this.#watcher.state(domid);
  }

  pollChanged(): DomainState | undefined {
    return this.#found.shift() ?? this.#watcher.next();
  }

  attach(domid: number, evtchn: number): Attached {
    this.#detachEarly(domid);
    let ring: AttachedRing | undefined;
    try {
      ring = new AttachedRing(domid, this.#map(domid));
      const port = ring.page.evtchnPort || evtchn || this.#knownPort(domid);
      if (port !== 0) this.#bind(ring, port);
      this.#rings.set(domid, ring);
      this.#settling.add(ring);
      return { ok: true, port };
    } catch (error) {
      if (ring) this.#unmap(ring);
      if (error instanceof OsError) return { ok: false, errno: error.code };
      throw error;
    }
  }

  rebind(domid: number, evtchn: number): boolean {
    const ring = this.#rings.get(domid);
    if (!ring) return false;
    ring.settling = true;
    this.#settling.add(ring);
    this.#unbind(ring);
    try {
      this.#bind(ring, evtchn);
      return true;
    } catch (error) {
      if (error instanceof OsError) return false;
      throw error;
    }
  }

  ring(domid: number): RingFields | undefined {
    return this.#rings.get(domid)?.page.fields();
  }

  /** The ring that is attached for a domain, or whose event channel this is. */
  attached(domid: number): AttachedRing | undefined {
    return this.#rings.get(domid);
  }

  ringOfPort(port: number): AttachedRing | undefined {
    return this.#ringsByPort.get(port);
  }

  features(domid: number, features: number): void {
    const ring = this.#subject(domid);
    if (ring) ring.page.features = features;
  }

  reset(domid: number): void {
    const ring = this.#subject(domid);
    if (!ring) return;
    ring.page.reset();
    if (ring.page.connection !== RECONNECT) return;
    ring.page.connection = 0;
    this.notify(ring);
  }

  error(domid: number, error: number): void {
    const ring = this.#subject(domid);
    if (ring) ring.page.error = error;
  }

  connected(domid: number): void {
    const ring = this.#subject(domid);
    if (!ring) return;
    ring.page.connection = 0;
    this.notify(ring);
  }

  resume(link: Link): void {
    const ring = this.#subject(link.domid);
    if (!ring) return;
    ring.page.requests.advance(link.consumed >>> 0);
    this.notify(ring);
  }

  detach(domid: number): void {
    const early = this.#early.get(domid);
    if (early === undefined) this.#letGo(domid);
    else if (early > 1) this.#early.set(domid, early - 1);
    else this.#early.delete(domid);
  }

  adopt(link: Link): Peer | undefined {
    return this.onAdopt(link);
  }

  settle(): void {
    for (const ring of this.#settling) ring.settling = false;
    this.#settling.clear();
  }

  notify(ring: AttachedRing): void {
    if (ring.port === undefined) return;
    try {
      this.evtchn.notify(ring.port);
    } catch (error) {
      // The domain has just gone: we will be told.
      if (!(error instanceof OsError)) throw error;
    }
  }

  close(): void {
    for (const domid of [...this.#rings.keys()]) this.#letGo(domid);
    this.evtchn.close();
    this.#gnttab.close();
    this.#watcher.close();
  }

  /** One domain alone is told of the ends of others, and one handle in it. */
  #takeDomExc(): number {
    try {
      return this.evtchn.bindVirq(Virq.DOM_EXC);
    } catch (error) {
      if (!(error instanceof OsError) || !TAKEN.includes(error.errno)) throw error;
      throw new OsError(error.errno, `${SERVED_ALREADY} (it is told of the ends of domains)`);
    }
  }

  /** Whoever is at the other end of the kernel's port serves it. */
  #tryKernelRing({ domid, port }: { readonly domid: number; readonly port: number }): void {
    try {
      this.evtchn.unbind(this.evtchn.bindInterdomain(domid, port));
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      throw new OsError(error.errno, `${SERVED_ALREADY} (it is at the kernel's ring)`);
    }
  }

  /**
   * The kernel below us has its ring in its own memory; every other page is granted. Nobody grants to himself: where there is no such kernel,
   * our own domain has a ring that nobody is at, and counts as introduced like any other.
   */
  #map(domid: number): Mapping {
    if (this.#kernelRing?.domid === domid) return this.#kernelRing.page;
    if (this.#options.platform.domid === domid) return deserted();
    return this.#gnttab.mapGrantRef(domid, ReservedGrant.XENSTORE, 'rw');
  }

  /** For a domain that was there before us; 0: nobody told. */
  #knownPort(domid: number): number {
    if (this.#kernelRing?.domid === domid) return this.#kernelRing.port;
    return domid === this.roles.privDomid ? (this.#options.dom0Port ?? 0) : 0;
  }

  #bind(ring: AttachedRing, port: number): void {
    ring.port = this.evtchn.bindInterdomain(ring.domid, port);
    this.#ringsByPort.set(ring.port, ring);
  }

  #unbind(ring: AttachedRing): void {
    if (ring.port === undefined) return;
    this.#ringsByPort.delete(ring.port);
    try {
      this.evtchn.unbind(ring.port);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
    }
    ring.port = undefined;
  }

  #letGo(domid: number): void {
    const ring = this.#rings.get(domid);
    if (!ring) return;
    this.#rings.delete(domid);
    ring.attached = false;
    this.#unbind(ring);
    this.#unmap(ring);
  }

  /** The kernel's page can be had only once. */
  #unmap({ page }: AttachedRing): void {
    if (this.#kernelRing?.page !== page.mapping) page.unmap();
  }

  /** A domain released and introduced again within one turn: its old ring must make room before its detachment is due. */
  #detachEarly(domid: number): void {
    if (!this.#rings.has(domid)) return;
    this.#letGo(domid);
    this.#early.set(domid, (this.#early.get(domid) ?? 0) + 1);
  }

  /** The ring that an effect is meant for; those meant for one that is gone already have none. */
  #subject(domid: number): AttachedRing | undefined {
    return this.#early.has(domid) ? undefined : this.#rings.get(domid);
  }
}

/** A page of our own memory. */
function deserted(): Mapping {
  const bytes = new Uint8Array(PAGE_SIZE);
  return { pages: 1, writable: true, bytes, page: () => bytes, unmap() {} };
}

function* all(watcher: DomainWatcher): Generator<KnownDomain> {
  for (let next = watcher.next(); next; next = watcher.next()) yield next;
}

/** C's rule: the first domain with the control capability, the last with the store's, each standing in for the other. */
function findRoles(found: readonly KnownDomain[], options: PlatformMachineOptions): Roles {
  const control = found.find((domain) => domain.control)?.domid;
  const store = found.findLast((domain) => domain.xenstore)?.domid;
  const storeDomid = options.storeDomid ?? store ?? options.platform.domid ?? options.privDomid ?? control;
  const privDomid = options.privDomid ?? control ?? storeDomid;
  if (storeDomid === undefined || privDomid === undefined) {
    throw new OsError(
      Errno.ENODEV,
      'neither the control domain nor the store domain is known: name them with --priv-domid, --master-domid',
    );
  }
  return { storeDomid, privDomid };
}
