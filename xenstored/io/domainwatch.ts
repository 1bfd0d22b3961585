/**
 * Which domains there are and whose state has changed, told by libxenmanage where the hypervisor is of Xen 4.21 or later, else by going through
 * all of them as older daemons do, or, in a stub domain, which is never given the list, through those that somebody has asked about. Knows no
 * store.
 */
import type { Ctrl, DomainInfo } from '../../osdep/ctrl.ts';
import { Errno, OsError } from '../../osdep/errno.ts';
import { DomainCaps, type DomainStatus, type Manage, DomainState as StateBit } from '../../osdep/manage.ts';
import type { Platform } from '../../osdep/platform.ts';
import type { DomainState } from '../core/ports.ts';

/** A domain, and what it may do as far as the store is concerned. */
export interface KnownDomain extends DomainState {
  readonly control: boolean;
  readonly xenstore: boolean;
}

export interface DomainWatcher {
  /** `undefined`: no such domain. */
  state(domid: number): KnownDomain | undefined;
  /** The next domain whose state changed since it was last told; all existing ones at first. */
  next(): KnownDomain | undefined;
  close(): void;
}

/** Before libxenmanage nothing tells which domain is in control: it is always this one. */
const CONTROL_DOMID = 0;
const LIST_MAX = 1024;
/** There is none; there is none, for a stub domain; a reserved id. */
const NO_DOMAIN: readonly number[] = [Errno.ESRCH, Errno.EPERM, Errno.EINVAL];

/** To be called when VIRQ_DOM_EXC is bound: the hypervisor tells changes to its owner alone. */
export function watchDomains(platform: Platform): DomainWatcher {
  const manage = openManage(platform);
  return manage ? new ToldChanges(manage) : new FoundChanges(platform.openCtrl());
}

/** `undefined`: the hypervisor is too old for it. */
function openManage(platform: Platform): Manage | undefined {
  let manage: Manage | undefined;
  try {
    manage = platform.openManage();
    manage.getDomainInfo(0);
    return manage;
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    // Domain 0 need not be there. Whoever may not even ask after it hears the reason from the older calls.
    if (manage && error.errno === Errno.ESRCH) return manage;
    manage?.close();
    return undefined;
  }
}

class ToldChanges implements DomainWatcher {
  readonly #manage: Manage;

  constructor(manage: Manage) {
    this.#manage = manage;
  }

  state(domid: number): KnownDomain | undefined {
    try {
      const state = known(this.#manage.getDomainInfo(domid));
      return state.exists ? state : undefined;
    } catch (error) {
      if (error instanceof OsError && NO_DOMAIN.includes(error.errno)) return undefined;
      throw error;
    }
  }

  next(): KnownDomain | undefined {
    const status = this.#manage.pollChangedDomain();
    return status && known(status);
  }

  close(): void {
    this.#manage.close();
  }
}

function known({ domid, state, caps, uniqueId }: DomainStatus): KnownDomain {
  return {
    domid,
    exists: (state & StateBit.EXIST) !== 0,
    shutdown: (state & StateBit.SHUTDOWN) !== 0,
    dying: (state & StateBit.DYING) !== 0,
    dead: (state & StateBit.DEAD) !== 0,
    uniqueId,
    control: (caps & DomainCaps.CONTROL) !== 0,
    xenstore: (caps & DomainCaps.XENSTORE) !== 0,
  };
}

/** Finds changes out: by all there are, where it may ask for a list, else one by one. */
class FoundChanges implements DomainWatcher {
  readonly #ctrl: Ctrl;
  /** As last told. */
  readonly #told = new Map<number, KnownDomain>();
  /** As they were when somebody asked about them: what he knows to exist may be gone before it was ever told. */
  readonly #asked = new Map<number, KnownDomain>();
  #listed = true;
  #pending: KnownDomain[] = [];

  constructor(ctrl: Ctrl) {
    this.#ctrl = ctrl;
  }

  state(domid: number): KnownDomain | undefined {
    const info = this.#ctrl.getDomainInfo(domid);
    const state = info && found(info);
    if (state) this.#asked.set(domid, state);
    return state;
  }

  /** Looks anew whenever all has been told, so that a batch of changes costs one look and one that finds nothing. */
  next(): KnownDomain | undefined {
    if (this.#pending.length === 0) this.#look();
    const next = this.#pending.shift();
    if (next?.exists) this.#told.set(next.domid, next);
    else if (next) this.#told.delete(next.domid);
    return next;
  }

  close(): void {
    this.#ctrl.close();
  }

  #look(): void {
    const now = this.#now();
    for (const [domid, before] of new Map([...this.#asked, ...this.#told])) {
      if (now.has(domid)) continue;
      this.#pending.push({ ...before, exists: false, dead: true, uniqueId: 0n });
      this.#asked.delete(domid);
    }
    for (const [domid, state] of now) {
      const before = this.#told.get(domid);
      if (before?.shutdown !== state.shutdown || before.dead !== state.dead) this.#pending.push(state);
    }
  }

  #now(): Map<number, KnownDomain> {
    if (this.#listed) {
      try {
        return listAll(this.#ctrl);
      } catch (error) {
        // In any stub domain: it may ask for each domain, but the list is never allowed there.
        if (!(error instanceof OsError) || error.errno !== Errno.EPERM) throw error;
        this.#listed = false;
      }
    }
    return this.#askEach();
  }

  #askEach(): Map<number, KnownDomain> {
    const now = new Map<number, KnownDomain>();
    for (const domid of new Set([CONTROL_DOMID, ...this.#told.keys(), ...this.#asked.keys()])) {
      const info = this.#ctrl.getDomainInfo(domid);
      if (info) now.set(domid, found(info));
    }
    return now;
  }
}

function listAll(ctrl: Ctrl): Map<number, KnownDomain> {
  const now = new Map<number, KnownDomain>();
  for (let first = 0; ; ) {
    const infos = ctrl.getDomainInfoList(first, LIST_MAX);
    for (const info of infos) now.set(info.domid, found(info));
    if (infos.length < LIST_MAX) return now;
    first = infos.at(-1)!.domid + 1;
  }
}

/** Older hypervisors do not tell when a dying domain is dead, nor two domains of the same id apart: dying counts as dead, as with Xen 4.17. */
function found(info: DomainInfo): KnownDomain {
  return {
    domid: info.domid,
    exists: true,
    shutdown: info.shutdown,
    dying: info.dying,
    dead: info.dying,
    uniqueId: 0n,
    control: info.domid === CONTROL_DOMID,
    xenstore: info.xenstore,
  };
}
