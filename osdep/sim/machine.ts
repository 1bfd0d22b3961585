/**
 * The seam between Xen's libraries on the simulator and the way in which the world is reached: within one process,
 * or over a socket to the hypervisor process. The libraries are written once against this. Knows no library.
 */
import type { Clock, Random } from '../clock.ts';
import type { CopyTable } from '../gnttab.ts';
import type { Args, MappingOp, OpName, Value } from './world/requests.ts';

/** A mapped area, as Mapping wants it. `release` only takes the bytes away; the world is told with `unmap`. */
export interface Area {
  /** May throw EOPNOTSUPP where `page` is given and the frames are scattered. */
  readonly bytes: Uint8Array;
  /** One page; not needed where `bytes` never throws. */
  page?(index: number): Uint8Array;
  release(): void;
}

/** Events of one file, in the order in which they fired. */
export interface EventSource {
  /** The world's name of the file. */
  readonly handle: number;
  readonly fd: number;
  /** The next port that fired, or undefined. Never blocks. */
  take(): number | undefined;
  /** As Evtchn.pendingAll. */
  takeAll(ports: Uint32Array): number;
  /** As Evtchn.onReadable. */
  onReadable(callback: () => void): () => void;
  /** Takes the source away; the file itself is closed with `evtchnClose` before. */
  close(): void;
}

/** Memory for copies by table. */
export interface CopyMemory {
  readonly map: number;
  /** May be longer than was asked for; what is beyond that is the machine's. */
  readonly area: Area;
  /** 0 and the statuses, or an error number: a row was refused, or the domain is no more. Positions have been checked. */
  copy(table: CopyTable): number;
}

export interface Machine {
  readonly domid: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Performs a request, or throws OsError with the world's errno. Keeps nothing of `args`. */
  call<K extends OpName>(op: K, args: Args<K>): Value<K>;
  /** Performs a request that maps memory. */
  callMapped<K extends MappingOp>(op: K, args: Args<K>): { readonly value: Value<K>; readonly area: Area };
  /** Does `gntdevCopier`; `unmap` ends it. `memoryBytes`: whole pages. */
  openCopies(memoryBytes: number): CopyMemory;
  /** Does `evtchnOpen`, and takes the new file's events. */
  openEvents(): EventSource;
  /** What was told without waiting for an answer is on its way; there is none where nothing waits. */
  flush?(): void;
  close(): void;
}
