// The machine within one process keeps every promise of a platform: stepped by a seed, and live.
import type { CreateDomain } from '../../osdep/ctrl.ts';
import { type LocalHost, liveHost, steppedHost } from '../../osdep/sim/local.ts';
import { osdepConformance, simulated, type TestGuest, type TestMachine } from '../conformance/osdep.ts';

const supports = { ...simulated, scatteredViews: false, descriptors: false };

function machineOn(host: LocalHost, turn: () => Promise<boolean>): TestMachine {
  const domain = (domid: number): TestGuest => ({ domid, platform: host.platformFor(domid) });
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
        if (!(await turn())) {
          throw new Error('idle before the condition held');
        }
      }
    },
    settle: async () => {
      while (await turn()) {}
    },
    stop: async () => {},
  };
}

osdepConformance(
  'one process, stepped',
  async () => {
    const host = steppedHost({ seed: 1 });
    return machineOn(host, async () => host.scheduler.step());
  },
  supports,
);

osdepConformance(
  'one process, live',
  async () => {
    const host = liveHost();
    // Whatever is ready runs within one turn of Node's loop; timers need more of them.
    let turns = 0;
    const live = machineOn(host, async () => {
      await new Promise((resolve) => setImmediate(resolve));
      turns += 1;
      return turns % 1000 !== 0;
    });
    const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));
    return {
      ...live,
      until: async (condition: () => boolean) => {
        while (!condition()) {
          await nextTurn();
        }
      },
      settle: async () => {
        await nextTurn();
        await nextTurn();
      },
    };
  },
  supports,
);
