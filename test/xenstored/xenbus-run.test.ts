/**
 * Handshakes run between two ends that map one page and exchange a byte: attached and detached as libxl does it, closed and opened again by the guest, failing,
 * and beside a guest that writes whatever it likes.
 */
import { describe, expect, it } from 'vitest';
import { type Device, type SimHost, simHost } from '../kit/index.ts';
import { ToyBackend, ToyGuest } from './xenbus-run-toy.ts';

interface Place {
  readonly host: SimHost;
  readonly backend: ToyBackend;
  readonly guest: ToyGuest;
}

/** A test on a host with a backend and a guest. */
function played(name: string, play: (place: Place) => Promise<void>): void {
  it(name, () =>
    simHost({ seed: 1 }, async (host) => {
      const backend = await ToyBackend.serve(host);
      await play({ host, backend, guest: await ToyGuest.boot(host) });
    }),
  );
}

/** Both of a device's ends have let go of it, and closed it. */
function forgotten({ backend, guest }: Place): readonly number[] {
  return [backend.mapped.size, backend.links.size, guest.toys.size];
}

describe('a toolstack, a backend and a frontend', () => {
  played('connect, exchange, and part as libxl wants', async (place) => {
    const { host, guest } = place;
    const device = await guest.attached();
    await guest.exchange(device);
    const back = (key: string): string | undefined => host.read(`${device.back}/${key}`);
    expect([back('feature-toy'), back('size'), back('hotplug-status')]).toEqual(['1', '1', 'connected']);
    const toy = guest.front(device);
    await host.detach(device);
    await host.settle();
    expect([...forgotten(place), toy.released]).toEqual([0, 0, 0, 1]);
    expect(host.leftovers()).toEqual([]);
    // The same name once more.
    const again = host.attach({ kind: 'toy', guest: guest.guest, devid: device.name.devid });
    await host.connected(again);
    await guest.exchange(again);
    expect(host.timeline()).not.toContain('says:');
  });

  played('the guest closes the device and opens it again', async ({ host, backend, guest }) => {
    const device = await guest.attached();
    guest.front(device).link.close();
    await host.until(() => device.states.back === 6 && device.states.front === 6);
    expect(backend.mapped.size).toBe(0);
    guest.front(device).link.open();
    await host.connected(device);
    await guest.exchange(device);
    expect(backend.connected.map((line) => line.split(' ')[1])).toEqual(['fresh', 'fresh']);
  });

  played('wait for the hotplug script that the toolstack has ordered', async ({ host, guest }) => {
    const device = guest.attach({ backend: { script: '/etc/xen/scripts/toy' } });
    await host.settle();
    expect(device.states).toEqual({ back: 2, front: 3 });
    host.write(`${device.back}/hotplug-status`, 'connected');
    await host.connected(device);
    await guest.exchange(device);
  });

  played('a device announces its new size to a connected frontend, and its state stays', async (place) => {
    const { host, backend, guest } = place;
    const device = await guest.attached();
    await host.done(backend.links.get(device.back)!.announce({ size: '2' }));
    await host.until(() => guest.front(device).refreshed === 1);
    expect(host.read(`${device.back}/size`)).toBe('2');
    expect(device.states.back).toBe(4);
  });
});

