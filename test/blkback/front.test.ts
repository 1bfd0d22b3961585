// Our guests' driver against our backend, over real rings and a real store: whatever the two agree on (rings, their sizes, layouts, kept grants,
// long requests), the data is right; flush, barrier and discard in each of their manners; a connection that ends and comes back, with requests
// under way, loses none of them.
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BlkifStatus } from '../../blkback/core/blkif.ts';
import type { FrontDisk } from '../../blkback/front/disk.ts';
import { FrontOp } from '../../blkback/front/requests.ts';
import { SeededRandom } from '../../osdep/sim/random.ts';
import { attachDisk, DiskHost, until } from './io-host.ts';

let host: DiskHost;
beforeEach(async () => {
  host = await DiskHost.start();
});
afterEach(() => host.stop());

const back = (domid: number): string => `/local/domain/0/backend/vbd/${domid}/51712`;

/** Blocks of one page, block n full of what `version` makes of it, all under way at the same time. */
const BLOCKS = 200;
function block(n: number, version: number): Uint8Array {
  return new Uint8Array(4096).fill((n * 5 + version * 31) & 0xff);
}

async function writeAll(disk: FrontDisk, version: number): Promise<void> {
  await Promise.all(Array.from({ length: BLOCKS }, (_, n) => disk.write(n * 8, block(n, version))));
}

function expectAll(content: Buffer, version: number): void {
  for (let n = 0; n < BLOCKS; n++)
    expect(content.subarray(n * 4096, (n + 1) * 4096).equals(block(n, version)), `block ${n}`).toBe(true);
}

describe('whatever is agreed on', () => {
  test.each([
    ['one ring of one page', {}, { 'multi-queue-num-queues': undefined, 'ring-page-order': undefined }],
    [
      'four rings of sixteen pages',
      { queues: 4, ringPages: 16 },
      { 'queue-3/ring-ref15': /^\d+$/, 'ring-page-order': '4' },
    ],
    [
      'more than is offered',
      { queues: 64, ringPages: 64 },
      { 'multi-queue-num-queues': '4', 'ring-page-order': '4' },
    ],
    [
      '32 bits, two rings',
      { queues: 2, protocol: 'x86_32-abi' },
      { protocol: 'x86_32-abi', 'queue-1/ring-ref': /^\d+$/ },
    ],
    ['no grants kept', { persistent: false }, { 'feature-persistent': undefined }],
    ['no long requests', { indirectSegments: 0, queues: 3 }, { 'multi-queue-num-queues': '3' }],
    ['little memory', { dataPages: 20, indirectSegments: 16, requests: 8 }, {}],
  ] as const)('%s', async (_, options, keys) => {
    const guest = await host.guest(options);
    await attachDisk(host.dom0, guest.domid, 51712, { params: host.file('a.img', 8192) });
    const disk = await guest.disk(51712);
    for (const [key, value] of Object.entries(keys)) {
      const found = await guest.store.findText(`device/vbd/51712/${key}`);
      if (value instanceof RegExp) expect(found, key).toMatch(value);
      else expect(found, key).toBe(value);
    }
    await writeAll(disk, 1);
    expectAll(host.content('a.img'), 1);
    const random = new SeededRandom(7);
    for (let i = 0; i < 6; i++) {
      const [sector, count] = [random.below(4000), 1 + random.below(2500)];
      const bytes = random.bytes(count * 512);
      await disk.write(sector, bytes);
      expect(Buffer.from(await disk.read(sector, count)).equals(bytes), `${count} at ${sector}`).toBe(true);
    }
  });
});

