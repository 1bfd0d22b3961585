// What real Xen is told by structures alone, told to the simulated machine, which reads the same structures: domains made, listed and ended.
import type { CreateDomain } from '../../osdep/ctrl.ts';
import { steppedHost } from '../../osdep/sim/local.ts';
import { XenCtrl } from '../../osdep/xen/ctrl.ts';
import { XenManage } from '../../osdep/xen/manage.ts';
import { osdepConformance, simulated, type TestGuest } from '../conformance/osdep.ts';

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
    const control = domain(0);
    return {
      control,
      newDomain: async (options: CreateDomain = {}) => {
        const ctrl = control.platform.openCtrl();
        const domid = ctrl.createDomain(options);
        ctrl.unpause(domid);
        ctrl.close();
        return domain(domid);
      },
      kill: async (domid) => host.kill(domid),
      until: async (condition) => {
        while (!condition()) {
          if (!host.scheduler.step()) {
            throw new Error('idle before the condition held');
          }
        }
      },
      settle: async () => {
        while (host.scheduler.step()) {}
      },
      stop: async () => {},
    };
  },
  { ...simulated, scatteredViews: false, descriptors: false },
);
