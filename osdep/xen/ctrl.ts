/**
 * libxenctrl on real Xen: each call is one hypercall of the same meaning, in the version that this hypervisor speaks. Knows no
 * order in which a toolstack calls them. (xen/include/public/domctl.h, sysctl.h, event_channel.h, grant_table.h, hvm/hvm_op.h)
 */
import { type Call, type CallBuffer, Hypercall } from '../call.ts';
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
import { Domid } from '../domid.ts';
import { Errno, OsError } from '../errno.ts';
import type { Foreignmemory } from '../foreignmemory.ts';
import { writeCreateDomain, writeHandle } from './createdomain.ts';
import { domainInfo } from './domaininfo.ts';
import { evtchnStatus } from './evtchnstatus.ts';
import { grantErrno, seedGrants } from './grantseed.ts';
import { physinfo, readConsole, xenVersion } from './hostinfo.ts';
import { Operations, viewOf } from './operations.ts';
import { decrease, maximumGpfn, populate } from './physmap.ts';

const Domctl = {
  CREATE: 1,
  DESTROY: 2,
  PAUSE: 3,
  UNPAUSE: 4,
  GET_DOMAIN_INFO: 5,
  MAX_MEM: 11,
  MAX_VCPUS: 15,
  SET_HANDLE: 17,
  RESUME: 27,
  GET_ADDRESS_SIZE: 36,
  SET_TARGET: 46,
  SET_VIRQ_HANDLER: 66,
} as const;
const GET_DOMAIN_INFO_LIST = 6;
const EvtchnOp = { STATUS: 5, ALLOC_UNBOUND: 6, RESET: 10 } as const;
const GrantOp = { QUERY_SIZE: 6, GET_VERSION: 10 } as const;
const HvmOp = { SET_PARAM: 0, GET_PARAM: 1 } as const;
const SCHED_REMOTE_SHUTDOWN = 4;

export class XenCtrl implements Ctrl {
  readonly #call: Call;
  readonly #openForeignmemory: () => Foreignmemory;
  readonly #operations: Operations;
  #list: CallBuffer | undefined;

  /** Closes `call` with itself. `arch`: of the machine, as Node names it. */
  constructor(call: Call, openForeignmemory: () => Foreignmemory, arch: string = process.arch) {
    this.#call = call;
    this.#openForeignmemory = openForeignmemory;
    this.#operations = new Operations(call, arch);
  }

  getDomainInfo(domid: number): DomainInfo | undefined {
    try {
      const info = domainInfo(this.#operations.domctl(Domctl.GET_DOMAIN_INFO, domid).argument);
      // Before Xen 4.18 the answer is about the next domain that exists.
      return info.domid === domid ? info : undefined;
    } catch (error) {
      if (error instanceof OsError && (error.errno === Errno.ESRCH || this.#hidden(domid, error))) {
        return undefined;
      }
      throw error;
    }
  }

  getDomainInfoList(firstDomid: number, max: number): DomainInfo[] {
    const size = this.#operations.interface.domainInfoSize;
    const buffer = this.#listOf(Math.max(1, max) * size);
    const answer = this.#operations.sysctl(GET_DOMAIN_INFO_LIST, (argument) => {
      argument.setUint16(0, firstDomid, true);
      argument.setUint32(4, max, true);
      argument.setBigUint64(8, buffer.address, true);
    });
    const view = viewOf(buffer);
    return Array.from({ length: answer.getUint32(16, true) }, (_, index) => domainInfo(view, index * size));
  }

