/** xen_version and sched_op (xen/include/public/version.h, sched.h). */
import { Domid } from '../../domid.ts';
import { Errno, OsError } from '../../errno.ts';
import type { Machine } from '../machine.ts';
import { type Buffers, Struct } from './guestmemory.ts';

const PAGE_SIZE = 4096;
/** Translated physmap, callback vector. */
const FEATURES = (1 << 2) | (1 << 8);

export function xenVersion(machine: Machine, buffers: Buffers, cmd: number, address: bigint): number {
  const version = machine.call('version', {});
  const text = (size: number, value: string) => {
    const out = Struct.at(buffers, address, size).bytes;
    out.fill(0);
    out.set(new TextEncoder().encode(value).subarray(0, size - 1));
    return 0;
  };
  switch (cmd) {
    case 0:
      return (version.major << 16) | version.minor;
    case 1:
      return text(16, version.extra);
    case 3:
      return text(1024, version.capabilities);
    case 4:
      return text(64, version.changeset);
    case 6: {
      const op = Struct.at(buffers, address, 8);
      op.set32(4, op.u32(0) === 0 ? FEATURES : 0);
      return 0;
    }
    case 7:
      return PAGE_SIZE;
    case 9:
      return text(1024, version.commandline);
    default:
      throw new OsError(Errno.ENOSYS, `version ${cmd}`);
  }
}

export function schedOp(machine: Machine, buffers: Buffers, cmd: number, address: bigint): number {
  switch (cmd) {
    case 0:
    case 1:
      return 0;
    case 2: {
      const reason = Struct.at(buffers, address, 4).u32(0);
      machine.call('shutdownDomain', { domid: Domid.SELF, reason });
      return 0;
    }
    case 4: {
      const op = Struct.at(buffers, address, 8);
      machine.call('shutdownDomain', { domid: op.u16(0), reason: op.u32(4) });
      return 0;
    }
    default:
      throw new OsError(Errno.ENOSYS, `scheduler operation ${cmd}`);
  }
}
