/**
 * A backend in a domain of its own, which may not ask the hypervisor or the store for what a control domain may: it dies at every step that it takes, or all of
 * its domain does.
 */
import { expect, it } from 'vitest';
import { killEachStep, simHost } from '../kit/index.ts';
import { toyBackend, toyDriver } from './toy.ts';

const LIMIT_MS = 180_000;

it(
  'it dies at any step: the next one goes on',
  async () => {
    const steps = await killEachStep({ seed: 5 }, async (host, killAt) => {
      const guest = await host.guest();
      const home = await host.guest({ name: 'driver domain' });
      const first = await host.backend(toyBackend, { in: home, killAt });
      void first.ended.then(() => host.backend(toyBackend, { in: home }));
      await host.frontend(guest, toyDriver);
      const toy = host.attach({ kind: 'toy', guest, in: home });
      await host.connected(toy);
      // Connected it stays while it changes hands.
      await host.until(() => host.grants(guest.domid).at(-1)?.mapped === 'to write');
      await host.detach(toy);
      await host.settle();
      expect(host.leftovers()).toEqual([]);
      return first;
    });
    expect(steps).toBeGreaterThan(10);
  },
  LIMIT_MS,
);

it('its domain crashes: the guest lets go, and gets its device from another one', () =>
  simHost({ seed: 6 }, async (host) => {
    const guest = await host.guest();
    const home = await host.guest({ name: 'driver domain' });
    await host.backend(toyBackend, { in: home });
    await host.frontend(guest, toyDriver);
    const toy = host.attach({ kind: 'toy', guest, in: home });
    await host.connected(toy);
    await host.destroy(home);
    await host.settle();
    expect(host.leftovers()).toEqual([]);
    const other = await host.guest({ name: 'another driver domain' });
    await host.backend(toyBackend, { in: other });
    await host.connected(host.attach({ kind: 'toy', guest, in: other }));
  }));
