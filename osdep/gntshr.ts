/**
 * Grants, the sharing half (libxengntshr): pages of our own that a peer may map by reference.
 * Calls throw OsError; opening fails with EOPNOTSUPP where a system has no such half. (xen/tools/include/xengnttab.h)
 */
import type { UnmapNotify } from './gnttab.ts';
import type { Mapping } from './mapping.ts';
import type { Logger } from './toollog.ts';

/** Zeroed pages of ours; `refs[i]` grants page i. Writable for us whatever the peer may do. */
export interface SharedPages extends Mapping {
  readonly refs: readonly number[];
}

/** What the peer may do with the pages. */
export type PeerAccess = 'r' | 'rw';

export interface Gntshr {
  /** -1 where there is no such descriptor. */
  readonly fd: number;
  /** Contiguous pages. ENOSPC when references run out, ENOMEM, EINVAL. */
  sharePages(domid: number, count: number, peer: PeerAccess): SharedPages;
  /** One page, with a word to the peer when we go. */
  sharePageNotify(domid: number, peer: PeerAccess, notify: UnmapNotify): SharedPages;
  /** Ends the sharing. A page that the peer still maps stays his until he unmaps; its reference is not reused before. EINVAL as Gnttab.unmap. */
  unshare(shared: SharedPages, count: number): void;
  /** Closes the handle. Shared pages live on until they are unshared. */
  close(): void;
}

export interface GntshrOptions {
  readonly logger?: Logger;
}