test('by tags: every request is told once, in memory that is copied and in memory that is not', async () => {
  const guest = await host.guest({ queues: 2, ringPages: 2, requests: 64 });
  await attachDisk(host.dom0, guest.domid, 51712, { params: host.file('a.img', 8192) });
  const disk = await guest.disk(51712);
  expect(disk.maxBytes).toBe(1 << 20);
  const granted = disk.allocate(40 * 4096);
  expect(Buffer.alloc(40 * 4096).equals(granted)).toBe(true);
  const told: number[] = [];
  const settled = new Promise<void>((resolve) => {
    disk.onDone = (tag, status) => {
      expect(status).toBe(BlkifStatus.OKAY);
      told.push(tag);
      if (told.length === 41) resolve();
    };
  });
  for (let n = 0; n < 40; n++) {
    const data = n % 2 === 0 ? granted.subarray(n * 4096, (n + 1) * 4096) : new Uint8Array(4096);
    data.set(block(n, 3));
    expect(disk.submit(FrontOp.WRITE, n * 8, data, n)).toBe(true);
  }
  expect(disk.room).toBe(24);
  expect(disk.submit(FrontOp.FLUSH, 0, 0, 40)).toBe(true);
  disk.kick();
  await settled;
  expect(told.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 41 }, (_, tag) => tag));
  for (let n = 0; n < 40; n++)
    expect(
      host
        .content('a.img')
        .subarray(n * 4096, (n + 1) * 4096)
        .equals(block(n, 3)),
    ).toBe(true);
  // One long request, both ways, without a copy.
  granted.fill(9);
  await disk.write(0, granted);
  granted.fill(0);
  const read = new Promise((resolve) => {
    disk.onDone = (tag) => resolve(tag);
  });
  disk.submit(FrontOp.READ, 0, granted, 77);
  disk.kick();
  expect(await read).toBe(77);
  expect(Buffer.alloc(40 * 4096, 9).equals(granted)).toBe(true);
  expect(() => disk.submit(FrontOp.READ, 0, new Uint8Array(100), 1)).toThrow('whole sectors');
});

describe('more than reads and writes', () => {
  test('flush, barrier with and without data, discard, secure where the disk cannot', async () => {
    const guest = await host.guest();
    await attachDisk(host.dom0, guest.domid, 51712, { params: host.file('a.img', 64) });
    const disk = await guest.disk(51712);
    expect(disk.properties).toMatchObject({ flush: true, barrier: true, discard: { secure: false } });
    const writes = [
      disk.write(0, block(0, 1)),
      disk.writeBarrier(0, block(0, 2)),
      disk.write(0, block(0, 3)),
    ];
    await Promise.all(writes);
    expect(host.content('a.img').subarray(0, 4096).equals(block(0, 3))).toBe(true);
    await disk.writeBarrier(0, new Uint8Array(0));
    await disk.flush();
    await disk.discard(0, 8, 'secure');
    expect(host.content('a.img').subarray(0, 4096).equals(Buffer.alloc(4096))).toBe(true);
    await expect(disk.discard(60, 8)).rejects.toThrow('could not discard at sector 60');
  });

  test('a disk to be read only, without discards: what is not offered is refused, and flush is at rest', async () => {
    const guest = await host.guest();
    const keys = { params: host.file('a.img', 64), mode: 'r', 'discard-enable': '0' };
    await attachDisk(host.dom0, guest.domid, 51712, keys);
    const disk = await guest.disk(51712);
    expect(disk.properties).toMatchObject({ info: 4, barrier: false, discard: undefined });
    await disk.flush();
    await expect(disk.discard(0, 8)).rejects.toThrow('does not support');
    await expect(disk.writeBarrier(0, block(0, 1))).rejects.toThrow('does not support');
    await expect(disk.write(0, block(0, 1))).rejects.toThrow('could not write at sector 0');
    expect(await disk.read(0, 8)).toEqual(new Uint8Array(4096));
  });
});

/** Writes versions of all blocks until told to stop; then the last version is the content. */
class Load {
  #stopped = false;
  readonly #running: Promise<number>;
  constructor(disk: FrontDisk) {
    this.#running = this.#run(disk);
  }
  async #run(disk: FrontDisk): Promise<number> {
    let version = 1;
    for (; !this.#stopped; version++) {
      await writeAll(disk, version);
      const read = await Promise.all(Array.from({ length: 20 }, (_, n) => disk.read(n * 8, 8)));
      for (const [n, bytes] of read.entries())
        expect(Buffer.from(bytes).equals(block(n, version))).toBe(true);
    }
    return version - 1;
  }
  stop(): Promise<number> {
    this.#stopped = true;
    return this.#running;
  }
}

