/**
 * The stories of a device whose backend, driver or guest dies at a step, for devices of any kind: whoever is left, and whoever comes after, gets to an end of
 * the device's life that leaves nothing behind. Each story answers how many steps it was told for. Knows no data.
 */
import { expect } from 'vitest';
import { type Actor, type ActorOptions, type Guest, killEachStep, type SimHost } from '../kit/index.ts';

export const LIMIT_MS = 180_000;

/** A device's two ends. */
export interface Ends {
  /** As the kit's `attach` has it. */
  readonly kind: string;
  backend(): Parameters<SimHost['backend']>[0];
  driver(host: SimHost, guest: Guest, options?: Omit<ActorOptions, 'in'>): Promise<Actor>;
}

/** The next backend goes on, and a guest that was connected stays it. */
export function backendDies({ kind, backend, driver }: Ends): Promise<number> {
  return killEachStep({ seed: 1 }, async (host, killAt) => {
    const guest = await host.guest();
    const first = await host.backend(backend(), { killAt });
    let next: Promise<unknown> | undefined;
    void first.ended.then(() => {
      next = host.backend(backend());
    });
    await driver(host, guest);
    const device = host.attach({ kind, guest });
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
}

/** Another driver of the same guest gets the device. */
export function driverDies({ kind, backend, driver }: Ends): Promise<number> {
  return killEachStep({ seed: 2 }, async (host, killAt) => {
    const guest = await host.guest();
    await host.backend(backend());
    const first = await driver(host, guest, { killAt });
    let next: Promise<unknown> | undefined;
    void first.ended.then(() => {
      next = driver(host, guest);
    });
    const device = host.attach({ kind, guest });
    await host.connected(device);
    await host.detach(device);
    await host.settle();
    await next;
    expect(host.leftovers()).toEqual([]);
    return first;
  });
}

/** The backend lets go of it. */
export function guestDies({ kind, backend, driver }: Ends): Promise<number> {
  return killEachStep({ seed: 3 }, async (host, killAt) => {
    const guest = await host.guest();
    await host.backend(backend());
    const front = await driver(host, guest, { killAt, killed: 'with its domain' });
    const device = host.attach({ kind, guest });
    await host.until(() => front.dead || device.states.back === 4);
    await host.settle();
    const { dead } = front;
    await host.destroy(guest);
    expect(host.leftovers()).toEqual([]);
    return { dead };
  });
}
