/** The machine within one process, as the conformance suite takes one. Knows neither how its turns are taken nor what its domains are opened as. */
import type { CreateDomain } from '../../osdep/ctrl.ts';
import type { LocalHost } from '../../osdep/sim/local.ts';
import type { TestGuest, TestMachine } from '../conformance/osdep.ts';

export interface LocalMachine {
  readonly host: LocalHost;
  /** Takes one; `false`: nothing is left to do. */
  readonly turn: () => boolean | Promise<boolean>;
  readonly domain: (domid: number) => TestGuest;
}

export function localMachine({ host, turn, domain }: LocalMachine): TestMachine {
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
