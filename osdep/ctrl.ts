/**
 * What a toolstack asks of the hypervisor (the part of libxenctrl that this project needs). For the control
 * domain, and where said for the store's domain. Calls throw OsError: EPERM for anybody else, ESRCH without
 * such a domain, EACCES where hypervisor and library do not fit. (xen/tools/include/xenctrl.h)
 */
import type { Logger } from './toollog.ts';

/** Why a domain shut down (xen/include/public/sched.h). */
export const ShutdownReason = {
  POWEROFF: 0,
  REBOOT: 1,
  SUSPEND: 2,
  CRASH: 3,
  WATCHDOG: 4,
  SOFT_RESET: 5,
} as const;

/** Guest parameters (xen/include/public/hvm/params.h). */
export const HvmParam = {
  CALLBACK_IRQ: 0,
  STORE_PFN: 1,
  STORE_EVTCHN: 2,
  IOREQ_PFN: 5,
  BUFIOREQ_PFN: 6,
  CONSOLE_PFN: 17,
  CONSOLE_EVTCHN: 18,
} as const;

export interface DomainInfo {
  readonly domid: number;
  /** Fully dead, and kept only by those who still map its pages. */
  readonly dying: boolean;
  readonly hvm: boolean;
  readonly shutdown: boolean;
  /** A ShutdownReason; only with `shutdown`. */
  readonly shutdownReason: number | undefined;
  readonly paused: boolean;
  readonly blocked: boolean;
  readonly running: boolean;
  readonly debugged: boolean;
  readonly xenstore: boolean;
  readonly hap: boolean;
  readonly totPages: number;
  readonly maxPages: number;
  readonly outstandingPages: number;
  readonly shrPages: number;
  readonly pagedPages: number;
  readonly sharedInfoFrame: number | undefined;
  readonly cpuTimeNs: number;
  readonly nrOnlineVcpus: number;
  readonly maxVcpuId: number;
  readonly ssidref: number;
  /** The toolstack's name for the domain: a uuid, 36 characters, lower case. */
  readonly handle: string;
  /** undefined: none. */
  readonly cpupool: number | undefined;
}

export interface CreateDomain {
  /** undefined: the hypervisor picks one. */
  readonly domid?: number;
  /** A uuid of 36 characters; all zero if left out. */
  readonly handle?: string;
  readonly ssidref?: number;
  /** Its frames have numbers of its own, and a device model may serve it. Default: as the hypervisor likes; on real Xen no. */
  readonly hvm?: boolean;
  readonly hap?: boolean;
  /** The domain that serves the store: may list domains and their states. */
  readonly xenstore?: boolean;
  readonly maxVcpus?: number;
  /** Highest event channel port; undefined: as many as the ABI has. */
  readonly maxEvtchnPort?: number;
  /** undefined: the hypervisor's default (64 and 1024). */
  readonly maxGrantFrames?: number;
  readonly maxMaptrackFrames?: number;
}

export interface EvtchnStatus {
  readonly state: 'closed' | 'unbound' | 'interdomain' | 'pirq' | 'virq' | 'ipi';
  readonly vcpu: number;
  /** The peer of an interdomain port, the expected one of an unbound port. */
  readonly remoteDomid?: number;
  readonly remotePort?: number;
  readonly virq?: number;
}

/** Frames and domains of the entries that a guest finds in its grant table when it starts. */
export interface GrantSeed {
  readonly consoleGfn?: number;
  readonly consoleDomid?: number;
  readonly xenstoreGfn?: number;
  readonly xenstoreDomid?: number;
}

export interface XenVersion {
  readonly major: number;
  readonly minor: number;
  /** As in ".0-rc". */
  readonly extra: string;
  readonly changeset: string;
  readonly capabilities: string;
  readonly commandline: string;
}

export interface Physinfo {
  readonly threadsPerCore: number;
  readonly coresPerSocket: number;
  readonly nrCpus: number;
  readonly maxCpuId: number;
  readonly nrNodes: number;
  readonly cpuKhz: number;
  readonly totalPages: number;
  readonly freePages: number;
  readonly scrubPages: number;
  readonly maxMfn: number;
}

export interface GrantTableSize {
  readonly frames: number;
  readonly maxFrames: number;
}

export interface Ctrl {
  /** undefined: no such domain. Also for the store's domain. */
  getDomainInfo(domid: number): DomainInfo | undefined;
  /** Up to `max` domains from `firstDomid` on, in order of their ids. */
  getDomainInfoList(firstDomid: number, max: number): DomainInfo[];
  /** The new domain's id. It is paused once. EEXIST, ENOMEM, EINVAL. */
  createDomain(options: CreateDomain): number;
  /** EINVAL for oneself. */
  destroyDomain(domid: number): void;
  /** Counted: each pause wants its unpause. EINVAL for oneself, EOVERFLOW. */
  pause(domid: number): void;
  unpause(domid: number): void;
  /** Shuts it down from outside, with a ShutdownReason. */
  shutdown(domid: number, reason: number): void;
  /** Lets a domain that has shut down (suspended) go on. */
  resume(domid: number): void;
  /** KiB. */
  setMaxMem(domid: number, maxKb: number): void;
  maxVcpus(domid: number, count: number): void;
  setHandle(domid: number, handle: string): void;
  /** Makes `domid` the device model of `target`: privileged over it alone. */
  setTarget(domid: number, target: number): void;
  /** Hands a global VIRQ to a domain. EINVAL for one that is not global. */
  setVirqHandler(domid: number, virq: number): void;
  /** A new port of `domid` for `remoteDomid` to bind to. */
  evtchnAllocUnbound(domid: number, remoteDomid: number): number;
  evtchnStatus(domid: number, port: number): EvtchnStatus;
  /** Closes all ports of a domain. */
  evtchnReset(domid: number): void;
  /** Values up to 2^53. EEXIST for a second value of what is set once. */
  hvmParamSet(domid: number, param: number, value: number): void;
  hvmParamGet(domid: number, param: number): number;
  gnttabSeed(domid: number, seed: GrantSeed): void;
  gnttabQuerySize(domid: number): GrantTableSize;
  gnttabGetVersion(domid: number): number;
  /** Gives a guest zeroed memory at these frame numbers. Less than asked for is ENOMEM and nothing. */
  populatePhysmap(domid: number, gfns: readonly number[]): void;
  /** Takes frames away again. */
  decreaseReservation(domid: number, gfns: readonly number[]): void;
  maximumGpfn(domid: number): number;
  getGuestWidth(domid: number): number;
  version(): XenVersion;
  physinfo(): Physinfo;
  /** The hypervisor's console: text from `index` on, and the index to go on with. */
  readconsolering(index: number, clear: 'clear' | 'keep'): { readonly text: string; readonly index: number };
  close(): void;
}

export interface CtrlOptions {
  readonly logger?: Logger;
}