describe('a connection that ends, with requests under way', () => {
  async function loaded(): Promise<{ disk: FrontDisk; load: Load; domid: number; shown: () => number }> {
    const found = await connected();
    return { ...found, load: new Load(found.disk) };
  }

  async function connected(): Promise<{ disk: FrontDisk; domid: number; shown: () => number }> {
    let shown = 0;
    let found: ((disk: FrontDisk) => void) | undefined;
    const there = new Promise<FrontDisk>((resolve) => {
      found = resolve;
    });
    const onDisk = (_: number, disk: FrontDisk): void => {
      shown++;
      found?.(disk);
    };
    const guest = await host.guest({ queues: 2, onDisk });
    await attachDisk(host.dom0, guest.domid, 51712, { params: host.file('a.img', 8192) });
    const disk = await there;
    return { disk, domid: guest.domid, shown: () => shown };
  }

  test('its backend closes and stays: connected again, the same disk, nothing lost', async () => {
    const { load, domid, shown } = await loaded();
    for (let i = 0; i < 3; i++) {
      await host.dom0.write(`${back(domid)}/state`, '5');
      await connections(i + 2);
    }
    expectLast(await load.stop());
    expect(shown()).toBe(1);
  });

  test('the guest goes through the handshake again, as after a resume', async () => {
    const { disk, load, shown } = await loaded();
    for (let i = 0; i < 3; i++) {
      disk.reconnect();
      await connections(i + 2);
    }
    expectLast(await load.stop());
    expect(shown()).toBe(1);
  });

  test('the guest leaves: what is under way is finished, and the backend waits for it to come back', async () => {
    const { disk, load, domid } = await loaded();
    const done = load.stop();
    await done;
    disk.leave();
    await until(host.dom0, `${back(domid)}/state`, (state) => state === '6');
    expect(await host.dom0.findText(`/local/domain/${domid}/device/vbd/51712/state`)).toBe('6');
    disk.reconnect();
    await until(host.dom0, `${back(domid)}/state`, (state) => state === '4');
    expect(await disk.read(0, 1)).toHaveLength(512);
  });

  test('the toolstack takes the disk away, in good order and by force: requests fail, the guest goes on', async () => {
    for (const how of ['in order', 'by force'] as const) {
      const { disk, domid } = await connected();
      const failed = expect(
        (async () => {
          for (;;) await writeAll(disk, 1);
        })(),
      ).rejects.toThrow('could not');
      if (how === 'in order') {
        await host.dom0.transaction(async (tx) => {
          await tx.write(`${back(domid)}/online`, '0');
          await tx.write(`${back(domid)}/state`, '5');
        });
        await until(host.dom0, `${back(domid)}/state`, (state) => state === '6');
      }
      await host.dom0.rm(back(domid));
      await host.dom0.rm(`/local/domain/${domid}/device/vbd/51712`);
      await failed;
      expect(disk.ended).toBe('the device is gone');
      expect(disk.submit(FrontOp.FLUSH, 0, 0, 1)).toBe(false);
    }
  });
});

test('a kernel after kexec finds rings that are not its own, and has its disk all the same', async () => {
  const guest = await host.guest();
  const path = host.file('a.img', 64);
  await attachDisk(host.dom0, guest.domid, 51712, { params: path });
  await (await guest.disk(51712)).write(0, block(1, 1));
  await guest.halt();
  writeFileSync(path, block(2, 2));
  const next = await host.driven(guest, { queues: 2 });
  expect(Buffer.from(await (await next.disk(51712)).read(0, 8)).equals(block(2, 2))).toBe(true);
});

/** The backend has connected with the guest so many times. */
async function connections(count: number): Promise<void> {
  await expect.poll(() => host.log.filter((line) => line.includes(': connected: ')).length).toBe(count);
}

function expectLast(version: number): void {
  expect(version).toBeGreaterThan(0);
  expectAll(host.content('a.img'), version);
}
