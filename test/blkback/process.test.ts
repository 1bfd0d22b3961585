// The built program beside a guest in another process: it finds its disks, also those that were there before it; killed at any moment
// under load and started again, it loses nothing, does nothing twice that could be seen, and the guest's device never leaves Connected.
import { existsSync, readFileSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { FrontDisk } from '../../blkback/front/disk.ts';
import { SeededRandom } from '../../osdep/sim/random.ts';
import { attachDisk } from './io-host.ts';
import { ProcessHost, Program } from './process-kit.ts';

let host: ProcessHost | undefined;
afterEach(async () => {
  await host?.stop();
  host = undefined;
});

function file({ directory }: ProcessHost, name: string, sectors: number): string {
  const path = join(directory, name);
  writeFileSync(path, Buffer.alloc(sectors * 512));
  return path;
}

const SECTORS = 512;
/** Some requests are indirect. */
const LONGEST = 160;

/** Reads and writes at random, many at a time; each read finds what was written before it was asked for. */
class Load {
  readonly model: Buffer = Buffer.alloc(SECTORS * 512);
  readonly #disk: FrontDisk;
  readonly #random: SeededRandom;
  readonly #underWay = new Set<Promise<void>>();
  done = 0;
  wrong = 0;

  constructor(disk: FrontDisk, seed: number) {
    this.#disk = disk;
    this.#random = new SeededRandom(seed);
  }

  /** So many more requests; those asked for last may still be under way. */
  async run(requests: number, atATime: number): Promise<void> {
    for (let i = 0; i < requests; i++) {
      while (this.#underWay.size >= atATime) await Promise.race(this.#underWay);
      const one = this.#one().then(() => {
        this.done++;
        this.#underWay.delete(one);
      });
      this.#underWay.add(one);
    }
  }

  async finish(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  async #one(): Promise<void> {
    const sector = this.#random.below(SECTORS - LONGEST);
    const sectors = 1 + this.#random.below(LONGEST);
    const [from, to] = [sector * 512, (sector + sectors) * 512];
    if (this.#random.below(20) === 0) return this.#disk.flush();
    if (this.#random.below(2) === 0) {
      const bytes = this.#random.bytes(sectors * 512);
      this.model.set(bytes, from);
      return this.#disk.write(sector, bytes);
    }
    const expected = Buffer.from(this.model.subarray(from, to));
    if (!expected.equals(await this.#disk.read(sector, sectors))) this.wrong++;
  }
}

test('a disk that is there before it, and one that comes; its end by SIGTERM leaves them connected', async () => {
  host = await ProcessHost.start();
  const guest = await host.guest();
  await attachDisk(host.dom0, guest.domid, 51712, { params: file(host, 'a.img', SECTORS) });
  const disk = await guest.disk(51712);
  await disk.write(5, new Uint8Array(512).fill(7));
  expect(await host.blkback.end('SIGTERM')).toBe(0);
  await attachDisk(host.dom0, guest.domid, 51728, { params: file(host, 'b.img', 64) });
  const [read] = [disk.read(5, 1)];
  await host.restartBackend();
  expect(await read).toEqual(new Uint8Array(512).fill(7));
  expect((await guest.disk(51728)).properties?.sectors).toBe(64);
});

test.each(['control', 'own'] as const)(
  'kill -9 under load, again and again, in its %s domain: no wrong data, and the guest notices nothing',
  async (where) => {
    host = await ProcessHost.start(where);
    const { backendDomid } = host;
    const path = file(host, 'a.img', SECTORS);
    const guest = await host.guest();
    await attachDisk(host.dom0, guest.domid, 51712, { params: path }, backendDomid);
    const load = new Load(await guest.disk(51712), 1);
    const states: (string | undefined)[] = [];
    const state = `/local/domain/${backendDomid}/backend/vbd/${guest.domid}/51712/state`;
    const watch = host.dom0.watch(state);
    await watch.ready;
    const watched = (async () => {
      for await (const _ of watch) states.push(await host.dom0.findText(state));
    })();
    for (let i = 0; i < 6; i++) {
      await load.run(30 + 17 * i, 24);
      await host.restartBackend();
    }
    await load.run(50, 24);
    await load.finish();
    expect(load.wrong).toBe(0);
    expect(readFileSync(path).equals(load.model)).toBe(true);
    await watch.close();
    await watched;
    expect(new Set(states)).toEqual(new Set(['4']));
  },
);

test('a guest that went while nobody served it leaves no record', async () => {
  host = await ProcessHost.start();
  const guest = await host.guest();
  await attachDisk(host.dom0, guest.domid, 51712, { params: file(host, 'a.img', 64) });
  await guest.disk(51712);
  const record = join(host.directory, `blkback/0/${guest.domid}-51712`);
  expect(existsSync(record)).toBe(true);
  await host.blkback.end('SIGKILL');
  await host.dom0.rm(`/local/domain/0/backend/vbd/${guest.domid}`);
  await host.restartBackend();
  expect(existsSync(record)).toBe(false);
});

test('what a disk has counted is written when it is asked for', async () => {
  host = await ProcessHost.start();
  const guest = await host.guest();
  await attachDisk(host.dom0, guest.domid, 51712, { params: file(host, 'a.img', 64) });
  const disk = await guest.disk(51712);
  await disk.write(0, new Uint8Array(3 * 512));
  await disk.read(0, 2);
  const directory = join(host.directory, 'blkback');
  // Looked for from here on; that of node:fs/promises would begin only when it is waited for.
  const written = new Promise<void>((resolve) => {
    const watcher = watch(directory, (_, name) => {
      if (name !== 'statistics-0.json') return;
      watcher.close();
      resolve();
    });
  });
  host.blkback.child.kill('SIGUSR2');
  await written;
  const { devices } = JSON.parse(readFileSync(join(directory, 'statistics-0.json'), 'utf8'));
  expect(devices[`/local/domain/0/backend/vbd/${guest.domid}/51712`]).toMatchObject({
    rd_req: 1,
    rd_sect: 2,
    wr_req: 1,
    wr_sect: 3,
    errors: 0,
  });
});

test('a second one beside it: one line and 1, and the guest notices nothing', async () => {
  host = await ProcessHost.start();
  const guest = await host.guest();
  await attachDisk(host.dom0, guest.domid, 51712, { params: file(host, 'a.img', 64) });
  const disk = await guest.disk(51712);
  const second = new Program('blkback', ['--platform', 'sim', '--run', host.directory], {}, 'never');
  expect(await second.ended).toBe(1);
  expect(second.said).toBe("blkback: another blkback serves domain 0's devices: stop that one first\n");
  await disk.write(1, new Uint8Array(512).fill(3));
  const { domid } = guest;
  expect(await host.dom0.findText(`/local/domain/0/backend/vbd/${domid}/51712/state`)).toBe('4');
});

test('a flag that is none, and a platform that is none: one line and 1', async () => {
  for (const args of [['--nonsense'], ['--platform', 'kvm'], ['--look-out', 'long'], ['--statistics', '0']]) {
    const program = new Program('blkback', args, {}, 'never');
    expect(await program.ended).toBe(1);
    expect(program.said.split('\n').filter(Boolean)).toHaveLength(1);
  }
});

test.skipIf(existsSync('/dev/xen/evtchn'))('on a machine without Xen it says so and ends', async () => {
  const program = new Program('blkback', ['--platform', 'xen'], {}, 'never');
  expect(await program.ended).toBe(1);
  expect(program.said).toMatch(/^blkback: .*\/dev\/xen\/evtchn.*\n$/);
});
