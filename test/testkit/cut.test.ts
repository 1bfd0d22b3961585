/**
 * The connection to the store of either end of a device is lost before or after every step that it takes: the device connects all the same, goes when it
 * is to go, and nothing is left behind.
 */
import { expect, it } from 'vitest';
import {
  type ActorOptions,
  blkback,
  blkfront,
  type Guest,
  killEachStep,
  MemoryDisk,
  netback,
  netfront,
  type SimHost,
  sockfront,
  xensock,
} from '../kit/index.ts';

const LIMIT_MS = 180_000;

type Cut = Pick<ActorOptions, 'cutAt' | 'when'>;

interface Ends {
  readonly backend: (host: SimHost, options: Cut) => ReturnType<SimHost['backend']>;
  readonly frontend: (host: SimHost, guest: Guest, options: Cut) => ReturnType<SimHost['frontend']>;
}

const kinds: Readonly<Record<string, Ends>> = {
  vbd: {
    backend: (host, options) => host.backend(blkback(new MemoryDisk(64)), options),
    frontend: (host, guest, options) =>
      host.frontend(
        guest,
        ({ platform }) => blkfront({ platform, onDisk: () => {}, dataPages: 16, requests: 8 }),
        options,
      ),
  },
  vif: {
    backend: (host, options) => host.backend(netback(), options),
    frontend: (host, guest, options) =>
      host.frontend(guest, ({ platform }) => netfront({ platform, onInterface: () => () => {} }), options),
  },
  pvcalls: {
    backend: (host, options) => host.backend(xensock(), options),
    frontend: (host, guest, options) =>
      host.frontend(guest, ({ platform }) => sockfront({ platform, onDriver: () => {} }), options),
  },
};

const ways = Object.keys(kinds).flatMap((kind) =>
  (['backend', 'frontend'] as const).flatMap((end) =>
    (['before', 'after'] as const).map((when) => [kind, end, when] as const),
  ),
);

it.each(ways)(
  '%s: its %s loses its connection %s any step',
  async (kind, end, when) => {
    const { backend, frontend } = kinds[kind]!;
    const steps = await killEachStep({ seed: 4 }, async (host, cutAt) => {
      const guest = await host.guest();
      const back = await backend(host, end === 'backend' ? { cutAt, when } : {});
      const front = await frontend(host, guest, end === 'frontend' ? { cutAt, when } : {});
      const device = host.attach({ kind, guest });
      await host.connected(device);
      await host.settle();
      expect(device.states).toEqual({ back: 4, front: 4 });
      await host.detach(device);
      await host.settle();
      expect(host.leftovers()).toEqual([]);
      return { dead: host.steps(end === 'backend' ? back : front) > cutAt };
    });
    expect(steps).toBeGreaterThan(20);
  },
  LIMIT_MS,
);
