// Disks through real rings, grants and a real store: what a guest writes is in the file, what is in the file a guest reads; several
// disks of several guests; a detached one goes; a bad one costs itself.
import { truncateSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Lookout } from '../../blkback/io/lookout.ts';
import type { Medium } from '../../blkback/io/medium.ts';
import { attachDisk, DiskHost, until } from './io-host.ts';

let host: DiskHost;
beforeEach(async () => {
  host = await DiskHost.start();
});
afterEach(() => host.stop());

/** The same medium, whose transfers are told by Node's loop alone. */
function invisible(medium: Medium): Medium {
  const changed = <T extends object>(target: T, changes: Partial<T>): T =>
    new Proxy(target, {
      get(_, key): unknown {
        const value: unknown = Reflect.get(key in changes ? changes : target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
      set: (_, key, value) => Reflect.set(target, key, value),
    });
  return changed(medium, { queue: (...args) => changed(medium.queue(...args), { visible: false }) });
}

function pattern(sectors: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: sectors * 512 }, (_, i) => (i * 7 + (i >> 9) * 13 + seed) & 0xff);
}

const back = (domid: number, devid: number): string => `/local/domain/0/backend/vbd/${domid}/${devid}`;

test('what only the loop can tell of is not looked out for, which would keep the loop from it', async () => {
  host.wrap = invisible;
  const wake = vi.spyOn(Lookout.prototype, 'wake');
  const guest = await host.guest();
  await attachDisk(host.dom0, guest.domid, 51712, { params: host.file('a.img', 64) });
  const disk = await guest.disk(51712);
  await disk.write(0, pattern(8, 1));
  expect(Buffer.from(await disk.read(0, 8)).equals(pattern(8, 1))).toBe(true);
  expect(wake).not.toHaveBeenCalled();
  vi.restoreAllMocks();
});

describe('a disk', () => {
  test('is what its file is: read, write, flush, discard, of any length', async () => {
    const path = host.file('a.img', 4096);
    const guest = await host.guest();
    await attachDisk(host.dom0, guest.domid, 51712, { params: path });
    const disk = await guest.disk(51712);
    expect(disk.properties).toMatchObject({ sectors: 4096, sectorSize: 512, flush: true, info: 0 });

    const some = pattern(1000, 1);
    await disk.write(3, some);
    await disk.flush();
    expect(
      host
        .content('a.img')
        .subarray(3 * 512, 1003 * 512)
        .equals(some),
    ).toBe(true);
    expect(
      Buffer.from(await disk.read(2, 1002)).equals(
        Buffer.concat([Buffer.alloc(512), some, Buffer.alloc(512)]),
      ),
    ).toBe(true);

    expect(disk.properties?.discard).toBeDefined();
    await disk.discard(8, 8);
    expect(await disk.read(8, 8)).toEqual(new Uint8Array(8 * 512));
    await expect(disk.read(4095, 2)).rejects.toThrow('could not');
  });

  test('of requests as long as there are', async () => {
    host.file('a.img', 16384);
    const guest = await host.guest();
    await attachDisk(host.dom0, guest.domid, 51712, { params: `${host.directory}/a.img` });
    const disk = await guest.disk(51712);
    expect(disk.properties?.maxIndirectSegments).toBe(256);
    const long = pattern(9000, 3);
    await disk.write(7, long);
    expect(
      host
        .content('a.img')
        .subarray(7 * 512, 9007 * 512)
        .equals(long),
    ).toBe(true);
    expect(Buffer.from(await disk.read(7, 9000)).equals(long)).toBe(true);
  });

  test('of several pages of ring, under more requests than it has slots', async () => {
    host.file('a.img', 16384);
    const guest = await host.guest({ ringPages: 4 });
    await attachDisk(host.dom0, guest.domid, 51712, { params: `${host.directory}/a.img` });
    const disk = await guest.disk(51712);
    await Promise.all(Array.from({ length: 400 }, (_, i) => disk.write(i * 40, pattern(40, i))));
    const found = await Promise.all(Array.from({ length: 400 }, (_, i) => disk.read(i * 40, 40)));
    for (const [i, bytes] of found.entries())
      expect(Buffer.from(bytes).equals(pattern(40, i)), `request ${i}`).toBe(true);
  });
});

describe('several', () => {
  test('guests and disks are served side by side; one is read-only; detached ones go', async () => {
    const guests = [await host.guest(), await host.guest()];
    for (const [i, { domid }] of guests.entries()) {
      await attachDisk(host.dom0, domid, 51712, { params: `aio:${host.file(`${i}-a.img`, 64)}` });
      await attachDisk(host.dom0, domid, 51728, { params: host.file(`${i}-b.img`, 128), mode: 'r' });
    }
    for (const [i, guest] of guests.entries()) {
      const [a, b] = [await guest.disk(51712), await guest.disk(51728)];
      await a.write(0, pattern(64, i));
      expect(host.content(`${i}-a.img`).equals(pattern(64, i))).toBe(true);
      expect(b.properties).toMatchObject({ sectors: 128, info: 4 });
      await expect(b.write(0, pattern(1, 0))).rejects.toThrow('could not');
    }
    const { domid } = guests[0]!;
    await host.dom0.transaction(async (tx) => {
      await tx.write(`${back(domid, 51712)}/online`, '0');
      await tx.write(`${back(domid, 51712)}/state`, '5');
    });
    await until(host.dom0, `${back(domid, 51712)}/state`, (state) => state === '6');
    expect(await host.dom0.findText(`${back(domid, 51728)}/state`)).toBe('4');
    await (await guests[1]!.disk(51712)).write(1, pattern(1, 9));
  });
});

