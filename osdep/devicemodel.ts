/**
 * What an emulator of devices needs of the hypervisor (libxendevicemodel): ioreq servers, interrupt lines,
 * dirty pages. Calls throw OsError. (xen/tools/include/xendevicemodel.h, xen/include/public/hvm/dm_op.h)
 */
import type { Logger } from './toollog.ts';

export type BufferedIo = 'off' | 'legacy' | 'atomic';

export interface IoreqServerInfo {
  /** Frames in the guest; undefined where they were not asked for or do not exist: use Foreignmemory.mapResource. */
  readonly ioreqGfn: number | undefined;
  readonly bufioreqGfn: number | undefined;
  /** Remote port of the buffered page, to bind to. 0 without one. */
  readonly bufioreqPort: number;
}

/** Both ends are part of the range. */
export interface IoRange {
  readonly type: 'port' | 'memory';
  readonly start: number;
  readonly end: number;
}

export interface PciAddress {
  readonly segment: number;
  readonly bus: number;
  readonly device: number;
  readonly fn: number;
}

export interface InjectedEvent {
  readonly vcpu: number;
  readonly vector: number;
  readonly type: number;
  readonly errorCode: number;
  readonly insnLength: number;
  readonly extra: number;
}

export interface FrameRun {
  readonly firstPfn: number;
  readonly count: number;
}

export interface Devicemodel {
  /** -1 where there is no such descriptor. */
  readonly fd: number;
  /** A raw dm_op: `buffers[0]` is the operation, answered in place. */
  op(domid: number, buffers: readonly Uint8Array[]): void;
  /** The new server's id. ENOSPC, EPERM, ESRCH. */
  createIoreqServer(domid: number, buffered: BufferedIo): number;
  /** ENOENT. With `gfns` 'allocate', frames of the guest are used for the pages. */
  getIoreqServerInfo(domid: number, id: number, gfns: 'allocate' | 'none'): IoreqServerInfo;
  /** EEXIST where it overlaps, EINVAL, ENOENT. */
  mapIoRange(domid: number, id: number, range: IoRange): void;
  /** All of what was mapped, or part of it. ENOENT. */
  unmapIoRange(domid: number, id: number, range: IoRange): void;
  mapMemType(domid: number, id: number, type: number, flags: number): void;
  mapPcidev(domid: number, id: number, address: PciAddress): void;
  unmapPcidev(domid: number, id: number, address: PciAddress): void;
  destroyIoreqServer(domid: number, id: number): void;
  /** A server gets requests only while enabled. */
  setIoreqServerState(domid: number, id: number, state: 'enabled' | 'disabled'): void;
  setPciIntxLevel(domid: number, address: PciAddress, intx: number, level: number): void;
  setIsaIrqLevel(domid: number, irq: number, level: number): void;
  /** EOPNOTSUPP but on Arm. */
  setIrqLevel(domid: number, irq: number, level: number): void;
  setPciLinkRoute(domid: number, link: number, irq: number): void;
  injectMsi(domid: number, address: number, data: number): void;
  /** A bit for each page, 1 = written since the last call; all ones at the first for a range. */
  trackDirtyVram(domid: number, firstPfn: number, count: number): Uint8Array;
  modifiedMemory(domid: number, firstPfn: number, count: number): void;
  modifiedMemoryBulk(domid: number, runs: readonly FrameRun[]): void;
  setMemType(domid: number, type: number, firstPfn: number, count: number): void;
  injectEvent(domid: number, event: InjectedEvent): void;
  shutdown(domid: number, reason: number): void;
  relocateMemory(domid: number, count: number, sourceGfn: number, destGfn: number): void;
  pinMemoryCacheattr(domid: number, start: number, end: number, type: number): void;
  nrVcpus(domid: number): number;
  /** From now on only `domid`. EINVAL for another one the second time, EOPNOTSUPP. */
  restrict(domid: number): void;
  close(): void;
}

export interface DevicemodelOptions {
  readonly logger?: Logger;
}

/** State of a request in a server's page: bits 0 to 3 of byte 30 of its 32-byte slot. */
export const IoreqState = { NONE: 0, READY: 1, INPROCESS: 2, RESP_READY: 3 } as const;

/** Byte 31 of a slot. */
export const IoreqType = { PIO: 0, COPY: 1, PCI_CONFIG: 2, TIMEOFFSET: 7, INVALIDATE: 8 } as const;
