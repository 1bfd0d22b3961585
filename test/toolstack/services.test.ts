// Those who serve devices among the others of a host: what they may do in the store. Our daemon, on the simulator within this process.
import { expect, onTestFinished, test } from 'vitest';
import { Domains } from '../../toolstack/io/domains.ts';
import { Room } from '../../toolstack/io/room.ts';
import { connect } from '../../xenstored/client/index.ts';
import { ownRing } from '../../xenstored/client/ring.ts';
import { defaultQuotas } from '../../xenstored/core/quota.ts';
import { SimHost } from '../conformance/simhost.ts';

const GUESTS = 60;
const DISKS = 3;
/** Keys that a backend writes for each of its devices. */
const WRITTEN = 16;

test('however many devices guests get, their backend has room for them in the store', async () => {
  const sim = await SimHost.start(['--database', 'memory']);
  const store = await connect({ path: sim.socketPath });
  const domains = new Domains(sim.machine.platformFor(0).openCtrl());
  const { domid } = await domains.createService(store, 0, { name: 'blkback', memoryMb: 1 });
  domains.unpause(domid);
  const own = await connect({ connector: ownRing(sim.machine.platformFor(domid)) });
  onTestFinished(async () => {
    await own.close();
    await store.close();
    await sim.stop();
  });
  const room = new Room(store);
  let devices = 0;
  for (let guest = 10; guest < 10 + GUESTS; guest++) {
    for (let devid = 0; devid < DISKS; devid++) {
      await room.make(domid, ++devices);
      const back = `/local/domain/${domid}/backend/vbd/${guest}/${devid}`;
      await store.write(back, '');
      await store.setPerms(back, [`n${domid}`]);
      for (let key = 0; key < WRITTEN; key++) await own.write(`${back}/key-${key}`, 'x'.repeat(32));
      await own.write(`error/backend/vbd/${guest}/${devid}/error`, 'x'.repeat(100));
      await own.watch(`/local/domain/${guest}/device/vbd/${devid}/state`).ready;
    }
  }
  expect(devices).toBeGreaterThan(defaultQuotas.watches);
});
