/** libxenctrl on the simulator: each call is one request of the same meaning. */
import type {
  CreateDomain,
  Ctrl,
  DomainInfo,
  EvtchnStatus,
  GrantSeed,
  GrantTableSize,
  Physinfo,
  XenVersion,
} from '../ctrl.ts';
import { Errno, OsError } from '../errno.ts';
import type { HandleRegistry } from '../toolcore.ts';
import type { Machine } from './machine.ts';
import { Restriction } from './restriction.ts';
import type { Args, OpName, Value } from './world/requests.ts';

export class SimCtrl implements Ctrl {
  readonly #machine: Machine;
  readonly #handles: HandleRegistry;
  readonly #restriction = new Restriction();

  constructor(machine: Machine, handles: HandleRegistry) {
    this.#machine = machine;
    this.#handles = handles;
    handles.register(this);
  }

  /** Nothing can be asked any more. */
  restrict(domid: number): void {
    this.#restriction.restrict(domid);
  }

  getDomainInfo(domid: number): DomainInfo | undefined {
    try {
      return this.#call('domainInfo', { domid });
    } catch (error) {
      const errno = error instanceof OsError ? error.errno : 0;
      // To the store's domain a domain that is gone looks like one that it may not see. Domain 0 always is.
      if (errno === Errno.ESRCH || (errno === Errno.EPERM && domid !== 0 && this.#looksAtDomains())) {
        return undefined;
      }
      throw error;
    }
  }

  getDomainInfoList(firstDomid: number, max: number): DomainInfo[] {
    return this.#call('domainInfoList', { firstDomid, max }).domains;
  }

  createDomain(options: CreateDomain): number {
    return this.#call('createDomain', options).domid;
  }

  destroyDomain(domid: number): void {
    this.#call('destroyDomain', { domid });
  }

  pause(domid: number): void {
    this.#call('pauseDomain', { domid });
  }

  unpause(domid: number): void {
    this.#call('unpauseDomain', { domid });
  }

  shutdown(domid: number, reason: number): void {
    this.#call('shutdownDomain', { domid, reason });
  }

  resume(domid: number): void {
    this.#call('resumeDomain', { domid });
  }

  setMaxMem(domid: number, maxKb: number): void {
    this.#call('setMaxMem', { domid, maxKb });
  }

  maxVcpus(domid: number, count: number): void {
    this.#call('setMaxVcpus', { domid, count });
  }

  setHandle(domid: number, handle: string): void {
    this.#call('setHandle', { domid, handle });
  }

  setTarget(domid: number, target: number): void {
    this.#call('setTarget', { domid, target });
  }

  setVirqHandler(domid: number, virq: number): void {
    this.#call('setVirqHandler', { domid, virq });
  }

  evtchnAllocUnbound(domid: number, remoteDomid: number): number {
    return this.#call('evtchnAllocUnbound', { domid, remoteDomid }).port;
  }

  evtchnStatus(domid: number, port: number): EvtchnStatus {
    return this.#call('evtchnStatus', { domid, port });
  }

  evtchnReset(domid: number): void {
    this.#call('evtchnReset', { domid });
  }

  hvmParamSet(domid: number, param: number, value: number): void {
    this.#call('hvmParamSet', { domid, param, value });
  }

  hvmParamGet(domid: number, param: number): number {
    return this.#call('hvmParamGet', { domid, param }).value;
  }

  gnttabSeed(domid: number, seed: GrantSeed): void {
    this.#call('gnttabSeed', { domid, seed });
  }

  gnttabQuerySize(domid: number): GrantTableSize {
    const { frames, maxFrames } = this.#call('gnttabQuerySize', { domid });
    return { frames, maxFrames };
  }

  gnttabGetVersion(domid: number): number {
    return this.#call('gnttabGetVersion', { domid }).version;
  }

  populatePhysmap(domid: number, gfns: readonly number[]): void {
    this.#call('populatePhysmap', { domid, gfns });
  }

  decreaseReservation(domid: number, gfns: readonly number[]): void {
    this.#call('decreaseReservation', { domid, gfns });
  }

  maximumGpfn(domid: number): number {
    return this.#call('maximumGpfn', { domid }).gfn;
  }

  getGuestWidth(domid: number): number {
    return this.#call('guestWidth', { domid }).bytes;
  }

  version(): XenVersion {
    return this.#call('version', {});
  }

  physinfo(): Physinfo {
    return this.#call('physinfo', {});
  }

  readconsolering(index: number, clear: 'clear' | 'keep'): { readonly text: string; readonly index: number } {
    return this.#call('readConsole', { index, clear: clear === 'clear' });
  }

  close(): void {
    this.#handles.deregister(this);
    this.#restriction.close();
  }

  #looksAtDomains(): boolean {
    try {
      return this.getDomainInfo(0) !== undefined;
    } catch {
      return false;
    }
  }

  #call<K extends OpName>(op: K, args: Args<K>): Value<K> {
    this.#restriction.checkUnrestricted();
    return this.#machine.call(op, args);
  }
}
