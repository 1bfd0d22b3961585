/**
 * Memory given to a domain and taken from it, frame by frame. The hypervisor only tells how many frames it got to. Knows no domain's layout.
 * (xen/include/public/memory.h)
 */
import { type CallBuffer, Hypercall } from '../call.ts';
import { Errno, OsError } from '../errno.ts';
import type { Operations } from './operations.ts';

const MemoryOp = { DECREASE_RESERVATION: 1, POPULATE_PHYSMAP: 6, MAXIMUM_GPFN: 14 } as const;
const FRAME_BYTES = 8;

/** All or none. ENOMEM. */
export function populate(operations: Operations, domid: number, gfns: readonly number[]): void {
  withFrames(operations, gfns, (frames) => {
    const done = reservation(operations, MemoryOp.POPULATE_PHYSMAP, { domid, frames, count: gfns.length });
    if (done === gfns.length) return;
    // Of a guest that sees machine frames, these are now in the list.
    reservation(operations, MemoryOp.DECREASE_RESERVATION, { domid, frames, count: done });
    throw new OsError(Errno.ENOMEM, `memory for domain ${domid}`);
  });
}

/** EINVAL: not all of them are there to be taken. */
export function decrease(operations: Operations, domid: number, gfns: readonly number[]): void {
  withFrames(operations, gfns, (frames) => {
    const range = { domid, frames, count: gfns.length };
    if (reservation(operations, MemoryOp.DECREASE_RESERVATION, range) < gfns.length) {
      throw new OsError(Errno.EINVAL, `take frames of domain ${domid} away`);
    }
  });
}

export function maximumGpfn(operations: Operations, domid: number): number {
  return operations.structured(Hypercall.MEMORY_OP, MemoryOp.MAXIMUM_GPFN, (argument) =>
    argument.setUint16(0, domid, true),
  ).result;
}

function withFrames({ call }: Operations, gfns: readonly number[], work: (frames: CallBuffer) => void): void {
  const frames = call.allocBuffer(Math.max(1, gfns.length) * FRAME_BYTES);
  try {
    new BigUint64Array(frames.bytes.buffer, frames.bytes.byteOffset, gfns.length).set(gfns.map(BigInt));
    work(frames);
  } finally {
    call.freeBuffer(frames);
  }
}

interface FrameList {
  readonly domid: number;
  readonly frames: CallBuffer;
  readonly count: number;
}

/** struct xen_memory_reservation, of single frames. Answers how many were done. */
function reservation(operations: Operations, cmd: number, { domid, frames, count }: FrameList): number {
  return operations.structured(Hypercall.MEMORY_OP, cmd, (argument) => {
    argument.setBigUint64(0, frames.address, true);
    argument.setBigUint64(8, BigInt(count), true);
    argument.setUint16(24, domid, true);
  }).result;
}
