/**
 * The kit itself: one seed is one history, a test is told what happened and how to see it again, and what is left behind is found.
 */
import { expect, it } from 'vitest';
import { type HostOptions, simHost } from '../kit/index.ts';
import { toyBackend, toyFrontend } from './toy.ts';

/** A toy's life, told. */
function life(options: HostOptions): Promise<string> {
  return simHost(options, async (host) => {
    const guests = [await host.guest(), await host.guest()];
    await host.backend(toyBackend);
    const toys = guests.map((guest) => {
      void toyFrontend(guest);
      return host.attach({ kind: 'toy', guest });
    });
    for (const toy of toys) await host.connected(toy);
    for (const toy of toys) await host.detach(toy);
    await host.settle();
    expect(host.leftovers()).toEqual([]);
    return host.timeline();
  });
}

it('one seed is one history, byte for byte; another seed is another one', async () => {
  const first = await life({ seed: 7 });
  expect(await life({ seed: 7 })).toBe(first);
  expect(await life({ seed: 8 })).not.toBe(first);
  expect(first.length).toBeGreaterThan(2_000);
});

it('late and overtaken events are part of it', async () => {
  const options = { seed: 3, faults: { lateEvent: 0.3, overtakingEvent: 0.2, maxDelayMs: 50 } };
  const first = await life(options);
  expect(await life(options)).toBe(first);
  expect(first).not.toBe(await life({ seed: 3 }));
});

it('what a hypervisor may refuse can be refused to actors', async () => {
  await using host = await simHost({ seed: 1, faults: { refusal: 1 } });
  const { platform } = await host.guest();
  expect(() => platform.openGntshr().sharePages(0, 1, 'rw')).toThrow('ENOSPC');
});

it('grants and ports are seen, and who has mapped them', async () => {
  await using host = await simHost({ seed: 1 });
  const guest = await host.guest();
  void toyFrontend(guest);
  const toy = host.attach({ kind: 'toy', guest });
  await host.settle();
  const granted = () => host.grants(guest.domid);
  expect(granted()).toEqual([{ gref: 8, domid: 0, readOnly: false, mapped: 'no' }]);
  await host.backend(toyBackend);
  await host.connected(toy);
  expect(granted()).toEqual([{ gref: 8, domid: 0, readOnly: false, mapped: 'to write' }]);
  expect(host.ports(guest.domid)).toContainEqual({
    port: 2,
    state: 'interdomain',
    remoteDomid: 0,
    remotePort: expect.any(Number),
  });
});

it('what is left behind is told, a line each', async () => {
  await using host = await simHost({ seed: 1 });
  const guest = await host.guest();
  await host.backend(toyBackend);
  void toyFrontend(guest);
  const toy = host.attach({ kind: 'toy', guest });
  await host.connected(toy);
  expect(host.leftovers()).toEqual([
    `${toy.back} is there`,
    'port 3 of domain 0 is bound to port 2 of domain 1',
    `${toy.front} is there`,
    '/libxl/1/device/toy/0 is there',
    'domain 1 grants gref 8 to domain 0 (mapped to write)',
    'port 2 of domain 1 is bound to port 3 of domain 0',
  ]);
  host.remove(toy);
  await host.settle();
  expect(host.leftovers()).toEqual([]);
});

it('a failing test is told its seed and the end of the timeline', async () => {
  const told = await simHost({ seed: 42 }, async (host) => {
    const guest = await host.guest();
    await guest.store.write('data/greeting', 'hello');
    host.note('here it goes wrong');
    expect(host.read('/local/domain/1/data/greeting')).toBe('bye');
  }).catch((error: Error) => error.message);
  expect(told).toContain("expected 'hello' to be 'bye'");
  expect(told).toContain('seed 42');
  expect(told).toMatch(/guest 1 +writes data\/greeting = "hello"/);
  expect(told).toMatch(/test +here it goes wrong/);
});

it('a seed that nobody chose is shown, and can be given by STUBDOM0_SEED', async () => {
  await using host = await simHost();
  const told = await host.until(() => false, 'pigs fly').catch((error: Error) => error.message);
  expect(told).toContain('pigs fly: not by 60000 ms');
  expect(told).toContain(`simHost({ seed: ${host.seed} })`);
  process.env.STUBDOM0_SEED = '99';
  await using again = await simHost();
  process.env.STUBDOM0_SEED = '99x';
  const refused = await simHost().catch((error: Error) => error.message);
  delete process.env.STUBDOM0_SEED;
  expect(again.seed).toBe(99);
  expect(refused).toBe('STUBDOM0_SEED 99x: not a number from 0 to 4294967295');
});

it('what waits for a connection says what both ends say', async () => {
  await using host = await simHost({ seed: 1 });
  const guest = await host.guest();
  await host.backend({
    kind: 'toy',
    hotplug: 'self',
    open: async () => {
      throw new Error('there is no such toy');
    },
  });
  const toy = host.attach({ kind: 'toy', guest });
  const told = await host.connected(toy).catch((error: Error) => error.message);
  expect(told).toContain('backend Closing (there is no such toy), frontend Initialising');
});

it('a program that is killed reaches nothing any more, whatever its code still does', async () => {
  await using host = await simHost({ seed: 1 });
  const guest = await host.guest();
  const other = await host.process({ in: guest, name: 'driver' });
  const shared = other.platform.openGntshr().sharePages(0, 1, 'rw');
  const page = shared.page(0);
  const mapped = (await host.process()).platform.openGnttab().mapGrantRef(guest.domid, shared.refs[0]!, 'rw');
  page[0] = 1;
  expect(mapped.page(0)[0]).toBe(1);
  const port = other.platform.openEvtchn().bindUnboundPort(0);
  host.kill(other);
  page[0] = 2;
  expect(mapped.page(0)[0]).toBe(1);
  expect(host.ports(guest.domid).some((known) => known.port === port)).toBe(false);
  expect(() => other.platform.openGntshr().sharePages(0, 1, 'rw')).toThrow('killed');
  const lost = other.store.write('data/late', '1');
  await host.settle();
  expect(host.read(`/local/domain/${guest.domid}/data/late`)).toBeUndefined();
  await expect(Promise.race([lost, 'no answer'])).resolves.toBe('no answer');
});
