/**
 * Handshakes run by our daemon, a simulated machine, and two ends that map one page and exchange a byte: attached and detached as libxl
 * does it, closed and opened again by the guest, failing, and beside a guest that writes whatever it likes.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { backendPath, type DeviceName, errorPath, frontendPath } from '../../xenstored/xenbus/path.ts';
import { ToyHost } from './xenbus-run-host.ts';

let host: ToyHost;
beforeEach(async () => {
  host = await ToyHost.start();
});
afterEach(() => host.stop());

describe('a toolstack, a backend and a frontend', () => {
  it('connect, exchange, and part as libxl wants', async () => {
    const backend = await host.serve();
    const device = await host.attached();
    await host.front(device).exchange();
    expect(await host.back(device, 'feature-toy')).toBe('1');
    expect(await host.back(device, 'size')).toBe('1');
    expect(await host.back(device, 'hotplug-status')).toBe('connected');
    const toy = host.front(device);
    await host.tools.detach(device);
    await expect
      .poll(() => [backend.mapped.size, backend.opened, toy.released, host.guest.toys.size])
      .toEqual([0, 0, 1, 0]);
    // The same name once more.
    await host.tools.attach(device);
    await host.tools.connected(device);
    await host.front(device).exchange();
    expect(backend.log).toEqual([]);
  });

  it('the guest closes the device and opens it again', async () => {
    const backend = await host.serve();
    const device = await host.attached();
    host.front(device).link.close();
    await host.tools.until(`${backendPath(device)}/state`, (state) => state === '6');
    await host.tools.until(`${frontendPath(device)}/state`, (state) => state === '6');
    expect(backend.mapped.size).toBe(0);
    host.front(device).link.open();
    await host.tools.connected(device);
    await host.front(device).exchange();
    expect(backend.connected.map((line) => line.split(' ')[1])).toEqual(['fresh', 'fresh']);
  });

  it('wait for the hotplug script that the toolstack has ordered', async () => {
    await host.serve();
    const device = host.named();
    await host.tools.attach(device, { script: '/etc/xen/scripts/toy' });
    await host.tools.until(`${frontendPath(device)}/state`, (state) => state === '3');
    expect(await host.back(device, 'state')).toBe('2');
    await host.dom0.write(`${backendPath(device)}/hotplug-status`, 'connected');
    await host.tools.connected(device);
    await host.front(device).exchange();
  });

  it('a device announces its new size to a connected frontend, and its state stays', async () => {
    const backend = await host.serve();
    const device = await host.attached();
    await backend.links.get(backendPath(device))!.announce({ size: '2' });
    await expect.poll(() => host.front(device).refreshed).toBe(1);
    expect(await host.back(device, 'size')).toBe('2');
    expect(await host.back(device, 'state')).toBe('4');
  });
});

describe('what goes wrong', () => {
  it('a device that cannot be opened has its error node, and its neighbour is served', async () => {
    const backend = await host.serve();
    const [bad, good] = [host.named(), host.named()];
    backend.refuse.add(backendPath(bad));
    await host.tools.attach(bad);
    await host.tools.until(errorPath(backendPath(bad)), (text) => text === 'there is no such toy');
    await host.tools.attach(good);
    await host.tools.connected(good);
    await host.front(good).exchange();
    await host.tools.detach(bad);
  });

  it('devices that never get ready keep nobody waiting', async () => {
    const backend = await host.serve();
    const bad = Array.from({ length: 20 }, () => host.named());
    for (const device of bad) {
      backend.hang.add(backendPath(device));
      await host.tools.attach(device);
    }
    await host.front(await host.attached()).exchange();
    expect(await Promise.all(bad.map((device) => host.back(device, 'state')))).toEqual(bad.map(() => '1'));
    backend.kill();
  });

  it('a ring that is broken is let go, told, and the guest may begin again', async () => {
    const backend = await host.serve();
    const device = await host.attached();
    const toy = host.front(device);
    backend.links.get(backendPath(device))!.broken('nobody rings like that');
    await host.tools.until(errorPath(backendPath(device)), (text) => text === 'nobody rings like that');
    await expect.poll(() => toy.released).toBe(1);
    expect(backend.mapped.size).toBe(0);
    toy.link.open();
    await host.tools.connected(device);
    await host.front(device).exchange();
  });

  it('a guest that dies leaves nothing mapped, and libxl gets its 6', async () => {
    const backend = await host.serve();
    const other = await host.boot();
    const device = host.named(other);
    await host.tools.attach(device);
    await host.tools.connected(device);
    const ctrl = host.platform.openCtrl();
    await other.stop();
    ctrl.destroyDomain(other.domid);
    await host.tools.detach(device);
    await expect.poll(() => [backend.mapped.size, backend.opened]).toEqual([0, 0]);
    ctrl.close();
  });

  it('a guest that died while nobody served it, in a store that keeps its nodes, is not waited for', async () => {
    const first = await host.serve();
    const other = await host.boot();
    const device = await host.attached(other);
    first.kill();
    await other.stop();
    const ctrl = host.platform.openCtrl();
    ctrl.destroyDomain(other.domid);
    ctrl.close();
    await host.tools.until(frontendPath(device), (text) => text === undefined);
    await host.dom0.write(`${frontendPath(device)}/state`, '4');
    const second = await host.serve();
    await host.tools.detach(device);
    await expect.poll(() => [second.mapped.size, second.opened]).toEqual([0, 0]);
  });

  it('keys that make no sense, and grants that are none, cost one line and their device', async () => {
    const backend = await host.serve();
    const { store } = host.guest;
    await host.guest.forget();
    const evil = async (ring: string, port: string): Promise<DeviceName> => {
      const device = host.named();
      await host.tools.attach(device);
      await host.tools.until(`${backendPath(device)}/state`, (state) => state === '2');
      const front = frontendPath(device);
      await store.write(`${front}/ring-ref`, ring);
      await store.write(`${front}/event-channel`, port);
      await store.write(`${front}/state`, '3');
      await host.tools.until(`${backendPath(device)}/state`, (state) => state === '5');
      return device;
    };
    const said = async (device: DeviceName): Promise<string> =>
      host.dom0.readText(errorPath(backendPath(device)));
    expect(await said(await evil('-1', '7'))).toBe('ring-ref: "-1" is not a number from 0 to 4294967295');
    expect(await said(await evil('4000', '7'))).toMatch(/^[ -~]*EINVAL[ -~]*$/);
    expect(backend.mapped.size).toBe(0);
    await host.guest.drive();
    await host.front(await host.attached()).exchange();
  });

  it('a directory removed by force: the rings are let go', async () => {
    const backend = await host.serve();
    const device = await host.attached();
    await host.tools.remove(device);
    await expect.poll(() => [backend.mapped.size, backend.opened, host.guest.toys.size]).toEqual([0, 0, 0]);
  });

  it('a guest that writes anything into its nodes, for ever, starves nobody', async () => {
    const backend = await host.serve();
    const bad = host.named();
    await host.tools.attach(bad);
    const evil = host.guest.store;
    await host.guest.forget();
    let writes = 0;
    let going = true;
    const storm = (async () => {
      for (; going; writes++) {
        await evil.write(`${frontendPath(bad)}/state`, `${writes % 10}`);
        await evil.write(`${frontendPath(bad)}/ring-ref`, writes % 3 === 0 ? 'x' : `${writes}`);
        await evil.write(`${frontendPath(bad)}/state/${writes % 50}`, '');
      }
    })();
    const honest = await host.boot();
    for (let devid = 0; devid < 5; devid++) {
      const device = host.named(honest);
      await host.tools.attach(device);
      await host.tools.connected(device);
      await host.front(device, honest).exchange();
    }
    going = false;
    await storm;
    expect(writes).toBeGreaterThan(5);
    // What the storm has left behind can be detached; its own frontend does not answer any more, so it is removed.
    await host.tools.remove(bad);
    await expect.poll(() => [backend.opened, backend.mapped.size]).toEqual([5, 5]);
    await honest.stop();
  });

  it('the work for one device does not grow with the others', async () => {
    const counted = await host.serve({ at: -1, sent: true, what: 'lose' });
    const cost = async (): Promise<number> => {
      const before = counted.messages;
      const device = await host.attached();
      await host.tools.detach(device);
      await expect.poll(() => counted.opened).toBe(devices.length);
      return counted.messages - before;
    };
    const devices: DeviceName[] = [];
    const alone = await cost();
    for (let count = 0; count < 60; count++) devices.push(await host.attached());
    // Watches that merge or not make the difference.
    expect(await cost()).toBeLessThan(alone + 10);
  });
});
