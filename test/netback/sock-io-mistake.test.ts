// A mistake of ours while a predecessor's device is taken over costs that device, with a line, and nothing of it stays mapped or bound.
import { afterEach, expect, test, vi } from 'vitest';
import { Sockets } from '../../netback/xensock/core/sockets.ts';
import { Hypervisor, isReserved } from '../kit/hypervisor.ts';
import { SockHost } from './sock-io-host.ts';

let host: SockHost;

afterEach(async () => {
  vi.restoreAllMocks();
  await host.stop();
});

test('nothing is left of a device that could not be taken over', async () => {
  host = await SockHost.start();
  const guest = await host.guest();
  const hypervisor = new Hypervisor(host.sim.machine.platformFor(0));
  await host.stopBackend();
  vi.spyOn(Sockets.prototype, 'restore').mockImplementation(() => {
    throw new RangeError('no such entry');
  });
  await host.startBackend();
  expect(await guest.error()).toContain('no such entry');
  await guest.enter('5');
  await guest.backend('5', '6');
  await guest.enter('6');
  await guest.backend('6');
  const grants = hypervisor.grants(guest.domid);
  expect(grants.filter((grant) => !isReserved(grant) && grant.mapped !== 'no')).toEqual([]);
  const bound = hypervisor.ports(0).filter(({ remoteDomid }) => remoteDomid === guest.domid);
  expect(bound.length, 'its way to the store').toBe(1);
});
