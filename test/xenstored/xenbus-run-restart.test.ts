/**
 * Handshakes while services are killed and cut off at every step, and the store is restarted: what a guest has connected stays connected, and
 * what was going on goes on.
 */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { backendPath } from '../../xenstored/xenbus/path.ts';
import type { Cut } from './xenbus-run-cut.ts';
import { ToyHost } from './xenbus-run-host.ts';
import type { ToyBackend } from './xenbus-run-toy.ts';

let host: ToyHost;
beforeEach(async () => {
  host = await ToyHost.start();
});
afterEach(() => host.stop());

it('a backend that is killed is taken over by the next one, and the guest does not notice', async () => {
  const first = await host.serve();
  const device = await host.attached();
  await host.front(device).exchange();
  const seen = host.states(device);
  first.kill();
  const answered = host.front(device).exchange();
  const second = await host.serve();
  await answered;
  expect(second.connected).toEqual([`${backendPath(device)} attach`]);
  expect(await seen()).toEqual([['4'], ['4']]);
  expect(host.front(device).released).toBe(0);
});

it('a backend that is stopped in good order, too', async () => {
  const first = await host.serve();
  const device = await host.attached();
  await first.stop();
  expect([first.mapped.size, first.opened]).toEqual([0, 0]);
  expect(await host.back(device, 'state')).toBe('4');
  await host.serve();
  await host.front(device).exchange();
});

it('a backend that comes late finds what was attached, detached and closed meanwhile', async () => {
  const first = await host.serve();
  const [gone, closed, kept] = [await host.attached(), await host.attached(), await host.attached()];
  first.kill();
  const fresh = host.named();
  await host.tools.attach(fresh);
  host.front(closed).link.close();
  const detached = host.tools.detach(gone);
  const second = await host.serve();
  await detached;
  await host.tools.connected(fresh);
  for (const device of [kept, fresh]) await host.front(device).exchange();
  await host.tools.until(`${backendPath(closed)}/state`, (state) => state === '6');
  expect(second.mapped.size).toBe(2);
});

it('a store that is restarted is looked at again', async () => {
  const backend = await host.serve();
  const device = await host.attached();
  await host.sim.server?.close();
  await host.front(device).exchange();
  const fresh = host.named();
  await host.sim.startDaemon();
  await host.tools.attach(fresh);
  await host.tools.connected(fresh);
  await host.front(fresh).exchange();
  await host.front(device).exchange();
  await host.tools.detach(device);
  expect(backend.mapped.size).toBe(1);
});

it('a driver that begins anew in its guest (kexec) gets the device back', async () => {
  await host.serve();
  const device = await host.attached();
  await host.guest.forget();
  await host.guest.drive();
  await expect.poll(() => host.front(device)?.active).toBe(true);
  await host.front(device).exchange();
});

const ways: readonly [string, Omit<Cut, 'at'>][] = [
  ['the backend is killed before', { what: 'kill', sent: false }],
  ['the backend is killed after', { what: 'kill', sent: true }],
  ['its connection is lost before', { what: 'lose', sent: false }],
  ['its connection is lost after', { what: 'lose', sent: true }],
];
it.each(ways)('%s any message to the store: it comes up, and goes down again', async (_, way) => {
  for (let step = 0; ; step++) {
    const device = host.named();
    const backend = await host.serve({ ...way, at: step });
    // Whoever starts services starts this one again.
    let next: Promise<ToyBackend> | undefined;
    void backend.killed.then(() => {
      next = host.serve();
    });
    await host.tools.attach(device);
    await host.tools.connected(device);
    await host.front(device).exchange();
    await host.tools.detach(device);
    const reached = backend.wasCut;
    if (!reached) await backend.stop();
    const last = (await next) ?? backend;
    await last.stop();
    expect([step, last.mapped.size, await host.dom0.exists(backendPath(device))]).toEqual([step, 0, false]);
    if (!reached) break;
  }
});
