// The machine within one process keeps every promise of a platform: stepped by a seed, and live.
import { type LocalHost, liveHost, steppedHost } from '../../osdep/sim/local.ts';
import { osdepConformance, simulated, type TestMachine } from '../conformance/osdep.ts';
import { localMachine } from './localmachine.ts';

const supports = { ...simulated, scatteredViews: false, descriptors: false };

function machineOn(host: LocalHost, turn: () => Promise<boolean>): TestMachine {
  return localMachine({ host, turn, domain: (domid) => ({ domid, platform: host.platformFor(domid) }) });
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
