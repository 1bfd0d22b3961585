/** event_channel_op: cmd, pointer (xen/include/public/event_channel.h). */
import type { EvtchnStatus } from '../../ctrl.ts';
import { Domid } from '../../domid.ts';
import { Errno, OsError } from '../../errno.ts';
import type { Machine } from '../machine.ts';
import { type Buffers, Struct } from './guestmemory.ts';

const STATES: Record<EvtchnStatus['state'], number> = {
  closed: 0,
  unbound: 1,
  interdomain: 2,
  pirq: 3,
  virq: 4,
  ipi: 5,
};

export function evtchnOp(machine: Machine, buffers: Buffers, cmd: number, address: bigint): number {
  const arg = (size: number) => Struct.at(buffers, address, size);
  switch (cmd) {
    case 0: {
      const op = arg(12);
      const args = { domid: op.u16(0), port: op.u32(4) };
      op.set32(8, machine.call('evtchnInterdomain', args).port);
      return 0;
    }
    case 1: {
      const op = arg(12);
      op.set32(8, machine.call('evtchnVirq', { virq: op.u32(0), vcpu: op.u32(4) }).port);
      return 0;
    }
    case 3:
      machine.call('evtchnShut', { port: arg(4).u32(0) });
      return 0;
    case 4:
      machine.call('evtchnSend', { port: arg(4).u32(0) });
      return 0;
    case 5:
      writeStatus(machine, arg(24));
      return 0;
    case 6: {
      const op = arg(8);
      const args = { domid: op.u16(0), remoteDomid: op.u16(2) };
      op.set32(4, machine.call('evtchnAllocUnbound', args).port);
      return 0;
    }
    case 8:
    case 9:
      // A simulated domain has one vCPU for events, and masks in its event channel files.
      if (machine.call('evtchnStatus', { domid: Domid.SELF, port: arg(4).u32(0) }).state === 'closed') {
        throw new OsError(Errno.EINVAL, 'event channel operation');
      }
      return 0;
    case 10:
      machine.call('evtchnReset', { domid: arg(2).u16(0) });
      return 0;
    default:
      throw new OsError(Errno.ENOSYS, `event channel operation ${cmd}`);
  }
}

function writeStatus(machine: Machine, op: Struct): void {
  const status = machine.call('evtchnStatus', { domid: op.u16(0), port: op.u32(4) });
  op.set32(8, STATES[status.state]);
  op.set32(12, status.vcpu);
  op.clear(16, 8);
  if (status.virq !== undefined) {
    op.set32(16, status.virq);
  } else if (status.remoteDomid !== undefined) {
    op.set16(16, status.remoteDomid);
    op.set32(20, status.remotePort ?? 0);
  }
}
