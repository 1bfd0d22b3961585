/** dm_op: a structure in the first buffer, data in the second (xen/include/public/hvm/dm_op.h). */
import type { BufferedIo, IoRange, PciAddress } from '../devicemodel.ts';
import { Errno, OsError } from '../errno.ts';
import { Struct } from './hypercall/guestmemory.ts';
import type { Machine } from './machine.ts';

const OP_SIZE = 32;
const BUFFERED: readonly BufferedIo[] = ['off', 'legacy', 'atomic'];
const RUN_SIZE = 16;

/** `op` is answered in place. */
export function dmOp(machine: Machine, domid: number, buffers: readonly Uint8Array[]): void {
  const [first, data] = buffers;
  if (first === undefined || first.length < 8) {
    throw new OsError(Errno.EFAULT, 'device model operation');
  }
  // A structure may be passed short; what is missing is zero.
  const whole = new Struct(new Uint8Array(OP_SIZE));
  whole.bytes.set(first.subarray(0, OP_SIZE));
  if (whole.u32(4) !== 0) {
    throw new OsError(Errno.EINVAL, 'device model operation');
  }
  perform(machine, domid, whole.u32(0), whole.sub(8, OP_SIZE - 8), data ?? new Uint8Array(0));
  first.set(whole.bytes.subarray(0, Math.min(first.length, OP_SIZE)));
}

function perform(machine: Machine, domid: number, op: number, arg: Struct, data: Uint8Array): void {
  const id = arg.u16(0);
  switch (op) {
    case 1: {
      const buffered = BUFFERED[arg.u8(0)];
      if (buffered === undefined) {
        throw new OsError(Errno.EINVAL, 'create ioreq server');
      }
      arg.set16(4, machine.call('dmCreateServer', { domid, buffered }).id);
      return;
    }
    case 2:
      arg.set32(4, machine.call('dmServerInfo', { domid, id }).bufioreqPort);
      return;
    case 3:
    case 4:
      changeRange(machine, domid, op === 3 ? 'map' : 'unmap', arg);
      return;
    case 5:
      machine.call('dmSetServerState', { domid, id, enabled: arg.u8(2) !== 0 });
      return;
    case 6:
      machine.call('dmDestroyServer', { domid, id });
      return;
    case 7: {
      const args = { domid, firstPfn: arg.u64(8), count: arg.u32(0) };
      const { bitmap } = machine.call('dmTrackDirty', args);
      if (data.length < bitmap.length) {
        throw new OsError(Errno.EFAULT, 'track dirty pages');
      }
      data.set(bitmap);
      return;
    }
    case 8: {
      const line = `pci ${arg.u16(0)}:${arg.u8(2)}:${arg.u8(3)} int ${arg.u8(4)}`;
      machine.call('dmInterrupt', { domid, line, level: arg.u8(5) });
      return;
    }
    case 9:
      machine.call('dmInterrupt', { domid, line: `isa ${arg.u8(0)}`, level: arg.u8(1) });
      return;
    case 10:
      machine.call('dmInterrupt', { domid, line: `link ${arg.u8(0)}`, level: arg.u8(1) });
      return;
    case 11: {
      const list = new Struct(data);
      const count = Math.min(arg.u32(0), Math.floor(data.length / RUN_SIZE));
      const runs = Array.from({ length: count }, (_, index) => ({
        count: list.u32(index * RUN_SIZE),
        firstPfn: list.u64(index * RUN_SIZE + 8),
      }));
      machine.call('dmModified', { domid, runs });
      return;
    }
    case 12: {
      const args = { domid, type: arg.u16(4), firstPfn: arg.u64(8), count: arg.u32(0) };
      machine.call('dmSetMemType', args);
      return;
    }
    case 13:
      machine.call('dmInjectEvent', {
        domid,
        event: {
          vcpu: arg.u32(0),
          vector: arg.u8(4),
          type: arg.u8(5),
          insnLength: arg.u8(6),
          errorCode: arg.u32(8),
          extra: arg.u64(16),
        },
      });
      return;
    case 14:
      machine.call('dmInterrupt', { domid, line: `msi ${arg.u64(8).toString(16)}`, level: arg.u32(0) });
      return;
    case 15:
      machine.call('dmMapMemType', { domid, id, type: arg.u16(2), flags: arg.u32(4) });
      return;
    case 16:
      machine.call('shutdownDomain', { domid, reason: arg.u32(0) });
      return;
    case 17: {
      const args = { domid, count: arg.u32(0), sourceGfn: arg.u64(8), destGfn: arg.u64(16) };
      machine.call('dmRelocate', args);
      return;
    }
    case 18:
      machine.call('dmPinCache', { domid, start: arg.u64(0), end: arg.u64(8), type: arg.u32(16) });
      return;
    case 20:
      arg.set32(0, machine.call('dmVcpus', { domid }).count);
      return;
    default:
      throw new OsError(Errno.EOPNOTSUPP, `device model operation ${op}`);
  }
}

function changeRange(machine: Machine, domid: number, change: 'map' | 'unmap', arg: Struct): void {
  const id = arg.u16(0);
  const start = arg.u64(8);
  const end = arg.u64(16);
  const type = arg.u32(4);
  if (type === 2) {
    const address: PciAddress = {
      segment: Math.floor(start / 65536),
      bus: (start >> 8) & 0xff,
      device: (start >> 3) & 0x1f,
      fn: start & 7,
    };
    machine.call(change === 'map' ? 'dmMapPci' : 'dmUnmapPci', { domid, id, address });
    return;
  }
  if (type > 2) {
    throw new OsError(Errno.EINVAL, 'range of an ioreq server');
  }
  const range: IoRange = { type: type === 0 ? 'port' : 'memory', start, end };
  machine.call(change === 'map' ? 'dmMapRange' : 'dmUnmapRange', { domid, id, range });
}
