/**
 * A socket device's handshake while an end of it dies at every step that it takes: whoever is left, and whoever comes after, gets to an end of the device's life
 * that leaves nothing behind.
 */
import { expect, it } from 'vitest';
import { type Guest, killEachStep, type SimHost, sockfront, xensock } from '../kit/index.ts';

const LIMIT_MS = 180_000;

/** A guest's driver, whose sockets nobody uses. */
function driver(host: SimHost, guest: Guest, options: Parameters<SimHost['frontend']>[2] = {}) {
  return host.frontend(guest, ({ platform }) => sockfront({ platform, onDriver: () => {} }), options);
}

it(
  'xensock dies at any step: the next one goes on, and a guest that was connected stays it',
  async () => {
    const steps = await killEachStep({ seed: 1 }, async (host, killAt) => {
      const guest = await host.guest();
      const first = await host.backend(xensock(), { killAt });
      let next: Promise<unknown> | undefined;
      void first.ended.then(() => {
        next = host.backend(xensock());
      });
      await driver(host, guest);
      const device = host.attach({ kind: 'pvcalls', guest });
      await host.connected(device);
      const alive = !first.dead;
      await host.settle();
      // Whoever was connected does not notice that its backend is another one.
      if (alive) expect(host.timeline()).not.toMatch(/state = "[56]"/);
      await host.detach(device);
      await host.settle();
      await next;
      expect(host.leftovers()).toEqual([]);
      return first;
    });
    expect(steps).toBeGreaterThan(20);
  },
  LIMIT_MS,
);

it(
  'the frontend dies at any step: another driver gets the device',
  async () => {
    const steps = await killEachStep({ seed: 2 }, async (host, killAt) => {
      const guest = await host.guest();
      await host.backend(xensock());
      const first = await driver(host, guest, { killAt });
      let next: Promise<unknown> | undefined;
      void first.ended.then(() => {
        next = driver(host, guest);
      });
      const device = host.attach({ kind: 'pvcalls', guest });
      await host.connected(device);
      await host.detach(device);
      await host.settle();
      await next;
      expect(host.leftovers()).toEqual([]);
      return first;
    });
    expect(steps).toBeGreaterThan(15);
  },
  LIMIT_MS,
);

it(
  'a guest dies at any step of its driver: xensock lets go of it',
  async () => {
    const steps = await killEachStep({ seed: 3 }, async (host, killAt) => {
      const guest = await host.guest();
      await host.backend(xensock());
      const front = await driver(host, guest, { killAt, killed: 'with its domain' });
      const device = host.attach({ kind: 'pvcalls', guest });
      await host.until(() => front.dead || device.states.back === 4);
      await host.settle();
      const { dead } = front;
      await host.destroy(guest);
      expect(host.leftovers()).toEqual([]);
      return { dead };
    });
    expect(steps).toBeGreaterThan(15);
  },
  LIMIT_MS,
);