test.each(['r', 'w!'])('one file for several guests that all say %s', async (mode) => {
  const path = host.file('a.img', 64);
  writeFileSync(path, pattern(64, 4));
  for (let i = 0; i < 2; i++) {
    const guest = await host.guest();
    await attachDisk(host.dom0, guest.domid, 51712, { params: path, mode });
    const disk = await guest.disk(51712);
    expect(Buffer.from(await disk.read(0, 63)).equals(pattern(63, 4))).toBe(true);
    const write = disk.write(63, pattern(1, i));
    if (mode === 'r') await expect(write).rejects.toThrow('could not');
    else await write;
  }
});

test('a guest that dies: its disk is let go when the toolstack has removed it, and nothing is left', async () => {
  const path = host.file('a.img', 64);
  const guest = await host.guest();
  await attachDisk(host.dom0, guest.domid, 51712, { params: path });
  await (await guest.disk(51712)).write(0, pattern(64, 3));
  await guest.halt();
  const ctrl = host.sim.machine.platformFor(0).openCtrl();
  ctrl.destroyDomain(guest.domid);
  await host.dom0.rm(`/local/domain/0/backend/vbd/${guest.domid}`);
  // The id is free when nobody maps its pages any more.
  await expect.poll(() => ctrl.getDomainInfo(guest.domid)).toBeUndefined();
  expect(host.content('a.img').equals(pattern(64, 3))).toBe(true);
});

test('a file that grows is a larger disk, and the guest is told', async () => {
  const path = host.file('a.img', 64);
  const guest = await host.guest();
  await attachDisk(host.dom0, guest.domid, 51712, { params: path });
  const disk = await guest.disk(51712);
  truncateSync(path, 128 * 512);
  await until(host.dom0, `${back(guest.domid, 51712)}/sectors`, (sectors) => sectors === '128');
  await expect.poll(() => disk.properties?.sectors).toBe(128);
  await disk.write(100, pattern(28, 3));
});

test('a drive whose medium is changed, taken out, and put in again', async () => {
  const paths = [host.file('a.iso', 64), host.file('b.iso', 32)];
  writeFileSync(paths[1]!, pattern(32, 5));
  const guest = await host.guest();
  const drive = { params: paths[0]!, mode: 'r', removable: '1', 'device-type': 'cdrom' };
  await attachDisk(host.dom0, guest.domid, 51712, drive);
  const disk = await guest.disk(51712);
  expect(disk.properties).toMatchObject({ sectors: 64, info: 7 });
  for (const [params, sectors] of [
    [paths[1]!, 32],
    ['', 0],
    [paths[1]!, 32],
    ['/not/there', 0],
    [paths[1]!, 32],
  ] as const) {
    await host.dom0.write(`${back(guest.domid, 51712)}/params`, params);
    await expect.poll(() => disk.properties?.sectors).toBe(sectors);
    if (sectors === 0) await expect(disk.read(0, 1)).rejects.toThrow('could not');
    else expect(Buffer.from(await disk.read(0, 32)).equals(pattern(32, 5))).toBe(true);
  }
  expect(host.log.at(-1)).toMatch(/51712: drive left empty: .*\/not\/there/);
});

describe('a disk that cannot be', () => {
  test.each([
    ['no such file', { params: '/nowhere/at/all' }, 'ENOENT|/nowhere/at/all'],
    ['a directory', { params: '/tmp' }, 'neither a file nor a block device'],
    ['no format of ours', { params: 'qcow2:/x' }, 'qcow2'],
    ['nothing', { params: '' }, 'params'],
  ])('%s: an error node says why', async (_, keys, said) => {
    const guest = await host.guest();
    await attachDisk(host.dom0, guest.domid, 51712, keys);
    const path = `/local/domain/0/error/backend/vbd/${guest.domid}/51712/error`;
    expect(await until(host.dom0, path, (text) => text !== undefined)).toMatch(new RegExp(said));
  });
});

describe('another backend process', () => {
  test('goes on with the rings that it finds, and the guest notices nothing', async () => {
    host.file('a.img', 4096);
    const guest = await host.guest();
    await attachDisk(host.dom0, guest.domid, 51712, { params: `${host.directory}/a.img` });
    const disk = await guest.disk(51712);
    await disk.write(0, pattern(100, 1));
    await host.stopBackend();
    const meanwhile = [disk.write(100, pattern(100, 2)), disk.read(0, 100)] as const;
    await host.startBackend();
    await meanwhile[0];
    expect(Buffer.from(await meanwhile[1]).equals(pattern(100, 1))).toBe(true);
    expect(host.content('a.img').subarray(51200, 102400).equals(pattern(100, 2))).toBe(true);
    expect(await host.dom0.findText(`${back(guest.domid, 51712)}/state`)).toBe('4');
  });
});
