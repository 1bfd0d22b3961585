/**
 * A guest on a simulated machine, as a toolstack leaves it for its kernel: a store page, a port, a home in the store, introduced. What the guest
 * does with it is the client's part.
 */
import { HvmParam } from '../../osdep/ctrl.ts';
import type { SimPlatform } from '../../osdep/sim/platform.ts';
import type { Client } from '../../xenstored/client/index.ts';
import type { SimHost } from '../conformance/simhost.ts';

const STORE_GFN = 1;

/** The guest's own platform. */
export async function bootGuest(host: SimHost, dom0: Client): Promise<SimPlatform> {
  const ctrl = host.machine.platformFor(0).openCtrl();
  const domid = ctrl.createDomain({});
  ctrl.setMaxMem(domid, 64);
  const port = ctrl.evtchnAllocUnbound(domid, 0);
  ctrl.populatePhysmap(domid, [STORE_GFN]);
  ctrl.gnttabSeed(domid, { xenstoreGfn: STORE_GFN, xenstoreDomid: 0 });
  ctrl.hvmParamSet(domid, HvmParam.STORE_PFN, STORE_GFN);
  ctrl.hvmParamSet(domid, HvmParam.STORE_EVTCHN, port);
  ctrl.unpause(domid);
  ctrl.close();
  const home = await dom0.getDomainPath(domid);
  await dom0.transaction(async (tx) => {
    await tx.mkdir(home);
    await tx.setPerms(home, [`n${domid}`]);
  });
  await dom0.introduce(domid, STORE_GFN, port);
  return host.machine.platformFor(domid);
}
