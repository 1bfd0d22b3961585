/** Requests about event channels, and which piece does them. */
import type { EvtchnStatus } from '../../ctrl.ts';
import { Errno } from '../../errno.ts';
import { type Handlers, on, type Parts, withFile } from './calls.ts';
import { done, fail, nothing, type Outcome } from './outcome.ts';
import type { OpName } from './requests.ts';
import type { Domain } from './state.ts';

const MAX_FILES = 1024;
/** Ports are made so many at a time; of one that is not made yet there is no status (xen/common/event_channel.c). */
const BUCKET = 64;

export function evtchnCalls(parts: Parts): Pick<Handlers, Extract<OpName, `evtchn${string}`>> {
  const events = parts.events;
  const files = parts.files;
  const portOf = (bound: Outcome<{ number: number }>) =>
    bound.ok ? done({ port: bound.value.number }) : bound;
  return {
    evtchnOpen: (caller) =>
      caller.files.size < MAX_FILES ? done({ handle: files.open(caller).handle }) : fail(Errno.EMFILE),
    evtchnClose: (caller, { handle }) =>
      withFile(caller, handle, (file) => {
        files.close(caller, file);
        return nothing;
      }),
    evtchnBindUnbound: (caller, { handle, domid }) =>
      withFile(caller, handle, (file) => files.bindUnbound(caller, file, domid)),
    evtchnBindInterdomain: (caller, { handle, domid, port }) =>
      withFile(caller, handle, (file) => files.bindInterdomain(caller, file, domid, port)),
    evtchnBindVirq: (caller, { handle, virq }) =>
      withFile(caller, handle, (file) => files.bindVirq(caller, file, virq)),
    evtchnBind: (caller, { handle, port }) =>
      withFile(caller, handle, (file) => files.bind(caller, file, port)),
    evtchnUnbind: (caller, { handle, port }) =>
      withFile(caller, handle, (file) => files.unbind(caller, file, port)),
    evtchnNotify: (caller, { handle, port }) =>
      withFile(caller, handle, (file) => files.notify(caller, file, port)),
    evtchnUnmask: (caller, { handle, port }) =>
      withFile(caller, handle, (file) => files.unmask(caller, file, port)),
    evtchnRestrict: (caller, { handle, domid }) =>
      withFile(caller, handle, (file) => files.restrict(file, domid)),
    evtchnAllocUnbound: (caller, { domid, remoteDomid }) =>
      on(parts.state, caller, 'self', domid, (owner) => {
        const remote = parts.state.find(caller, remoteDomid)?.domid ?? remoteDomid;
        return portOf(events.allocUnbound(owner, remote));
      }),
    evtchnInterdomain: (caller, { domid, port }) => portOf(events.bindInterdomain(caller, domid, port)),
    evtchnVirq: (caller, { virq, vcpu }) => portOf(events.bindVirq(caller, virq, vcpu)),
    evtchnShut: (caller, { port }) => events.close(caller, port),
    evtchnSend: (caller, { port }) => events.send(caller, port),
    evtchnStatus: (caller, { domid, port }) =>
      on(parts.state, caller, 'self', domid, (owner) => statusOf(owner, port)),
    evtchnReset: (caller, { domid }) =>
      on(parts.state, caller, 'self', domid, (owner) => {
        events.reset(owner, 'guest');
        return nothing;
      }),
  };
}

function statusOf(owner: Domain, number: number): Outcome<EvtchnStatus> {
  const port = owner.ports.get(number);
  if (port === undefined) {
    const made = Math.ceil(owner.portNumbers.fresh / BUCKET) * BUCKET;
    return number > 0 && number < made && number <= owner.maxEvtchnPort
      ? done({ state: 'closed', vcpu: 0 })
      : fail(Errno.EINVAL);
  }
  const { state, vcpu, remoteDomid, remotePort, virq } = port;
  switch (state) {
    case 'unbound':
      return done({ state, vcpu, remoteDomid });
    case 'interdomain':
      return done({ state, vcpu, remoteDomid, remotePort });
    case 'virq':
      return done({ state, vcpu, virq });
  }
}
