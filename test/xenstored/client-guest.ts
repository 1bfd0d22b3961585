/**
 * A guest on a simulated machine, as a toolstack leaves it for its kernel: a store page, a port, a home in the store, introduced; and devices' nodes. What the
 * guest does with it is the client's part.
 */
import { HvmParam } from '../../osdep/ctrl.ts';
import type { SimPlatform } from '../../osdep/sim/platform.ts';
import { type Client, connect, type PermText } from '../../xenstored/client/index.ts';
import { type DeviceSpec, deviceNodes } from '../../xenstored/xenbus/attach.ts';
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

export interface BareGuest {
  readonly domid: number;
  readonly platform: SimPlatform;
  readonly store: Client;
}

/** The same with directories for devices, and a connection of the guest's own. */
export async function bootBareGuest(host: SimHost, dom0: Client): Promise<BareGuest> {
  const platform = await bootGuest(host, dom0);
  const { domid } = platform;
  const home = await dom0.getDomainPath(domid);
  for (const name of ['device', 'error']) {
    await dom0.mkdir(`${home}/${name}`);
    await dom0.setPerms(`${home}/${name}`, [`n${domid}`]);
  }
  return { domid, platform, store: await connect({ platform }) };
}

/** Writes a device's nodes, as libxl does. */
export async function writeDevice(dom0: Client, spec: DeviceSpec): Promise<void> {
  const nodes = deviceNodes(spec);
  await dom0.transaction(async (tx) => {
    for (const { path, value, perms } of nodes) {
      await tx.write(path, value);
      await tx.setPerms(path, perms as readonly PermText[]);
    }
  });
}
