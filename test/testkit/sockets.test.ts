/**
 * Where xensock may run and what may stand beside it: a domain without any privilege serves sockets with its frontends' grants alone; a guest has several
 * socket devices, of one backend or of two, and an interface beside them.
 */
import { expect, it } from 'vitest';
import { NetHost } from '../../netback/vif/front/host.ts';
import type { XenSock } from '../../netback/xensock/front/xensock.ts';
import { parseMac } from '../../xenstored/xenbus/value.ts';
import {
  type Device,
  type Guest,
  killEachStep,
  netback,
  netfront,
  type SimHost,
  simHost,
  sockfront,
  xensock,
} from '../kit/index.ts';
import { ask, echo, same } from './socktalk.ts';

const LIMIT_MS = 180_000;
const text = new Uint8Array(50_000).map((_, at) => (at * 7) % 253);

/** A guest's socket devices by their number. */
async function drive(host: SimHost, guest: Guest): Promise<ReadonlyMap<number, XenSock>> {
  const drivers = new Map<number, XenSock>();
  const onDriver = (devid: number, driver: XenSock): void => void drivers.set(devid, driver);
  await host.frontend(guest, ({ platform }) =>
    sockfront({ platform, onDriver, connectOrder: 2, acceptOrder: 2 }),
  );
  return drivers;
}

async function gone(host: SimHost, devices: readonly Device[]): Promise<void> {
  for (const device of devices) await host.detach(device);
  await host.settle();
  expect(host.leftovers()).toEqual([]);
}

/** Asks until it is answered, as a program does whose connections break. */
async function insist(host: SimHost, guest: Guest, driver: XenSock, bytes: Uint8Array): Promise<Uint8Array> {
  const answered = (async () => {
    for (;;) {
      const back = await ask(driver, '127.0.0.1', 7000, bytes);
      if (back !== undefined) return back;
      await new Promise<void>((resolve) => guest.platform.clock.after(50, resolve));
    }
  })();
  return await host.done(answered);
}

it('an unprivileged domain serves guests that trust it with nothing but their grants', () =>
  simHost({ seed: 7 }, async (host) => {
    const home = await host.guest({ name: 'sockets' });
    const [server, client] = [await host.guest(), await host.guest()];
    await host.backend(xensock(), { in: home });
    const [at, from] = [await drive(host, server), await drive(host, client)];
    const devices = [server, client].map((guest) => host.attach({ kind: 'pvcalls', guest, in: home }));
    for (const device of devices) await host.connected(device);
    await host.until(() => at.size + from.size === 2);
    void echo(at.get(0)!, '127.0.0.1', 7000);
    same(await insist(host, client, from.get(0)!, text), text);
    // It is nobody to the hypervisor and to the store.
    const { platform, store } = home;
    expect(() => platform.openCtrl().pause(client.domid)).toThrow(/EPERM/);
    expect(() => platform.openForeignmemory().map(client.domid, 'r', [1])).toThrow(/EPERM/);
    const home0 = `/local/domain/${client.domid}`;
    await expect(host.done(store.write(`${home0}/device/pvcalls/0/state`, '6'))).rejects.toThrow(/EACCES/);
    const granted = host.grants(client.domid).filter(({ domid }) => domid === home.domid);
    expect(granted.length).toBeGreaterThan(0);
    await gone(host, devices);
  }));

