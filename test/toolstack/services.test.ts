// A backend's domain among the others of a host: what it may do in the store. Our daemon, on the simulator within this process.
import { expect, onTestFinished, test } from 'vitest';
import { devicesOf } from '../../toolstack/core/devices.ts';
import type { HostFile } from '../../toolstack/core/host.ts';
import type { Crew } from '../../toolstack/io/crew.ts';
import { attach } from '../../toolstack/io/devices.ts';
import { Domains } from '../../toolstack/io/domains.ts';
import { Services } from '../../toolstack/io/services.ts';
import { connect } from '../../xenstored/client/index.ts';
import { ownRing } from '../../xenstored/client/ring.ts';
import { defaultQuotas } from '../../xenstored/core/quota.ts';
import { SimHost } from '../conformance/simhost.ts';

const DISKS = 26;
/** Keys that a backend writes for each of its devices. */
const WRITTEN = 16;

test('however many devices a host file orders, their backend has room for them in the store', async () => {
  const sim = await SimHost.start(['--database', 'memory']);
  const store = await connect({ path: sim.socketPath });
  const disks = Array.from({ length: DISKS }, () => ({ sizeMb: 1, mode: 'w' as const }));
  const guests = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => ({
    ...{ name, memoryMb: 1, vcpus: 1, greets: [], disks, vifs: [], sockets: [], fetches: [] },
  }));
  const file: HostFile = {
    name: 'many',
    xenstored: { memoryMb: 32, database: 'db', args: [] },
    blkback: { memoryMb: 1, args: [] },
    guests,
  };
  const there = {
    domains: new Domains(sim.machine.platformFor(0).openCtrl()),
    store,
    storeDomid: 0,
  };
  const services = new Services({
    file,
    run: sim.directory,
    crew: {} as Crew,
    policy: () => '',
    environment: () => ({}),
    print: () => {},
    leaving: () => false,
    ending: new AbortController().signal,
  });
  await services.create('blkback', there);
  const { domid } = services.domain('blkback');
  const own = await connect({ connector: ownRing(sim.machine.platformFor(domid)) });
  onTestFinished(async () => {
    await own.close();
    await store.close();
    await sim.stop();
  });
  let devices = 0;
  for (const [place, guest] of guests.entries()) {
    const { domid: frontendDomid } = await there.domains.create(store, 0, guest);
    for (const device of devicesOf(guest, place)) {
      const { devid } = await attach(store, device, { backendDomid: domid, frontendDomid }, '/d');
      const back = `backend/vbd/${frontendDomid}/${devid}`;
      for (let key = 0; key < WRITTEN; key++) await own.write(`${back}/key-${key}`, 'x'.repeat(32));
      await own.write(`error/${back}/error`, 'x'.repeat(100));
      await own.watch(`/local/domain/${frontendDomid}/device/vbd/${devid}/state`).ready;
      devices++;
    }
  }
  expect(devices).toBeGreaterThan(defaultQuotas.watches);
});
