/**
 * Raw hypercalls (libxencall): a number, up to five words, and buffers that the hypervisor can reach.
 * Knows nothing of what the words mean. (xen/tools/include/xencall.h)
 */
import type { Logger } from './toollog.ts';

/** Memory for hypercall arguments: zeroed, pinned, of a known address. */
export interface CallBuffer {
  /** Of length 0 once freed. */
  readonly bytes: Uint8Array;
  /** What an argument or a pointer inside another buffer holds to mean this buffer. */
  readonly address: bigint;
}

export type CallArgument = number | bigint | CallBuffer;

export interface Call {
  /** -1 where there is no such descriptor. */
  readonly fd: number;
  /** The result, 0 or more. Throws OsError with the hypervisor's errno; ENOSYS for a number it does not know. */
  hypercall(op: number, args: readonly CallArgument[]): number;
  allocBuffer(sizeBytes: number): CallBuffer;
  freeBuffer(buffer: CallBuffer): void;
  allocBufferPages(pages: number): CallBuffer;
  freeBufferPages(buffer: CallBuffer): void;
  /** False where a buffer could make a call fail with EFAULT once in a while, so that it is worth repeating. */
  readonly buffersNeverFault: boolean;
  close(): void;
}

export interface CallOptions {
  readonly logger?: Logger;
}

/** Hypercall numbers (xen/include/public/xen.h). */
export const Hypercall = {
  MEMORY_OP: 12,
  MULTICALL: 13,
  XEN_VERSION: 17,
  GRANT_TABLE_OP: 20,
  SCHED_OP: 29,
  EVENT_CHANNEL_OP: 32,
  HVM_OP: 34,
  SYSCTL: 35,
  DOMCTL: 36,
  ARGO_OP: 39,
  DM_OP: 41,
} as const;
