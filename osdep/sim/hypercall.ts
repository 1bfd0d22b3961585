/**
 * Raw hypercalls on the simulator: numbers and structures as Xen has them, turned into the world's requests. One file
 * a family, in hypercall/. Structures are those of a 64-bit caller, little-endian (xen/include/public/).
 */
import { Hypercall } from '../call.ts';
import { Errno, OsError } from '../errno.ts';
import { dmOp } from './dmop.ts';
import { domctl, sysctl } from './hypercall/domctl.ts';
import { evtchnOp } from './hypercall/evtchn.ts';
import { grantTableOp } from './hypercall/grant.ts';
import { type Buffers, Struct } from './hypercall/guestmemory.ts';
import { hvmOp, memoryOp } from './hypercall/memory.ts';
import { schedOp, xenVersion } from './hypercall/version.ts';
import type { Machine } from './machine.ts';

const MULTICALL_ENTRY = 64;
const MAX_ENTRIES = 4096;
const MAX_DM_BUFFERS = 16;

/** The result, 0 or more; throws OsError for what the hypervisor refuses. */
export function hypercall(machine: Machine, buffers: Buffers, op: number, args: readonly bigint[]): number {
  const [first = 0n, second = 0n, third = 0n] = args;
  const cmd = Number(BigInt.asUintN(32, first));
  switch (op) {
    case Hypercall.MEMORY_OP:
      return memoryOp(machine, buffers, cmd, second);
    case Hypercall.MULTICALL:
      return multicall(machine, buffers, first, Number(BigInt.asUintN(32, second)));
    case Hypercall.XEN_VERSION:
      return xenVersion(machine, buffers, cmd, second);
    case Hypercall.GRANT_TABLE_OP:
      return grantTableOp(machine, buffers, cmd, second, Number(BigInt.asUintN(32, third)));
    case Hypercall.SCHED_OP:
      return schedOp(machine, buffers, cmd, second);
    case Hypercall.EVENT_CHANNEL_OP:
      return evtchnOp(machine, buffers, cmd, second);
    case Hypercall.HVM_OP:
      return hvmOp(machine, buffers, cmd, second);
    case Hypercall.SYSCTL:
      return sysctl(machine, buffers, first);
    case Hypercall.DOMCTL:
      return domctl(machine, buffers, first);
    case Hypercall.ARGO_OP:
      // As a Xen that was booted without it.
      throw new OsError(Errno.EOPNOTSUPP, 'argo');
    case Hypercall.DM_OP:
      return deviceModel(machine, buffers, cmd, Number(BigInt.asUintN(32, second)), third);
    default:
      throw new OsError(Errno.ENOSYS, `hypercall ${op}`);
  }
}

/** Each entry has its own result; a failing one stops none. */
function multicall(machine: Machine, buffers: Buffers, address: bigint, count: number): number {
  if (count > MAX_ENTRIES) {
    throw new OsError(Errno.EINVAL, 'multicall');
  }
  for (let index = 0; index < count; index += 1) {
    const entry = Struct.at(buffers, address + BigInt(index * MULTICALL_ENTRY), MULTICALL_ENTRY);
    const args = [0, 1, 2, 3, 4, 5].map((arg) => entry.address(16 + arg * 8));
    const op = entry.u64(0);
    if (op === Hypercall.MULTICALL) {
      throw new OsError(Errno.EINVAL, 'multicall within a multicall');
    }
    entry.set64(
      8,
      attempt(() => hypercall(machine, buffers, op, args)),
    );
  }
  return 0;
}

function attempt(call: () => number): number {
  try {
    return call();
  } catch (error) {
    if (error instanceof OsError) {
      return -error.errno;
    }
    throw error;
  }
}

function deviceModel(machine: Machine, buffers: Buffers, domid: number, count: number, list: bigint): number {
  if (count > MAX_DM_BUFFERS) {
    throw new OsError(Errno.E2BIG, 'device model operation');
  }
  const array = Struct.at(buffers, list, count * 16);
  const data = Array.from({ length: count }, (_, index) => {
    return Struct.at(buffers, array.address(index * 16), array.u64(index * 16 + 8)).bytes;
  });
  dmOp(machine, domid, data);
  return 0;
}
