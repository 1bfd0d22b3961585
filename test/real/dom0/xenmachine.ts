/**
 * Real Xen as the conformance suite's machine: this dom0 in control, and alone. What a test leaves behind is put away after it: its handles,
 * and the domains that it made.
 */
import { availableParallelism } from 'node:os';
import type { Evtchn } from '../../../osdep/evtchn.ts';
import type { Platform } from '../../../osdep/platform.ts';
import { xenPlatform } from '../../../osdep/xen/platform.ts';
import type { TestMachine } from '../../conformance/osdep.ts';

const PATIENCE_MS = 10_000;

export function xenMachine(): TestMachine {
  const own = xenPlatform();
  const ctrl = own.openCtrl();
  const existing = (): number[] => ctrl.getDomainInfoList(0, 1000).map(({ domid }) => domid);
  const before = new Set(existing());
  const opened: { close(): void }[] = [];
  const control = { domid: 0, platform: remembering(xenPlatform(), opened) };
  const echo = own.openEvtchn();
  return {
    control,
    newDomain: async () => {
      throw new Error('nobody can be put into another domain');
    },
    kill: async (domid) => ctrl.destroyDomain(domid),
    until,
    settle: () => settled(echo),
    stop: async () => {
      for (const handle of opened) {
        handle.close();
      }
      control.platform.close();
      for (const domid of existing().filter((each) => !before.has(each))) {
        if (ctrl.getDomainInfo(domid)?.dying === false) {
          ctrl.destroyDomain(domid);
        }
      }
      echo.close();
      ctrl.close();
      own.close();
    },
  };
}

/** The platform, and every handle that it opened. */
function remembering(platform: Platform, opened: { close(): void }[]): Platform {
  return new Proxy(platform, {
    get: (target, name: keyof Platform) => {
      const value = target[name];
      if (typeof value !== 'function' || !name.startsWith('open')) {
        return value;
      }
      return (options?: object) => {
        const handle = (value as (options?: object) => { close(): void }).call(target, options);
        opened.push(handle);
        return handle;
      };
    },
  });
}

async function until(condition: () => boolean): Promise<void> {
  for (const begun = performance.now(); !condition(); await turn()) {
    if (performance.now() - begun > PATIENCE_MS) {
      throw new Error('it never came');
    }
  }
}

/** Events to oneself arrive after those that were sent before, on the same vCPU: Linux deals ports out to all of them in turn. */
async function settled(echo: Evtchn): Promise<void> {
  const ports = Array.from({ length: 2 * availableParallelism() }, () => {
    const near = echo.bindUnboundPort(0);
    // Binding rings the port that was bound.
    const far = echo.bindInterdomain(0, near);
    echo.notify(far);
    return [near, far];
  }).flat();
  const awaited = new Set(ports);
  await until(() => {
    for (let port = echo.pending(); port !== undefined; port = echo.pending()) {
      awaited.delete(port);
    }
    return awaited.size === 0;
  });
  for (const port of ports) {
    echo.unbind(port);
  }
  await turn();
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