it(
  'it dies while guests talk: they go on with the next one',
  async () => {
    const steps = await killEachStep({ seed: 8 }, async (host, step) => {
      const home = await host.guest({ name: 'sockets' });
      const [server, client] = [await host.guest(), await host.guest()];
      const [at, from] = [await drive(host, server), await drive(host, client)];
      const first = await host.backend(xensock(), { in: home });
      void first.ended.then(() => host.backend(xensock(), { in: home }));
      const devices = [server, client].map((guest) => host.attach({ kind: 'pvcalls', guest, in: home }));
      for (const device of devices) await host.connected(device);
      await host.until(() => at.size + from.size === 2);
      // What each single step costs is seen where it is not in a domain of its own; this is every third.
      host.killAt(first, host.steps(first) + 3 * step);
      void echo(at.get(0)!, '127.0.0.1', 7000);
      const bytes = text.subarray(0, 3000);
      same(await insist(host, client, from.get(0)!, bytes), bytes);
      await gone(host, devices);
      return first;
    });
    expect(steps).toBeGreaterThan(30);
  },
  LIMIT_MS,
);

it('its domain crashes: guests let go of it, and get sockets from another one', () =>
  simHost({ seed: 9 }, async (host) => {
    const home = await host.guest({ name: 'sockets' });
    const guest = await host.guest();
    const drivers = await drive(host, guest);
    await host.backend(xensock(), { in: home });
    const device = host.attach({ kind: 'pvcalls', guest, in: home });
    await host.connected(device);
    await host.until(() => drivers.size === 1);
    const over = echo(drivers.get(0)!, '127.0.0.1', 7000);
    await host.settle();
    await host.destroy(home);
    await host.settle();
    expect(host.leftovers()).toEqual([]);
    expect(await host.done(over)).toBeLessThan(0);
    const other = await host.guest({ name: 'other sockets' });
    await host.backend(xensock(), { in: other });
    await host.connected(host.attach({ kind: 'pvcalls', guest, in: other }));
  }));

it('several socket devices of a guest, of two backends, and an interface beside them', () =>
  simHost({ seed: 10 }, async (host) => {
    const home = await host.guest({ name: 'sockets' });
    await host.backend(xensock({ policy: { default: { localhost: 'inner' } } }), { in: home });
    await host.backend(xensock());
    await host.backend(netback());
    const guests = [await host.guest(), await host.guest()];
    const hosts: NetHost[] = [];
    const drivers: ReadonlyMap<number, XenSock>[] = [];
    const devices: Device[] = [];
    for (const [index, guest] of guests.entries()) {
      const { platform } = guest;
      const mac = `00:16:3e:00:00:0${index}`;
      drivers.push(await drive(host, guest));
      await host.frontend(guest, (actor) =>
        netfront({
          platform: actor.platform,
          onInterface: ({ send }) => {
            const made = new NetHost({
              mac: Uint8Array.from(parseMac(mac)!),
              address: `10.0.0.${index + 1}`,
              send,
              clock: platform.clock,
            });
            hosts[index] = made;
            return (frame, meta) => made.receive(frame, meta);
          },
        }),
      );
      devices.push(
        host.attach({ kind: 'pvcalls', guest, devid: 0 }),
        host.attach({ kind: 'pvcalls', guest, devid: 1 }),
        host.attach({ kind: 'pvcalls', guest, devid: 2, in: home }),
        host.attach({ kind: 'vif', guest, backend: { mac }, frontendReadOnly: { mac } }),
      );
    }
    for (const device of devices) await host.connected(device);
    await host.until(() => drivers.every(({ size }) => size === 3) && hosts.filter(Boolean).length === 2);
    const [at, from] = [drivers[0]!, drivers[1]!];
    for (const devid of [0, 2]) void echo(at.get(devid)!, '127.0.0.1', 7000);
    // One guest's devices of one backend share a port; the other backend's network is another one.
    expect(await host.done(echo(at.get(1)!, '127.0.0.1', 7000))).toBe(-98);
    const bytes = new Uint8Array(5000).fill(7);
    const all = Promise.all([
      ...[0, 1, 2].map((devid) => insist(host, guests[1]!, from.get(devid)!, text)),
      hosts[0]!.ping('10.0.0.2', bytes),
    ]);
    const came = await host.done(all);
    for (const [index, wanted] of [text, text, text, bytes].entries()) same(came[index], wanted);
    await gone(host, devices);
  }));
