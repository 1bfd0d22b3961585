/**
 * Which domain this is, found out by asking the hypervisor: a port for ourselves to bind to says whom it waits for. Neither Linux nor, to a PV
 * domain, the hypervisor tells it straight. (xen/include/public/event_channel.h)
 */
import type { Ctrl } from '../ctrl.ts';
import { Domid } from '../domid.ts';
import { OsError } from '../errno.ts';
import type { Evtchn } from '../evtchn.ts';

export interface Openers {
  openEvtchn(): Evtchn;
  openCtrl(): Ctrl;
}

/** `undefined`: this domain may not ask, or cannot. */
export function ownDomid({ openEvtchn, openCtrl }: Openers): number | undefined {
  const opened: { close(): void }[] = [];
  try {
    const evtchn = openEvtchn();
    opened.push(evtchn);
    const ctrl = openCtrl();
    opened.push(ctrl);
    const port = evtchn.bindUnboundPort(Domid.SELF);
    return ctrl.evtchnStatus(Domid.SELF, port).remoteDomid;
  } catch (error) {
    if (error instanceof OsError) return undefined;
    throw error;
  } finally {
    for (const each of opened) each.close();
  }
}
