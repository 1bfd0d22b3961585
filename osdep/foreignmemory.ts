/**
 * Other domains' memory by frame number, for those privileged over them (libxenforeignmemory).
 * Calls throw OsError. (xen/tools/include/xenforeignmemory.h)
 */
import type { Protection } from './gnttab.ts';
import type { Mapping } from './mapping.ts';
import type { Logger } from './toollog.ts';

export interface PartialMapping {
  readonly mapping: Mapping;
  /** For each frame 0, or why it is not there (a positive errno). Bytes of a missing page must not be touched. */
  readonly errors: readonly number[];
}

/** Kinds of resource (XENMEM_resource_*). */
export const Resource = { IOREQ_SERVER: 0, GRANT_TABLE: 1, VMTRACE_BUF: 2 } as const;

export interface ResourceFrames {
  readonly domid: number;
  readonly type: number;
  /** An ioreq server's id; for a grant table 0 the shared entries, 1 the status frames. */
  readonly id: number;
  readonly frame: number;
  readonly count: number;
}

export interface Foreignmemory {
  /** -1 where there is no such descriptor. */
  readonly fd: number;
  /** Frames side by side: all, or an error and none. EPERM, ESRCH, EINVAL. */
  map(domid: number, protection: Protection, gfns: readonly number[]): Mapping;
  /** Frames side by side, as far as they can be had. EPERM, ESRCH. */
  mapPartial(domid: number, protection: Protection, gfns: readonly number[]): PartialMapping;
  /** EPERM (also for oneself), ESRCH, EINVAL, EOPNOTSUPP. */
  mapResource(frames: ResourceFrames, protection: Protection): Mapping;
  /** Bytes that the resource has. */
  resourceSize(domid: number, type: number, id: number): number;
  /** From now on only `domid`. EINVAL for another one the second time, EOPNOTSUPP. */
  restrict(domid: number): void;
  /** Closes the handle. Mappings live on until they are unmapped. */
  close(): void;
}

export interface ForeignmemoryOptions {
  readonly logger?: Logger;
}
