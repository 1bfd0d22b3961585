/**
 * libxenctrl on real Xen: each call is one hypercall of the same meaning, in the version that this hypervisor speaks. Knows no
 * order in which a toolstack calls them. (xen/include/public/domctl.h, sysctl.h, event_channel.h, grant_table.h, memory.h,
 * hvm/hvm_op.h)
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
import { Operations, viewOf } from './operations.ts';

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
const Sysctl = { READ_CONSOLE: 1, PHYSINFO: 3, GET_DOMAIN_INFO_LIST: 6 } as const;
const EvtchnOp = { STATUS: 5, ALLOC_UNBOUND: 6, RESET: 10 } as const;
const GrantOp = { QUERY_SIZE: 6, GET_VERSION: 10 } as const;
const MemoryOp = { DECREASE_RESERVATION: 1, POPULATE_PHYSMAP: 6, MAXIMUM_GPFN: 14 } as const;
const HvmOp = { SET_PARAM: 0, GET_PARAM: 1 } as const;
const SCHED_REMOTE_SHUTDOWN = 4;
const CONSOLE_BYTES = 64 * 1024;

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
    const answer = this.#operations.sysctl(Sysctl.GET_DOMAIN_INFO_LIST, (argument) => {
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
    const frames = this.#call.allocBuffer(Math.max(1, gfns.length) * 8);
    try {
      new BigUint64Array(frames.bytes.buffer, frames.bytes.byteOffset, gfns.length).set(gfns.map(BigInt));
      const done = this.#reservation(MemoryOp.POPULATE_PHYSMAP, domid, frames, gfns.length);
      if (done < gfns.length) {
        this.#reservation(MemoryOp.DECREASE_RESERVATION, domid, frames, done);
        throw new OsError(this.#isNone(domid) ? Errno.ESRCH : Errno.ENOMEM, `memory for domain ${domid}`);
      }
    } finally {
      this.#call.freeBuffer(frames);
    }
  }

  decreaseReservation(domid: number, gfns: readonly number[]): void {
    const frames = this.#call.allocBuffer(Math.max(1, gfns.length) * 8);
    try {
      new BigUint64Array(frames.bytes.buffer, frames.bytes.byteOffset, gfns.length).set(gfns.map(BigInt));
      if (this.#reservation(MemoryOp.DECREASE_RESERVATION, domid, frames, gfns.length) < gfns.length) {
        throw new OsError(
          this.#isNone(domid) ? Errno.ESRCH : Errno.EINVAL,
          `take frames of domain ${domid} away`,
        );
      }
    } finally {
      this.#call.freeBuffer(frames);
    }
  }

  maximumGpfn(domid: number): number {
    return this.#operations.structured(Hypercall.MEMORY_OP, MemoryOp.MAXIMUM_GPFN, (argument) =>
      argument.setUint16(0, domid, true),
    ).result;
  }

  getGuestWidth(domid: number): number {
    return this.#operations.domctl(Domctl.GET_ADDRESS_SIZE, domid).argument.getUint32(0, true) / 8;
  }

  version(): XenVersion {
    const version = this.#operations.version();
    const text = (cmd: number, sizeBytes: number) => this.#operations.versionText(cmd, sizeBytes);
    return {
      major: version >>> 16,
      minor: version & 0xffff,
      extra: text(1, 16),
      changeset: text(4, 64),
      capabilities: text(3, 1024),
      commandline: text(9, 1024),
    };
  }

  physinfo(): Physinfo {
    const answer = this.#operations.sysctl(Sysctl.PHYSINFO);
    const pagesAt = this.#operations.interface.physinfoPagesAt;
    const u32 = (at: number) => answer.getUint32(at, true);
    const pages = (index: number) => Number(answer.getBigUint64(pagesAt + index * 8, true));
    return {
      threadsPerCore: u32(0),
      coresPerSocket: u32(4),
      nrCpus: u32(8),
      maxCpuId: u32(12),
      nrNodes: u32(16),
      cpuKhz: u32(24),
      totalPages: pages(0),
      freePages: pages(1),
      scrubPages: pages(2),
      maxMfn: pages(4),
    };
  }

  readconsolering(index: number, clear: 'clear' | 'keep'): { readonly text: string; readonly index: number } {
    const buffer = this.#call.allocBuffer(CONSOLE_BYTES);
    try {
      const answer = this.#operations.sysctl(Sysctl.READ_CONSOLE, (argument) => {
        argument.setUint8(0, clear === 'clear' ? 1 : 0);
        argument.setUint8(1, 1);
        argument.setUint32(4, index, true);
        argument.setBigUint64(8, buffer.address, true);
        argument.setUint32(16, CONSOLE_BYTES, true);
      });
      const text = new TextDecoder().decode(buffer.bytes.slice(0, answer.getUint32(16, true)));
      return { text, index: answer.getUint32(4, true) };
    } finally {
      this.#call.freeBuffer(buffer);
    }
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

  /** For calls that only tell how much they did. */
  #isNone(domid: number): boolean {
    try {
      return domid !== Domid.SELF && this.getDomainInfo(domid) === undefined;
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

  /** How many were done; of a guest that sees machine frames, `frames` then holds those. */
  #reservation(cmd: number, domid: number, frames: CallBuffer, count: number): number {
    return this.#operations.structured(Hypercall.MEMORY_OP, cmd, (argument) => {
      argument.setBigUint64(0, frames.address, true);
      argument.setBigUint64(8, BigInt(count), true);
      argument.setUint16(24, domid, true);
    }).result;
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
