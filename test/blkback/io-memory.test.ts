// Where a guest's data goes through: pages that stay mapped, as many as the process may have, and copies for the rest; segments of long requests in
// mapped pages too. What was counted tells which.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { vbdLimits } from '../../blkback/core/limits.ts';
import { MapBudget } from '../../blkback/io/mapbudget.ts';
import { PoolBudget } from '../../blkback/io/poolbudget.ts';
import { attachDisk, DiskHost } from './io-host.ts';

let host: DiskHost;
beforeEach(async () => {
  host = await DiskHost.start();
});
afterEach(() => host.stop());

/** Writes and reads back as much as an indirect request, and some more. */
async function used(domid: number, devid: number, name: string): Promise<Readonly<Record<string, number>>> {
  const guest = guests.get(domid)!;
  host.file(name, 2048);
  await attachDisk(host.dom0, domid, devid, { params: `${host.directory}/${name}` });
  const disk = await guest.disk(devid);
  const bytes = Uint8Array.from({ length: 600 * 512 }, (_, i) => (i * 31 + devid) & 0xff);
  await disk.write(5, bytes);
  expect(Buffer.from(await disk.read(5, 600)).equals(bytes)).toBe(true);
  return host.counted(domid, devid);
}

const guests = new Map<number, Awaited<ReturnType<DiskHost['guest']>>>();

test('pages stay mapped as long as there are mappings, then data is copied', async () => {
  // A quarter is the process's own: enough for one disk of one ring and half of another's.
  host.maps = new MapBudget(2112);
  await host.stopBackend();
  await host.startBackend();
  const guest = await host.guest();
  guests.set(guest.domid, guest);
  const first = await used(guest.domid, 51712, 'a.img');
  expect(first).toMatchObject({ copied: 0, errors: 0 });
  expect(first.persistent).toBe(150);
  const second = await used(guest.domid, 51728, 'b.img');
  expect(second).toMatchObject({ copied: 0, errors: 0 });
  const third = await used(guest.domid, 51744, 'c.img');
  expect(third).toMatchObject({ copied: 150, persistent: 0, errors: 0 });
});

test('a budget gives what it has, and takes back', () => {
  const maps = new MapBudget(400);
  expect([maps.reserve(200), maps.reserve(200), maps.reserve(1)]).toEqual([200, 100, 0]);
  maps.giveBack(100);
  expect(maps.reserve(200)).toBe(100);
});

test('many disks are served at a time, each with memory for its data', async () => {
  const guest = await host.guest({ persistent: false, dataPages: 16 });
  const devids = Array.from({ length: 48 }, (_, index) => (1 << 28) | (index << 8));
  for (const devid of devids) {
    const name = `${devid}.img`;
    host.file(name, 64);
    await attachDisk(host.dom0, guest.domid, devid, { params: `${host.directory}/${name}` });
    const bytes = new Uint8Array(8 * 512).fill(devid >> 8);
    const disk = await guest.disk(devid);
    await disk.write(8, bytes);
    expect(Buffer.from(await disk.read(8, 8)).equals(bytes)).toBe(true);
  }
  for (const devid of devids) expect(host.counted(guest.domid, devid)).toMatchObject({ errors: 0 });
});

test('memory for copies is shared out, and comes back', () => {
  const pools = new PoolBudget(256);
  const given = Array.from({ length: 85 }, () => pools.reserve());
  expect(given[0]).toBe(vbdLimits.poolPages);
  expect(Math.min(...given)).toBeGreaterThanOrEqual(256);
  // With each one's own 64.
  expect(given.reduce((sum, pages) => sum + pages + 64, 0)).toBeLessThanOrEqual(65_536);
  for (const pages of given) pools.giveBack(pages);
  expect(pools.reserve()).toBe(vbdLimits.poolPages);
});
