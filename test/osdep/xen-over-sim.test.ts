// What real Xen is told by structures alone, told to the simulated machine, which reads the same structures: domains made, listed and ended.
import { steppedHost } from '../../osdep/sim/local.ts';
import { XenCtrl } from '../../osdep/xen/ctrl.ts';
import { XenManage } from '../../osdep/xen/manage.ts';
import { osdepConformance, simulated, type TestGuest } from '../conformance/osdep.ts';
import { localMachine } from './localmachine.ts';

osdepConformance(
  'raw hypercalls of Xen 4.22, simulated',
  async () => {
    const host = steppedHost({ seed: 1 });
    const domain = (domid: number): TestGuest => {
      const platform = host.platformFor(domid);
      return {
        domid,
        platform: {
          ...platform,
          openCtrl: () => new XenCtrl(platform.openCall(), platform.openForeignmemory),
          openManage: () => new XenManage(platform.openCall()),
        },
      };
    };
    return localMachine({ host, turn: () => host.scheduler.step(), domain });
  },
  { ...simulated, scatteredViews: false, descriptors: false },
);
