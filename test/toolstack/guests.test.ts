// A guest's end in the store, whoever dies meanwhile; and the files that its disks are in. Our daemon, on the simulator within this process.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { devicesOf } from '../../toolstack/core/devices.ts';
import type { Crew } from '../../toolstack/io/crew.ts';
import { makeDisk } from '../../toolstack/io/devices.ts';
import { Domains } from '../../toolstack/io/domains.ts';
import { Guests } from '../../toolstack/io/guests.ts';
import type { Surroundings } from '../../toolstack/io/services.ts';
import { type Client, connect, XenstoreError } from '../../xenstored/client/index.ts';
import { SimHost } from '../conformance/simhost.ts';

/** One of its transactions is done and not answered. */
function dyingAt(store: Client, place: number): Client {
  let turn = 0;
  return afterEach(store, async () => {
    if (turn++ === place) throw new XenstoreError('ECONNRESET', 'TRANSACTION_END');
  });
}

/** Something is done after each of its transactions. */
function afterEach(store: Client, done: () => Promise<void>): Client {
  return new Proxy(store, {
    get: (target, name) => {
      if (name !== 'transaction') return Reflect.get(target, name, target).bind(target);
      return async (...args: Parameters<Client['transaction']>) => {
        const answer = await target.transaction(...args);
        await done();
        return answer;
      };
    },
  });
}

interface Town {
  readonly guests: Guests;
  readonly there: Surroundings;
  readonly domid: number;
}

/** Alice, with so many disks, an interface and sockets; whoever serves them lets go of each when asked to. */
async function town(
  diskCount: number,
  { servedBy, seen = async () => {} }: { servedBy?: string; seen?: (store: Client) => Promise<void> } = {},
): Promise<Town> {
  const sim = await SimHost.start(['--database', 'memory']);
  const own = await connect({ path: sim.socketPath });
  const store = afterEach(own, () => seen(own));
  onTestFinished(async () => {
    await store.close();
    await sim.stop();
  });
  const guests = new Guests({
    crew: {} as Crew,
    run: sim.directory,
    command: () => ({ file: '', args: [], env: {}, ready: /./ }),
    changed: () => {},
    print: () => {},
    leaving: () => false,
  });
  const there = { domains: new Domains(sim.machine.platformFor(0).openCtrl()), store, storeDomid: 0 };
  const disks = Array.from({ length: diskCount }, () => ({ sizeMb: 1, mode: 'w' as const }));
  const alice = {
    name: 'alice',
    memoryMb: 1,
    vcpus: 1,
    greets: [],
    disks,
    vifs: [{}],
    sockets: [{}, {}],
    fetches: [],
  };
  await guests.create(alice, there);
  const { domid } = guests.states()[0]!;
  if (servedBy !== undefined) await guests.create({ ...alice, name: servedBy }, there);
  const backendDomid = servedBy === undefined ? 0 : guests.states()[1]!.domid;
  for (const device of devicesOf(alice, 0)) {
    await guests.attach('alice', device, backendDomid, there);
    const back = `/local/domain/${backendDomid}/backend/${device.kind}/${domid}/${device.devid}`;
    void (async () => {
      for await (const _ of store.watch(`${back}/state`))
        if ((await store.findText(`${back}/state`)) === '5') await store.write(`${back}/state`, '6');
    })().catch(() => {});
  }
  return { guests, there, domid };
}

test.each([0, 1, 2, 3, 4])(
  "a store that dies with a guest (%d) leaves nothing of the guest's",
  async (place) => {
    const { guests, there, domid } = await town(1);
    const { store } = there;
    await guests.destroy('alice', { ...there, store: dyingAt(store, place) });
    expect(await store.exists(`/local/domain/${domid}`)).toBe(false);
    for (const kind of ['vbd', 'vif', 'pvcalls'])
      expect(await store.exists(`/local/domain/0/backend/${kind}/${domid}`)).toBe(false);
    expect(await store.directory('/vm')).toEqual([]);
    expect(await store.directory('/libxl')).toEqual([]);
    expect(guests.states()).toEqual([]);
  },
);

test('whoever serves sockets may read from the first moment on whose they are', async () => {
  const told: string[] = [];
  const seen = async (store: Client): Promise<void> => {
    if (!(await store.exists('/local/domain/2/backend/pvcalls'))) return;
    const perms = await store.getPerms('/local/domain/1/name');
    told.push(perms.map(({ letter, domid }) => `${letter}${domid}`).join());
  };
  await town(0, { servedBy: 'xensock', seen });
  expect(told).toEqual(['n0,r1,r2', 'n0,r1,r2']);
});

test('a guest with many disks goes without a word', async () => {
  const warnings: Error[] = [];
  const warned = (warning: Error): void => void warnings.push(warning);
  process.on('warning', warned);
  onTestFinished(() => void process.off('warning', warned));
  const { guests, there } = await town(12);
  await guests.destroy('alice', there);
  await new Promise(setImmediate);
  expect(warnings).toEqual([]);
});

test("a disk's file is made where it is missing or was left empty, and nothing else is taken for one", () => {
  const top = mkdtempSync(join(tmpdir(), 'stubdom0-disks-'));
  onTestFinished(() => rmSync(top, { recursive: true }));
  const path = join(top, 'disks/a.img');
  makeDisk(path, { sizeMb: 2, archive: [] });
  makeDisk(path, { sizeMb: 3, archive: [] });
  expect(statSync(path)).toMatchObject({ size: 2 << 20, mode: 0o100600 });
  const one = { sizeMb: 1, archive: [] };
  writeFileSync(join(top, 'empty'), '');
  makeDisk(join(top, 'empty'), one);
  expect(statSync(join(top, 'empty')).size).toBe(1 << 20);
  mkdirSync(join(top, 'directory'));
  mkdirSync(join(top, 'site'));
  writeFileSync(join(top, 'site/index.html'), 'hello');
  writeFileSync(join(top, '-dash'), '');
  const archive = [join(top, 'site'), join(top, 'empty'), join(top, '-dash')];
  makeDisk(join(top, 'site.img'), { sizeMb: 1, archive });
  expect(spawnSync('tar', ['-tf', join(top, 'site.img')], { encoding: 'utf8' }).stdout.split('\n')).toEqual([
    './',
    './index.html',
    'empty',
    '-dash',
    '',
  ]);
  expect(statSync(join(top, 'site.img')).size % 512).toBe(0);
  expect(() => makeDisk(join(top, 'b.img'), { sizeMb: 1, archive: [join(top, 'none')] })).toThrow(/none/);
  // The kernel says that it has 4096 bytes.
  const shrinks = '/sys/devices/system/cpu/online';
  expect(() => makeDisk(join(top, 'b.img'), { sizeMb: 1, archive: [shrinks] })).toThrow(/b\.img: .*shrank/);
  expect(readdirSync(top).filter((name) => name.startsWith('b.img'))).toEqual([]);
  expect(() => makeDisk(join(top, 'directory'), one)).toThrow(
    /directory is neither a file nor a block device$/,
  );
  expect(() => makeDisk(join(path, 'below'), one)).toThrow(/ENOTDIR/);
});
