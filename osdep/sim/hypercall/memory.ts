/** memory_op and hvm_op (xen/include/public/memory.h, hvm/hvm_op.h). */
import { Errno, OsError } from '../../errno.ts';
import type { Machine } from '../machine.ts';
import { type Buffers, Struct, u64Array } from './guestmemory.ts';

const MAX_EXTENTS = 65_536;
const MAX_ORDER = 18;

export function memoryOp(machine: Machine, buffers: Buffers, cmd: number, address: bigint): number {
  switch (cmd & 0x3f) {
    case 1:
    case 6:
      return reservation(machine, buffers, cmd & 0x3f, address);
    case 14:
      return machine.call('maximumGpfn', { domid: Struct.at(buffers, address, 2).u16(0) }).gfn;
    case 15: {
      const op = Struct.at(buffers, address, 16);
      machine.call('decreaseReservation', { domid: op.u16(0), gfns: [op.u64(8)] });
      return 0;
    }
    case 28:
      return acquire(machine, Struct.at(buffers, address, 32));
    default:
      throw new OsError(Errno.ENOSYS, `memory operation ${cmd}`);
  }
}

/** Extent by extent: the result is how many were done before one failed. */
function reservation(machine: Machine, buffers: Buffers, cmd: number, address: bigint): number {
  const op = Struct.at(buffers, address, 32);
  const count = op.u64(8);
  const order = op.u32(16);
  const domid = op.u16(24);
  if (count > MAX_EXTENTS || order > MAX_ORDER) {
    throw new OsError(Errno.EINVAL, 'memory reservation');
  }
  const starts = u64Array(buffers, op.address(0), count);
  for (const [index, start] of starts.entries()) {
    const gfns = Array.from({ length: 2 ** order }, (_, page) => start + page);
    try {
      machine.call(cmd === 6 ? 'populatePhysmap' : 'decreaseReservation', { domid, gfns });
    } catch (error) {
      const refused = error instanceof OsError && [Errno.EPERM, Errno.ESRCH].every((e) => e !== error.errno);
      if (refused) {
        return index;
      }
      throw error;
    }
  }
  return count;
}

/** Only the size: frames of a resource have no number that means anything to a caller here. */
function acquire(machine: Machine, op: Struct): number {
  const args = { domid: op.u16(0), type: op.u16(2), id: op.u32(4) };
  if (op.u32(12) !== 0 || (op.u32(8) === 0) !== (op.address(24) === 0n)) {
    throw new OsError(Errno.EINVAL, 'acquire resource');
  }
  if (op.u32(8) !== 0) {
    throw new OsError(Errno.EOPNOTSUPP, 'acquire resource: use foreignmemory');
  }
  op.set32(8, machine.call('resourceSize', args).frames);
  return 0;
}

export function hvmOp(machine: Machine, buffers: Buffers, cmd: number, address: bigint): number {
  const op = Struct.at(buffers, address, 16);
  const args = { domid: op.u16(0), param: op.u32(4) };
  switch (cmd) {
    case 0:
      machine.call('hvmParamSet', { ...args, value: op.u64(8) });
      return 0;
    case 1:
      op.set64(8, machine.call('hvmParamGet', args).value);
      return 0;
    default:
      throw new OsError(Errno.ENOSYS, `HVM operation ${cmd}`);
  }
}
