/**
 * Grants, the mapping half (libxengnttab): other domains' pages, mapped or copied by grant reference.
 * Calls throw OsError; grant copies answer per operation. (xen/tools/include/xengnttab.h)
 */
import type { Mapping } from './mapping.ts';
import type { Logger } from './toollog.ts';

export type Protection = 'r' | 'rw';

export interface GrantRef {
  readonly domid: number;
  readonly ref: number;
}

/** What the hypervisor does for the peer when a mapping goes, also when its process dies. */
export interface UnmapNotify {
  /** Byte within the area that is set to 0 first. */
  readonly clearByte?: number;
  /** Local port that is rung then; one that was bound through an event channel handle. */
  readonly port?: number;
}

/** One side of a copy: a granted page, or bytes of our own. */
export type CopySide =
  | { readonly domid: number; readonly ref: number; readonly offset: number }
  | { readonly bytes: Uint8Array };

/** At least one side is a grant; `offset + length` stays within its page. Bytes of our own may be longer than `length`. */
export interface CopySegment {
  readonly source: CopySide;
  readonly dest: CopySide;
  readonly length: number;
}

/**
 * Copies between guests' pages and memory of our own, as columns of numbers: whoever has many to make fills them in, and allocates nothing. The
 * first `count` rows count.
 */
export interface CopyTable {
  readonly count: number;
  readonly domids: Uint16Array;
  readonly grefs: Uint32Array;
  /** Where in the guest's page; `offset + length` stays within it. */
  readonly offsets: Uint16Array;
  /** Where in the copier's memory. */
  readonly positions: Uint32Array;
  readonly lengths: Uint16Array;
  /** 1: from our memory to the guest; 0: the other way. */
  readonly toGuest: Uint8Array;
  /** The GrantStatus of each: filled in by `copy`. */
  readonly statuses: Int16Array;
}

/** For hot paths: as `grantCopy`, with memory that is known beforehand. */
export interface Copier {
  /** Our side of all its copies: starts at a page, zeroed at first, empty once closed. Disks may read and write it, too. */
  readonly memory: Uint8Array;
  /**
   * Copies in order, the outcome of each in `statuses`; nothing is allocated for a copy. A call that is refused as a whole (a copy that leaves the
   * guest's page, a domain that has ended) makes all of them GENERAL_ERROR. RangeError for a copy outside of `memory`.
   */
  copy(table: CopyTable): void;
  /** Idempotent. */
  close(): void;
}

export interface Gnttab {
  /** -1 where there is no such descriptor. */
  readonly fd: number;
  /** Most grants mapped at a time through this handle. EBUSY, EINVAL; a system without the limit ignores it. */
  setMaxGrants(count: number): void;
  /** Maps one page. EINVAL whatever the hypervisor has against it, as on Linux; ENOMEM. */
  mapGrantRef(domid: number, ref: number, protection: Protection): Mapping;
  /** Maps pages of several domains side by side: all or none. */
  mapGrantRefs(refs: readonly GrantRef[], protection: Protection): Mapping;
  /** Maps pages of one domain side by side: all or none. */
  mapDomainGrantRefs(domid: number, refs: readonly number[], protection: Protection): Mapping;
  /** As mapGrantRef, and tells the peer when the mapping goes. EINVAL for a byte in a read-only mapping or a port not ours. */
  mapGrantRefNotify(domid: number, ref: number, protection: Protection, notify: UnmapNotify): Mapping;
  /** Unmaps a whole mapping of this handle. EINVAL if `count` is not all of it, or it is not mapped (any more). */
  unmap(mapping: Mapping, count: number): void;
  /** Copies in order; the result has a GrantStatus for each segment. EINVAL for a segment that no hypervisor would look at. */
  grantCopy(segments: readonly CopySegment[]): number[];
  /** A copier with so much memory, a multiple of the page size. It lives on when the handle is closed. ENOMEM, EINVAL. */
  openCopier(memoryBytes: number): Copier;
  dmabufExpFromRefs(domid: number, flags: number, refs: readonly number[]): number;
  dmabufExpWaitReleased(fd: number, timeoutMs: number): void;
  dmabufImpToRefs(domid: number, fd: number, count: number): number[];
  dmabufImpRelease(fd: number): void;
  /** Closes the handle. Mappings live on until they are unmapped. */
  close(): void;
}

export interface GnttabOptions {
  readonly logger?: Logger;
}

/** Status of one grant operation (GNTST_*, xen/include/public/grant_table.h). */
export const GrantStatus = {
  OKAY: 0,
  GENERAL_ERROR: -1,
  BAD_DOMAIN: -2,
  BAD_GNTREF: -3,
  BAD_HANDLE: -4,
  BAD_VIRT_ADDR: -5,
  BAD_DEV_ADDR: -6,
  NO_DEVICE_SPACE: -7,
  PERMISSION_DENIED: -8,
  BAD_PAGE: -9,
  BAD_COPY_ARG: -10,
  ADDRESS_TOO_BIG: -11,
  EAGAIN: -12,
  NO_SPACE: -13,
} as const;

/** Flags of a version 1 entry, and where its fields lie: flags u16 at 0, domid u16 at 2, frame u32 at 4. */
export const GrantFlag = {
  PERMIT_ACCESS: 1,
  ACCEPT_TRANSFER: 2,
  TYPE_MASK: 3,
  READONLY: 4,
  READING: 8,
  WRITING: 16,
  SUB_PAGE: 256,
} as const;

/** References that a toolstack fills in before a guest runs. */
export const ReservedGrant = { CONSOLE: 0, XENSTORE: 1 } as const;
