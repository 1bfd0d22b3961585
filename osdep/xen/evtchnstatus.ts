/** What the hypervisor says of a port (struct evtchn_status). Knows bytes alone. (xen/include/public/event_channel.h) */
import type { EvtchnStatus } from '../ctrl.ts';
import { Errno, OsError } from '../errno.ts';

const states = ['closed', 'unbound', 'interdomain', 'pirq', 'virq', 'ipi'] as const;

export function evtchnStatus(view: DataView): EvtchnStatus {
  const state = states[view.getUint32(8, true)];
  if (state === undefined) {
    throw new OsError(Errno.EPROTO, `a port in state ${view.getUint32(8, true)}`);
  }
  const vcpu = view.getUint32(12, true);
  switch (state) {
    case 'unbound':
      return { state, vcpu, remoteDomid: view.getUint16(16, true) };
    case 'interdomain':
      return { state, vcpu, remoteDomid: view.getUint16(16, true), remotePort: view.getUint32(20, true) };
    case 'virq':
      return { state, vcpu, virq: view.getUint32(16, true) };
    default:
      return { state, vcpu };
  }
}
