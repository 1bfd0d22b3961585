/** grant_table_op: cmd, pointer to an array, count (xen/include/public/grant_table.h). */
import { Domid } from '../../domid.ts';
import { Errno, OsError } from '../../errno.ts';
import { GrantStatus } from '../../gnttab.ts';
import type { Machine } from '../machine.ts';
import type { CopyEnd, CopyOp } from '../world/requests.ts';
import { type Buffers, Struct } from './guestmemory.ts';

const MAX_OPS = 65_536;
const SOURCE_IS_GRANT = 1;
const DEST_IS_GRANT = 2;

export function grantTableOp(
  machine: Machine,
  buffers: Buffers,
  cmd: number,
  address: bigint,
  count: number,
): number {
  if (count > MAX_OPS) {
    throw new OsError(Errno.EINVAL, 'grant table operation');
  }
  const ops = (size: number): Struct[] => {
    const all = Struct.at(buffers, address, size * count);
    return Array.from({ length: count }, (_, index) => all.sub(index * size, size));
  };
  switch (cmd) {
    case 0:
      map(machine, ops(32));
      return 0;
    case 1:
      unmap(machine, ops(24));
      return 0;
    case 5:
      copy(machine, ops(40));
      return 0;
    case 6:
      for (const op of ops(16)) {
        const size = machine.call('gnttabQuerySize', { domid: op.u16(0) });
        op.set32(4, size.frames);
        op.set32(8, size.maxFrames);
        op.set16(12, size.status & 0xffff);
      }
      return 0;
    case 8:
      for (const op of ops(4)) {
        if (op.u32(0) !== 1) {
          throw new OsError(Errno.EINVAL, 'grant table version');
        }
      }
      return 0;
    case 10:
      for (const op of ops(8)) {
        op.set32(4, machine.call('gnttabGetVersion', { domid: op.u16(0) }).version);
      }
      return 0;
    case 4:
      throw new OsError(Errno.EOPNOTSUPP, 'grant transfer');
    default:
      throw new OsError(Errno.ENOSYS, `grant table operation ${cmd}`);
  }
}

function map(machine: Machine, ops: readonly Struct[]): void {
  const asked = ops.map((op) => ({ domid: op.u16(16), ref: op.u32(12), flags: op.u32(8) }));
  const { results } = machine.call('gnttabMap', { ops: asked });
  for (const [index, result] of results.entries()) {
    const op = ops[index];
    op?.set16(18, result.status & 0xffff);
    if (result.status === GrantStatus.OKAY) {
      op?.set32(20, result.handle);
      op?.set64(24, result.frame * 4096);
    }
  }
}

function unmap(machine: Machine, ops: readonly Struct[]): void {
  const { statuses } = machine.call('gnttabUnmap', { handles: ops.map((op) => op.u32(16)) });
  for (const [index, status] of statuses.entries()) {
    ops[index]?.set16(20, status & 0xffff);
  }
}

function copy(machine: Machine, ops: readonly Struct[]): void {
  for (const op of ops) {
    const flags = op.u16(34);
    const source = side(op, 0, (flags & SOURCE_IS_GRANT) !== 0);
    const dest = side(op, 16, (flags & DEST_IS_GRANT) !== 0);
    let status: number = GrantStatus.PERMISSION_DENIED;
    if (source !== undefined && dest !== undefined) {
      const asked: CopyOp = { source, dest, length: op.u16(32) };
      status = machine.call('gnttabCopy', { ops: [asked] }).results[0]?.status ?? GrantStatus.GENERAL_ERROR;
    }
    op.set16(36, status & 0xffff);
  }
}

/** A frame is the caller's own or nobody's. */
function side(op: Struct, at: number, isGrant: boolean): CopyEnd | undefined {
  const domid = op.u16(at + 8);
  const offset = op.u16(at + 10);
  if (isGrant) {
    return { domid, ref: op.u32(at), offset };
  }
  return domid === Domid.SELF ? { gfn: op.u64(at), offset } : undefined;
}
