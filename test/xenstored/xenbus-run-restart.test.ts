/**
 * Handshakes while services are killed and cut off at every step, and the store ends and begins again: what a guest has connected stays connected, and what was
 * going on goes on.
 */
import { expect, it } from 'vitest';
import { killEachStep, type SimHost, type StepTime, simHost } from '../kit/index.ts';
import { ToyBackend, ToyGuest } from './xenbus-run-toy.ts';

const LIMIT_MS = 60_000;

function played(name: string, play: (host: SimHost, first: ToyBackend, guest: ToyGuest) => Promise<void>) {
  it(name, () =>
    simHost({ seed: 1 }, async (host) => play(host, await ToyBackend.serve(host), await ToyGuest.boot(host))),
  );
}

/** Neither end has written any other state than these since. */
function expectStates(host: SimHost, since: string, states: RegExp): void {
  for (const [, state] of host
    .timeline()
    .slice(since.length)
    .matchAll(/\/state = "(.)"/g))
    expect(state).toMatch(states);
}

played(
  'a backend that is killed is taken over by the next one, and the guest does not notice',
  async (host, first, guest) => {
    const device = await guest.attached();
    await guest.exchange(device);
    const before = host.timeline();
    host.kill(first.actor);
    const answered = guest.exchange(device);
    const second = await ToyBackend.serve(host);
    await answered;
    await host.settle();
    expect(second.connected).toEqual([`${device.back} attach`]);
    expectStates(host, before, /4/);
    expect(device.states).toEqual({ back: 4, front: 4 });
    expect(guest.front(device).released).toBe(0);
  },
);

played('a backend that is stopped in good order, too', async (host, first, guest) => {
  const device = await guest.attached();
  const before = host.timeline();
  await host.stop(first.actor);
  expect([first.mapped.size, first.links.size]).toEqual([0, 0]);
  expect(device.states).toEqual({ back: 4, front: 4 });
  await ToyBackend.serve(host);
  await guest.exchange(device);
  expectStates(host, before, /4/);
});

played(
  'a backend that comes late finds what was attached, detached and closed meanwhile',
  async (host, first, guest) => {
    const [gone, closed, kept] = [await guest.attached(), await guest.attached(), await guest.attached()];
    host.kill(first.actor);
    const fresh = guest.attach();
    guest.front(closed).link.close();
    const detached = host.detach(gone);
    const second = await ToyBackend.serve(host);
    await detached;
    await host.connected(fresh);
    for (const device of [kept, fresh]) await guest.exchange(device);
    await host.until(() => closed.states.back === 6);
    expect(second.mapped.size).toBe(2);
  },
);

played('a store that ends and begins again is looked at again', async (host, backend, guest) => {
  const device = await guest.attached();
  await host.stopStore();
  await guest.exchange(device);
  await host.startStore();
  const fresh = guest.attach();
  await host.connected(fresh);
  await guest.exchange(fresh);
  await guest.exchange(device);
  await host.detach(device);
  expect(backend.mapped.size).toBe(1);
});

played('a driver that begins anew in its guest (kexec) gets the device back', async (host, _, guest) => {
  const device = await guest.attached();
  await guest.forget();
  await guest.drive();
  await host.settle();
  expect(device.states).toEqual({ back: 4, front: 4 });
  await guest.exchange(device);
});

it(
  'a driver that is closed at any step opens nothing afterwards, and watches nothing; the next one goes on',
  async () => {
    const steps = await killEachStep({ seed: 2 }, async (host, step) => {
      const guest = await ToyGuest.boot(host);
      await ToyBackend.serve(host);
      const device = guest.attach();
      let closing: Promise<void> | undefined;
      const close = (): void => {
        closing = guest.forget();
      };
      host.atStep(guest.guest, host.steps(guest.guest) + step, close);
      await host.settle();
      const closed = closing !== undefined;
      if (closed) {
        await closing;
        expect([...guest.toys.keys()]).toEqual([]);
        const before = host.timeline();
        host.write(`${device.back}/state`, host.read(`${device.back}/state`)!);
        await host.settle();
        expect(host.timeline().slice(before.length)).not.toContain('guest 1');
        await guest.drive();
      }
      await host.connected(device);
      await host.settle();
      await guest.exchange(device);
      await closing;
      return { dead: closed };
    });
    expect(steps).toBeGreaterThan(10);
  },
  LIMIT_MS,
);

const ways: readonly (readonly [string, 'killAt' | 'cutAt', StepTime])[] = [
  ['the backend is killed before', 'killAt', 'before'],
  ['the backend is killed after', 'killAt', 'after'],
  ['its connection is lost before', 'cutAt', 'before'],
  ['its connection is lost after', 'cutAt', 'after'],
];
it.each(ways)(
  '%s any step: it comes up, and goes down again',
  async (_, what, when) => {
    const steps = await killEachStep({ seed: 1 }, async (host, step) => {
      const guest = await ToyGuest.boot(host);
      const { actor } = await ToyBackend.serve(host, { [what]: step, when });
      // Whoever starts services starts this one again.
      void actor.ended.then(() => ToyBackend.serve(host));
      const device = await guest.attached();
      await guest.exchange(device);
      await host.detach(device);
      await host.settle();
      expect(host.leftovers()).toEqual([]);
      return { dead: actor.dead || host.steps(actor) > step };
    });
    expect(steps).toBeGreaterThan(20);
  },
  LIMIT_MS,
);
