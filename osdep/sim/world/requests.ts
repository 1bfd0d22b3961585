/**
 * Everything that a domain can ask of the simulated hypervisor, as plain data: a name, its arguments, its answer.
 * Beside Xen's hypercalls there are the services of the kernel below a program (event channel files, grant
 * devices), since a simulated domain has no kernel of its own. Values can be cloned or serialised: numbers,
 * strings, booleans, arrays, bytes; never bigint. Knows nothing of what a request does.
 */
import type {
  CreateDomain,
  DomainInfo,
  EvtchnStatus,
  GrantSeed,
  GrantTableSize,
  Physinfo,
  XenVersion,
} from '../../ctrl.ts';
import type { BufferedIo, FrameRun, InjectedEvent, IoRange, PciAddress } from '../../devicemodel.ts';
import type { ResourceFrames } from '../../foreignmemory.ts';
import type { GrantRef, UnmapNotify } from '../../gnttab.ts';

/** One request: what goes in, what comes out. */
interface Op<Args, Value> {
  args: Args;
  value: Value;
}

type Nothing = Record<never, never>;

/** A side of a copy: a granted page, a frame of the caller's own, or bytes that travel with the request. */
export type CopyEnd =
  | { readonly domid: number; readonly ref: number; readonly offset: number }
  | { readonly gfn: number; readonly offset: number }
  | { readonly local: true };

export interface CopyOp {
  readonly source: CopyEnd;
  readonly dest: CopyEnd;
  readonly length: number;
  /** The local side's bytes, when the source is local. */
  readonly bytes?: Uint8Array;
}

/** `bytes` is what a copy to a local side read. */
export interface CopyResult {
  readonly status: number;
  readonly bytes?: Uint8Array;
}

/** A memory area that was mapped; `map` is its name for `unmap`. */
export interface MapResult {
  readonly map: number;
}

export interface IoRequest {
  readonly vcpu: number;
  readonly type: 'port' | 'memory';
  readonly direction: 'read' | 'write';
  readonly address: number;
  /** 1, 2 or 4 bytes. */
  readonly size: number;
  /** What is written; 0 for a read. */
  readonly value: number;
}

export interface DomainStateValue {
  readonly domid: number;
  readonly state: number;
  readonly caps: number;
  /** A decimal number of 64 bits. */
  readonly uniqueId: string;
}

export interface EvtchnRequests {
  /** A file of /dev/xen/evtchn. Its events are effects that name it. */
  evtchnOpen: Op<Nothing, { handle: number }>;
  evtchnClose: Op<{ handle: number }, Nothing>;
  evtchnBindUnbound: Op<{ handle: number; domid: number }, { port: number }>;
  evtchnBindInterdomain: Op<{ handle: number; domid: number; port: number }, { port: number }>;
  evtchnBindVirq: Op<{ handle: number; virq: number }, { port: number }>;
  evtchnBind: Op<{ handle: number; port: number }, Nothing>;
  evtchnUnbind: Op<{ handle: number; port: number }, Nothing>;
  evtchnNotify: Op<{ handle: number; port: number }, Nothing>;
  evtchnUnmask: Op<{ handle: number; port: number }, Nothing>;
  evtchnRestrict: Op<{ handle: number; domid: number }, Nothing>;
  /** The hypercalls below the file. */
  evtchnAllocUnbound: Op<{ domid: number; remoteDomid: number }, { port: number }>;
  evtchnInterdomain: Op<{ domid: number; port: number }, { port: number }>;
  evtchnVirq: Op<{ virq: number; vcpu: number }, { port: number }>;
  evtchnShut: Op<{ port: number }, Nothing>;
  evtchnSend: Op<{ port: number }, Nothing>;
  evtchnStatus: Op<{ domid: number; port: number }, EvtchnStatus>;
  evtchnReset: Op<{ domid: number }, Nothing>;
}

export interface GrantRequests {
  /** A mapping of /dev/xen/gntdev: all or EINVAL. */
  gntdevMap: Op<{ refs: readonly GrantRef[]; writable: boolean; notify?: UnmapNotify }, MapResult>;
  /** GNTTABOP_copy, and EINVAL for what the device refuses before asking the hypervisor. */
  gntdevCopy: Op<{ ops: readonly CopyOp[] }, { results: CopyResult[] }>;
  /** Memory for copies by table, which are no requests of this kind: see World.copyByTable. */
  gntdevCopier: Op<{ pages: number }, MapResult>;
  /** Pages of /dev/xen/gntalloc; `unmap` ends the sharing. */
  gntallocShare: Op<
    { domid: number; count: number; peerWritable: boolean; notify?: UnmapNotify },
    MapResult & { refs: number[]; gfns: number[] }
  >;
  /** The hypercalls below the devices; a mapping so made has no address. */
  gnttabMap: Op<
    { ops: readonly { domid: number; ref: number; flags: number }[] },
    { results: { status: number; handle: number; frame: number }[] }
  >;
  gnttabCopy: Op<{ ops: readonly CopyOp[] }, { results: CopyResult[] }>;
  gnttabUnmap: Op<{ handles: readonly number[] }, { statuses: number[] }>;
  /** The caller's own table, at least `frames` pages of it, to read and write its entries. */
  gnttabSetup: Op<{ frames: number }, MapResult>;
  gnttabQuerySize: Op<{ domid: number }, GrantTableSize & { status: number }>;
  gnttabGetVersion: Op<{ domid: number }, { version: number }>;
}