  createDomain(options: CreateDomain): number {
    const layout = this.#operations.interface;
    return this.#operations.domctl(Domctl.CREATE, options.domid ?? Domid.INVALID, (argument) =>
      writeCreateDomain(argument, options, layout),
    ).domid;
  }

  destroyDomain(domid: number): void {
    this.#operations.domctl(Domctl.DESTROY, domid);
  }

  pause(domid: number): void {
    this.#operations.domctl(Domctl.PAUSE, domid);
  }

  unpause(domid: number): void {
    this.#operations.domctl(Domctl.UNPAUSE, domid);
  }

  shutdown(domid: number, reason: number): void {
    this.#structured(Hypercall.SCHED_OP, SCHED_REMOTE_SHUTDOWN, domid, (argument) =>
      argument.setUint32(4, reason, true),
    );
  }

  resume(domid: number): void {
    this.#operations.domctl(Domctl.RESUME, domid);
  }

  setMaxMem(domid: number, maxKb: number): void {
    this.#operations.domctl(Domctl.MAX_MEM, domid, (argument) =>
      argument.setBigUint64(0, BigInt(maxKb), true),
    );
  }

  maxVcpus(domid: number, count: number): void {
    this.#operations.domctl(Domctl.MAX_VCPUS, domid, (argument) => argument.setUint32(0, count, true));
  }

  setHandle(domid: number, handle: string): void {
    this.#operations.domctl(Domctl.SET_HANDLE, domid, (argument) => writeHandle(argument, 0, handle));
  }

  setTarget(domid: number, target: number): void {
    this.#operations.domctl(Domctl.SET_TARGET, domid, (argument) => argument.setUint16(0, target, true));
  }

  setVirqHandler(domid: number, virq: number): void {
    this.#operations.domctl(Domctl.SET_VIRQ_HANDLER, domid, (argument) => argument.setUint32(0, virq, true));
  }

  evtchnAllocUnbound(domid: number, remoteDomid: number): number {
    return this.#structured(Hypercall.EVENT_CHANNEL_OP, EvtchnOp.ALLOC_UNBOUND, domid, (argument) =>
      argument.setUint16(2, remoteDomid, true),
    ).getUint32(4, true);
  }

  evtchnStatus(domid: number, port: number): EvtchnStatus {
    return evtchnStatus(
      this.#structured(Hypercall.EVENT_CHANNEL_OP, EvtchnOp.STATUS, domid, (argument) =>
        argument.setUint32(4, port, true),
      ),
    );
  }

  evtchnReset(domid: number): void {
    this.#structured(Hypercall.EVENT_CHANNEL_OP, EvtchnOp.RESET, domid);
  }

  hvmParamSet(domid: number, param: number, value: number): void {
    this.#structured(Hypercall.HVM_OP, HvmOp.SET_PARAM, domid, (argument) => {
      argument.setUint32(4, param, true);
      argument.setBigUint64(8, BigInt(value), true);
    });
  }

  hvmParamGet(domid: number, param: number): number {
    const answer = this.#structured(Hypercall.HVM_OP, HvmOp.GET_PARAM, domid, (argument) =>
      argument.setUint32(4, param, true),
    );
    return Number(answer.getBigUint64(8, true));
  }

  gnttabSeed(domid: number, seed: GrantSeed): void {
    seedGrants(this.#openForeignmemory, domid, seed);
  }

  gnttabQuerySize(domid: number): GrantTableSize {
    const answer = this.#structured(Hypercall.GRANT_TABLE_OP, GrantOp.QUERY_SIZE, domid, undefined, [1]);
    const status = answer.getInt16(12, true);
    if (status !== 0) {
      throw new OsError(grantErrno(status), `size of the grant table of domain ${domid}`);
    }
    return { frames: answer.getUint32(4, true), maxFrames: answer.getUint32(8, true) };
  }

  gnttabGetVersion(domid: number): number {
    return this.#structured(Hypercall.GRANT_TABLE_OP, GrantOp.GET_VERSION, domid, undefined, [1]).getUint32(
      4,
      true,
    );
  }

  populatePhysmap(domid: number, gfns: readonly number[]): void {
    this.#orNone(domid, () => populate(this.#operations, domid, gfns));
  }

  decreaseReservation(domid: number, gfns: readonly number[]): void {
    this.#orNone(domid, () => decrease(this.#operations, domid, gfns));
  }

  maximumGpfn(domid: number): number {
    return maximumGpfn(this.#operations, domid);
  }

  getGuestWidth(domid: number): number {
    return this.#operations.domctl(Domctl.GET_ADDRESS_SIZE, domid).argument.getUint32(0, true) / 8;
  }

  version(): XenVersion {
    return xenVersion(this.#operations);
  }

  physinfo(): Physinfo {
    return physinfo(this.#operations);
  }

  readconsolering(index: number, clear: 'clear' | 'keep'): { readonly text: string; readonly index: number } {
    return readConsole(this.#operations, index, clear);
  }

  close(): void {
    this.#call.close();
  }

  /** Today's hypervisors tell the store's domain EPERM of a domain that is not there, and whom else of any. Domain 0 always is. */
  #hidden(domid: number, error: OsError): boolean {
    return error.errno === Errno.EPERM && domid !== 0 && this.#looksAtDomains();
  }

  #looksAtDomains(): boolean {
    try {
      return this.getDomainInfo(0) !== undefined;
    } catch {
      return false;
    }
  }

  /** For calls that only tell how much they did: ESRCH where the reason is that there is no such domain. */
  #orNone(domid: number, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof OsError) || domid === Domid.SELF || !this.#isNone(domid)) throw error;
      throw new OsError(Errno.ESRCH, `memory of domain ${domid}`);
    }
  }

  #isNone(domid: number): boolean {
    try {
      return this.getDomainInfo(domid) === undefined;
    } catch {
      return false;
    }
  }

  /** An operation whose structure starts with a domain's id. */
  #structured(
    op: number,
    cmd: number,
    domid: number,
    fill?: (argument: DataView) => void,
    more: readonly number[] = [],
  ): DataView {
    const write = (argument: DataView) => {
      argument.setUint16(0, domid, true);
      fill?.(argument);
    };
    return this.#operations.structured(op, cmd, write, more).argument;
  }

  /** Kept for the next time, and replaced by a larger one when that is wanted. */
  #listOf(sizeBytes: number): CallBuffer {
    if (this.#list !== undefined && this.#list.bytes.length < sizeBytes) {
      this.#call.freeBuffer(this.#list);
      this.#list = undefined;
    }
    this.#list ??= this.#call.allocBuffer(sizeBytes);
    return this.#list;
  }
}
