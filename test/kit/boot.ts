/**
 * A domain as a toolstack leaves it for its kernel: memory, a store page with its port, a home in the store, introduced, and running. Knows
 * nothing of what runs in it.
 */
import { type Ctrl, HvmParam } from '../../osdep/ctrl.ts';
import type { Nodes } from './nodes.ts';

const STORE_GFN = 1;
const GUEST_KB = 16 << 10;

/** Its domid. */
export function bootDomain(ctrl: Ctrl, nodes: Nodes): number {
  const domid = ctrl.createDomain({});
  ctrl.setMaxMem(domid, GUEST_KB);
  const port = ctrl.evtchnAllocUnbound(domid, 0);
  ctrl.populatePhysmap(domid, [STORE_GFN]);
  ctrl.gnttabSeed(domid, { xenstoreGfn: STORE_GFN, xenstoreDomid: 0 });
  ctrl.hvmParamSet(domid, HvmParam.STORE_PFN, STORE_GFN);
  ctrl.hvmParamSet(domid, HvmParam.STORE_EVTCHN, port);
  ctrl.unpause(domid);
  const home = `/local/domain/${domid}`;
  for (const path of [home, `${home}/device`, `${home}/backend`, `${home}/error`]) {
    nodes.mkdir(path);
    nodes.setPerms(path, [`n${domid}`]);
  }
  nodes.introduce(domid, STORE_GFN, port);
  return domid;
}