export interface MemoryRequests {
  /** The caller's own frames. */
  ownMap: Op<{ gfns: readonly number[] }, MapResult>;
  foreignMap: Op<
    { domid: number; gfns: readonly number[]; writable: boolean; partial: boolean },
    MapResult & { errors: number[] }
  >;
  resourceMap: Op<ResourceFrames & { writable: boolean }, MapResult>;
  resourceSize: Op<{ domid: number; type: number; id: number }, { frames: number }>;
  /** Ends any mapping, and what depends on it. EINVAL when it is not there (any more). */
  unmap: Op<{ map: number }, Nothing>;
  populatePhysmap: Op<{ domid: number; gfns: readonly number[] }, Nothing>;
  decreaseReservation: Op<{ domid: number; gfns: readonly number[] }, Nothing>;
  maximumGpfn: Op<{ domid: number }, { gfn: number }>;
}

export interface DomainRequests {
  createDomain: Op<CreateDomain, { domid: number }>;
  destroyDomain: Op<{ domid: number }, Nothing>;
  pauseDomain: Op<{ domid: number }, Nothing>;
  unpauseDomain: Op<{ domid: number }, Nothing>;
  /** `domid` may be Domid.SELF: a domain shutting down by itself. */
  shutdownDomain: Op<{ domid: number; reason: number }, Nothing>;
  resumeDomain: Op<{ domid: number }, Nothing>;
  setMaxMem: Op<{ domid: number; maxKb: number }, Nothing>;
  setMaxVcpus: Op<{ domid: number; count: number }, Nothing>;
  setHandle: Op<{ domid: number; handle: string }, Nothing>;
  setTarget: Op<{ domid: number; target: number }, Nothing>;
  setVirqHandler: Op<{ domid: number; virq: number }, Nothing>;
  domainInfo: Op<{ domid: number }, DomainInfo>;
  domainInfoList: Op<{ firstDomid: number; max: number }, { domains: DomainInfo[] }>;
  domainState: Op<{ domid: number }, DomainStateValue>;
  /** ENOENT: nothing changed. */
  pollChangedDomain: Op<Nothing, DomainStateValue>;
  hvmParamSet: Op<{ domid: number; param: number; value: number }, Nothing>;
  hvmParamGet: Op<{ domid: number; param: number }, { value: number }>;
  gnttabSeed: Op<{ domid: number; seed: GrantSeed }, Nothing>;
  guestWidth: Op<{ domid: number }, { bytes: number }>;
}

export interface SystemRequests {
  version: Op<Nothing, XenVersion>;
  physinfo: Op<Nothing, Physinfo>;
  readConsole: Op<{ index: number; clear: boolean }, { text: string; index: number }>;
  /** A domain's words on the hypervisor's console. */
  writeConsole: Op<{ text: string }, Nothing>;
}

export interface DeviceRequests {
  dmCreateServer: Op<{ domid: number; buffered: BufferedIo }, { id: number }>;
  dmServerInfo: Op<{ domid: number; id: number }, { bufioreqPort: number }>;
  dmMapRange: Op<{ domid: number; id: number; range: IoRange }, Nothing>;
  dmUnmapRange: Op<{ domid: number; id: number; range: IoRange }, Nothing>;
  dmMapPci: Op<{ domid: number; id: number; address: PciAddress }, Nothing>;
  dmUnmapPci: Op<{ domid: number; id: number; address: PciAddress }, Nothing>;
  dmMapMemType: Op<{ domid: number; id: number; type: number; flags: number }, Nothing>;
  dmSetServerState: Op<{ domid: number; id: number; enabled: boolean }, Nothing>;
  dmDestroyServer: Op<{ domid: number; id: number }, Nothing>;
  /** An interrupt line or message of the guest: what it is depends on `line`. */
  dmInterrupt: Op<{ domid: number; line: string; level: number }, Nothing>;
  dmInjectEvent: Op<{ domid: number; event: InjectedEvent }, Nothing>;
  dmTrackDirty: Op<{ domid: number; firstPfn: number; count: number }, { bitmap: Uint8Array }>;
  dmModified: Op<{ domid: number; runs: readonly FrameRun[] }, Nothing>;
  dmSetMemType: Op<{ domid: number; type: number; firstPfn: number; count: number }, Nothing>;
  dmRelocate: Op<{ domid: number; count: number; sourceGfn: number; destGfn: number }, Nothing>;
  dmPinCache: Op<{ domid: number; start: number; end: number; type: number }, Nothing>;
  dmVcpus: Op<{ domid: number }, { count: number }>;
  /** A guest's own access to a device: answered at once where nobody emulates it, else by `guestIoResult` after VIRQ ARCH_0. */
  guestIo: Op<IoRequest, { done: boolean; value: number }>;
  /** EAGAIN while the emulator is at it, ENOENT where nothing was asked. */
  guestIoResult: Op<{ vcpu: number }, { value: number }>;
}

export interface Requests
  extends EvtchnRequests,
    GrantRequests,
    MemoryRequests,
    DomainRequests,
    SystemRequests,
    DeviceRequests {}

export type OpName = keyof Requests;
export type Args<K extends OpName> = Requests[K]['args'];
export type Value<K extends OpName> = Requests[K]['value'];

/** Requests whose answer comes with memory. */
export type MappingOp =
  | 'gntdevMap'
  | 'gntdevCopier'
  | 'gntallocShare'
  | 'gnttabSetup'
  | 'ownMap'
  | 'foreignMap'
  | 'resourceMap';

/** Pages side by side in one extent. Extent 0: a hole, nothing to map there. */
export interface Run {
  readonly extent: number;
  readonly page: number;
  readonly pages: number;
}

/** What a mapping consists of, in order. */
export interface MappedMemory {
  readonly runs: readonly Run[];
  readonly writable: boolean;
}

/** An answer; `errno` is positive. `memory` comes with the operations of MappingOp alone. */
export type Reply<K extends OpName = OpName> =
  | { readonly ok: true; readonly value: Value<K>; readonly memory?: MappedMemory }
  | { readonly ok: false; readonly errno: number };