describe('what goes wrong', () => {
  played('a device that cannot be opened has its error node, and its neighbour is served', async (place) => {
    const { host, backend, guest } = place;
    const bad = guest.attach();
    backend.refuse.add(bad.back);
    await host.until(() => bad.errors.back === 'there is no such toy');
    await guest.exchange(await guest.attached());
    await host.detach(bad);
  });

  played('devices that never get ready keep nobody waiting', async ({ backend, guest }) => {
    const bad = Array.from({ length: 20 }, () => guest.attach());
    for (const { back } of bad) backend.hang.add(back);
    await guest.exchange(await guest.attached());
    expect(bad.map(({ states }) => states.back)).toEqual(bad.map(() => 1));
  });

  played('a ring that is broken is let go, told, and the guest may begin again', async (place) => {
    const { host, backend, guest } = place;
    const device = await guest.attached();
    const toy = guest.front(device);
    backend.links.get(device.back)!.broken('nobody rings like that');
    await host.until(() => device.errors.back === 'nobody rings like that' && toy.released === 1);
    expect(backend.mapped.size).toBe(0);
    toy.link.open();
    await host.connected(device);
    await guest.exchange(device);
  });

  played(
    'a guest that died while nobody served it, in a store that keeps its nodes, is not waited for',
    async ({ host, backend, guest }) => {
      const device = await guest.attached();
      host.kill(backend.actor);
      host.kill(guest.guest);
      await host.until(() => host.read(device.front) === undefined);
      host.write(`${device.front}/state`, '4');
      const second = await ToyBackend.serve(host);
      await host.detach(device);
      await host.settle();
      expect([second.mapped.size, second.links.size]).toEqual([0, 0]);
      expect(host.leftovers()).toEqual([]);
    },
  );

  played(
    'keys that make no sense, and grants that are none, cost one line and their device',
    async (place) => {
      const { host, backend, guest } = place;
      await guest.forget();
      const evil = async (ring: string, port: string): Promise<Device> => {
        const device = guest.attach();
        await host.until(() => device.states.back === 2);
        const { store } = guest.guest;
        await store.write(`${device.front}/ring-ref`, ring);
        await store.write(`${device.front}/event-channel`, port);
        await store.write(`${device.front}/state`, '3');
        await host.until(() => device.states.back === 5);
        return device;
      };
      const said = async (ring: string, port: string): Promise<string | undefined> =>
        (await evil(ring, port)).errors.back;
      expect(await said('-1', '7')).toBe('ring-ref: "-1" is not a number from 0 to 4294967295');
      expect(await said('4000', '7')).toMatch(/^[ -~]*EINVAL[ -~]*$/);
      expect(backend.mapped.size).toBe(0);
      await guest.drive();
      await guest.exchange(await guest.attached());
    },
  );

  played('a directory removed by force: the rings are let go', async (place) => {
    const { host, guest } = place;
    const device = await guest.attached();
    host.remove(device);
    await host.settle();
    expect(forgotten(place)).toEqual([0, 0, 0]);
    expect(host.leftovers()).toEqual([]);
  });

  played('a guest that writes anything into its nodes, for ever, starves nobody', async (place) => {
    const { host, backend, guest: evil } = place;
    const bad = evil.attach();
    await evil.forget();
    const { store } = evil.guest;
    let writes = 0;
    let going = true;
    const storm = (async () => {
      for (; going; writes++) {
        await store.write(`${bad.front}/state`, `${writes % 10}`);
        await store.write(`${bad.front}/ring-ref`, writes % 3 === 0 ? 'x' : `${writes}`);
        await store.write(`${bad.front}/state/${writes % 50}`, '');
      }
    })();
    const honest = await ToyGuest.boot(host);
    for (let count = 0; count < 5; count++) await honest.exchange(await honest.attached());
    going = false;
    await host.done(storm);
    expect(writes).toBeGreaterThan(5);
    // What the storm has left behind can be detached; its own frontend does not answer any more, so it is removed.
    host.remove(bad);
    await host.settle();
    expect([backend.links.size, backend.mapped.size]).toEqual([5, 5]);
  });

  played('the work for one device does not grow with the others', async ({ host, backend, guest }) => {
    const cost = async (): Promise<number> => {
      const before = host.steps(backend.actor);
      const device = await guest.attached();
      await host.detach(device);
      await host.settle();
      return host.steps(backend.actor) - before;
    };
    const alone = await cost();
    for (let count = 0; count < 60; count++) await guest.attached();
    // Watches that merge or not make the difference.
    expect(await cost()).toBeLessThan(alone + 10);
  });
});
