/**
 * Which domains exist and what became of them (libxenmanage, Xen 4.21 and later; older hypervisors are asked
 * through Ctrl by whoever opens this). Calls throw OsError. (xen/tools/include/xenmanage.h)
 */
import type { Logger } from './toollog.ts';

/** Bits of `state`: a domain that is gone has none. */
export const DomainState = { EXIST: 1, SHUTDOWN: 2, DYING: 4, DEAD: 8 } as const;

/** Bits of `caps`. */
export const DomainCaps = { CONTROL: 1, HARDWARE: 2, XENSTORE: 4 } as const;

export interface DomainStatus {
  readonly domid: number;
  readonly state: number;
  readonly caps: number;
  /** Differs between two domains that have had the same id; 0 of a domain that is gone. */
  readonly uniqueId: bigint;
}

export interface Manage {
  /** ESRCH (for the unprivileged EPERM) without such a domain, EINVAL for a reserved id, EACCES on an old hypervisor. */
  getDomainInfo(domid: number): DomainStatus;
  /**
   * A domain whose state changed since it was last told, or undefined. EACCES for anybody but the domain that may
   * bind VIRQ_DOM_EXC. Binding that makes every domain a changed one; before, none is.
   */
  pollChangedDomain(): DomainStatus | undefined;
  close(): void;
}

export interface ManageOptions {
  readonly logger?: Logger;
}
