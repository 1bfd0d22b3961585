/**
 * A socket device while an end of it dies at every step that it takes: whoever is left, and whoever comes after, gets to an end of the device's life
 * that leaves nothing behind; and guests talk to each other again, a server without doing anything for it.
 */
import { expect, it } from 'vitest';
import type { XenSock } from '../../netback/xensock/front/xensock.ts';
import { type Guest, killEachStep, sockfront, xensock } from '../kit/index.ts';
import { backendDies, driverDies, type Ends, guestDies, LIMIT_MS } from './kill-ends.ts';
import { ask, echo, same } from './socktalk.ts';

/** A socket device whose sockets nobody uses. */
const pvcalls: Ends = {
  kind: 'pvcalls',
  backend: () => xensock(),
  driver: (host, guest, options) =>
    host.frontend(guest, ({ platform }) => sockfront({ platform, onDriver: () => {} }), options),
};

it(
  'xensock dies at any step: the next one goes on, and a guest that was connected stays it',
  async () => expect(await backendDies(pvcalls)).toBeGreaterThan(20),
  LIMIT_MS,
);

it(
  'the frontend dies at any step: another driver gets the device',
  async () => expect(await driverDies(pvcalls)).toBeGreaterThan(15),
  LIMIT_MS,
);

it(
  'a guest dies at any step of its driver: xensock lets go of it',
  async () => expect(await guestDies(pvcalls)).toBeGreaterThan(15),
  LIMIT_MS,
);

const text = new Uint8Array(12_000).map((_, at) => (at * 7) % 253);

it(
  'xensock dies at any step while two guests talk: the client asks again, the server serves on, and no byte is wrong',
  async () => {
    let refused = 0;
    const steps = await killEachStep({ seed: 4 }, async (host, step) => {
      const [server, client] = [await host.guest(), await host.guest()];
      const drivers = new Map<Guest, XenSock>();
      for (const guest of [server, client])
        await host.frontend(guest, ({ platform }) => {
          const onDriver = (_: number, driver: XenSock): void => void drivers.set(guest, driver);
          return sockfront({ platform, onDriver, connectOrder: 1, acceptOrder: 1 });
        });
      const devices = [server, client].map((guest) => host.attach({ kind: 'pvcalls', guest }));
      const first = await host.backend(xensock());
      for (const device of devices) await host.connected(device);
      await host.until(() => drivers.size === 2);
      const connected = host.steps(first);
      host.killAt(first, connected + step);
      void first.ended.then(() => host.backend(xensock()));
      let over: number | undefined;
      void echo(drivers.get(server)!, '127.0.0.1', 7000).then((errno) => {
        over = errno;
      });
      const told = (async () => {
        for (;;) {
          const back = await ask(drivers.get(client)!, '127.0.0.1', 7000, text);
          if (back !== undefined) return back;
          refused += 1;
          await new Promise<void>((resolve) => client.platform.clock.after(50, resolve));
        }
      })();
      same(await host.done(told), text);
      expect(over, 'the server').toBeUndefined();
      await host.settle();
      expect(devices.map(({ states }) => states)).toEqual(Array(2).fill({ back: 4, front: 4 }));
      for (const device of devices) await host.detach(device);
      await host.settle();
      expect(host.leftovers()).toEqual([]);
      return first;
    });
    expect(steps).toBeGreaterThan(50);
    expect(refused).toBeGreaterThan(steps / 4);
  },
  LIMIT_MS,
);

it(
  'a guest dies at any step while it talks to another: nothing of it is left, and the other one serves on',
  async () => {
    const steps = await killEachStep({ seed: 5 }, async (host, step) => {
      await host.backend(xensock());
      const guests = [await host.guest(), await host.guest(), await host.guest()];
      const drivers: XenSock[] = [];
      const fronts = [];
      for (const [index, guest] of guests.entries()) {
        const onDriver = (_: number, driver: XenSock): void => {
          drivers[index] = driver;
        };
        fronts.push(
          await host.frontend(guest, ({ platform }) =>
            sockfront({ platform, onDriver, connectOrder: 1, acceptOrder: 1 }),
          ),
        );
        await host.connected(host.attach({ kind: 'pvcalls', guest }));
      }
      await host.until(() => drivers.filter(Boolean).length === 3);
      void echo(drivers[0]!, '127.0.0.1', 7000);
      await host.settle();
      const front = fronts[1]!;
      host.atStep(front, host.steps(front) + step, () => host.kill(guests[1]!));
      const told = ask(drivers[1]!, '127.0.0.1', 7000, text);
      await Promise.race([host.done(told), host.until(() => front.dead)]);
      const { dead } = front;
      await host.destroy(guests[1]!);
      same(await host.done(ask(drivers[2]!, '127.0.0.1', 7000, text)), text);
      for (const guest of [guests[0]!, guests[2]!]) await host.destroy(guest);
      expect(host.leftovers()).toEqual([]);
      return { dead };
    });
    expect(steps).toBeGreaterThan(5);
  },
  LIMIT_MS,
);
