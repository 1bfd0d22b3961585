/**
 * A store that ends and begins again, and connections that are lost: who waits for what meanwhile, and what an answer that was lost had done.
 */
import { expect, it } from 'vitest';
import { simHost } from '../kit/index.ts';
import { toyBackend, toyDriver } from './toy.ts';

it('a store that ends goes on with what it had; who asks meanwhile waits for it', () =>
  simHost({ seed: 1 }, async (host) => {
    const guest = await host.guest();
    const process = await host.process();
    await host.backend(toyBackend);
    await host.frontend(guest, toyDriver);
    const toy = host.attach({ kind: 'toy', guest });
    await host.connected(toy);
    await host.stopStore();
    expect(() => host.read('/')).toThrow('the store does not run');
    await host.run(100);
    const asked = [process.store.write('/tool/x', 'of a process'), guest.store.write('x', 'of a guest')];
    await host.run(500);
    await host.startStore();
    await Promise.all(asked);
    expect(host.read('/tool/x')).toBe('of a process');
    expect(host.read(`/local/domain/${guest.domid}/x`)).toBe('of a guest');
    await host.settle();
    expect(toy.states).toEqual({ back: 4, front: 4 });
    await host.detach(toy);
    await host.settle();
    expect(host.leftovers()).toEqual([]);
  }));

it('a connection is lost before a request, which is never heard of, or after it, which is done', () =>
  simHost({ seed: 2 }, async (host) => {
    const guest = await host.guest();
    for (const actor of [await host.process(), await host.process({ in: guest, name: 'driver' })])
      for (const when of ['before', 'after'] as const) {
        const path = `/local/domain/${guest.domid}/${actor.name} ${when}`.replaceAll(' ', '-');
        host.atStep(actor, host.steps(actor), () => host.cut(actor), when);
        await expect(actor.store.write(path, '1')).rejects.toThrow('ECONNRESET');
        await host.run(1);
        expect(host.read(path)).toBe(when === 'after' ? '1' : undefined);
        await actor.store.write(path, '2');
        expect(host.read(path)).toBe('2');
      }
  }));

it('a transaction whose beginning was answered to nobody is not left open', () =>
  simHost({ seed: 3 }, async (host) => {
    const guest = await host.guest();
    const driver = await host.process({ in: guest });
    // More than a guest may have open.
    for (let times = 0; times < 15; times += 1) {
      host.atStep(driver, host.steps(driver), () => host.cut(driver), 'after');
      await driver.store.transaction((tx) => tx.write('x', `${times}`));
    }
    expect(host.read(`/local/domain/${guest.domid}/x`)).toBe('14');
  }));

it('however many ports there are, all are seen', () =>
  simHost({ seed: 4 }, async (host) => {
    const guest = await host.guest();
    const evtchn = guest.platform.openEvtchn();
    const ports = Array.from({ length: 1000 }, () => evtchn.bindUnboundPort(0));
    for (const port of ports.slice(0, -1)) evtchn.unbind(port);
    expect(host.leftovers()).toEqual([`domain ${guest.domid} offers port ${ports.at(-1)} to domain 0`]);
  }));
