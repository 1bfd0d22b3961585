// Devices of a domain through the store: who serves them, what a user is told when that fails, and that nothing is left of one that is gone. The backend is
// this test; the nodes are compared with what libxl was seen to write on real Xen.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { parseCfg } from '../../toolstack/core/cfg.ts';
import { parseDisk, parseSockets, parseVif } from '../../toolstack/core/cfgdevices.ts';
import type { DeviceConfig } from '../../toolstack/core/config.ts';
import type { PlacedDevice } from '../../toolstack/core/devicenodes.ts';
import { devicesIn, filledIn } from '../../toolstack/core/deviceset.ts';
import { Fault } from '../../toolstack/io/fault.ts';
import { Hotplug } from '../../toolstack/io/hotplug.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { SimHost } from '../conformance/simhost.ts';

let host: SimHost;
let store: Client;
const names = new Map([['store', 3]]);

beforeAll(async () => {
  host = await SimHost.start(['--database', 'memory']);
  store = await connect({ path: host.socketPath });
  const ctrl = host.machine.platformFor(0).openCtrl();
  for (const domid of [2, 3, 7]) ctrl.createDomain({ domid });
});

afterAll(async () => {
  await store.close();
  await host.stop();
});

beforeEach(async () => {
  for (const tree of ['/local', '/libxl']) if (await store.exists(tree)) await store.rm(tree);
  for (const [domid, name] of [
    [2, 'blkback'],
    [3, 'store'],
    [7, 'carol'],
  ] as const) {
    await store.write(`/local/domain/${domid}/name`, name);
    await store.write(`/local/domain/${domid}/device`, '');
  }
});

function hotplug(patienceMs = 5000): Hotplug {
  return new Hotplug({
    store,
    patienceMs,
    backendOf: (kind) => (kind === 'vif' ? undefined : 2),
    domidOf: async (name) => names.get(name),
  });
}

function disk(...words: string[]): DeviceConfig {
  const parsed = parseDisk(words);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

function vif(...words: string[]): DeviceConfig {
  const parsed = parseVif(words);
  if (!parsed.ok) throw new Error(parsed.error);
  return { ...parsed.value, devid: 0, mac: parsed.value.mac ?? '00:16:3e:00:00:01' };
}

/** Answers for a backend until the device is gone: what it writes for each state that it finds. */
function serve(path: string, answers: Readonly<Record<string, () => Promise<void>>>): { stop(): void } {
  const ending = new AbortController();
  onTestFinished(() => ending.abort());
  void (async () => {
    for await (const _ of store.watch(`${path}/state`, { signal: ending.signal })) {
      const state = await store.findText(`${path}/state`);
      if (state !== undefined) await answers[state]?.();
    }
  })();
  return { stop: () => ending.abort() };
}

const BACK = '/local/domain/2/backend/vbd/7/51712';
const willing = {
  1: () => store.write(`${BACK}/state`, '2'),
  5: () => store.write(`${BACK}/state`, '6'),
};

/** Everything below, a path and its value a line. */
async function dump(top: string): Promise<string[]> {
  if (!(await store.exists(top))) return [];
  const lines = [`${top} = ${JSON.stringify(await store.readText(top))}`];
  for (const child of await store.directory(top)) lines.push(...(await dump(`${top}/${child}`)));
  return lines;
}

async function ordered(plug: Hotplug, device: DeviceConfig): Promise<PlacedDevice> {
  const placed = await plug.place(7, 'pv', device);
  await plug.order(placed);
  return placed;
}

/** As libxl makes them for a domain. */
async function directoriesOf(domid: number): Promise<void> {
  await store.write(`/local/domain/${domid}/device`, '');
  await store.setPerms(`/local/domain/${domid}/device`, ['n0', `r${domid}`]);
}

/** As `xenstore-ls -fp`. */
async function dumpPerms(top: string): Promise<string[]> {
  const perms = (await store.getPerms(top)).map(({ letter, domid }) => `${letter}${domid}`).join(',');
  const lines = [`${top} = "${await store.readText(top)}" (${perms})`];
  for (const child of await store.directory(top)) lines.push(...(await dumpPerms(`${top}/${child}`)));
  return lines;
}

test('a disk is taken on, listed, found, and leaves nothing', async () => {
  const before = await dump('/local');
  const backend = serve(BACK, willing);
  const plug = hotplug();
  const made = await plug.attach(await plug.place(7, 'pv', disk('/d.img,raw,xvda,r')));
  expect(made).toMatchObject({
    ...{ kind: 'vbd', devid: 51712, name: 'xvda', domid: 7, backendDomid: 2, target: '/d.img' },
    ...{ backendState: 2, frontendState: 1, evtchn: -1, ringRef: -1, backendPath: BACK },
  });
  await store.write('/local/domain/7/device/vbd/51712/ring-ref', '8');
  await store.write('/local/domain/7/device/vbd/51712/event-channel', '9 or so');
  const bad = '/local/domain/7/error/device/vbd/51712/error';
  await store.write(bad, '12 no \x1b[2Jmemory');
  expect(await plug.list(7)).toMatchObject([
    { name: 'xvda', ringRef: 8, evtchn: -1, error: 'carol (domain 7) says: 12 no  [2Jmemory' },
  ]);
  expect(await plug.complaints(7)).toEqual(['xvda: carol (domain 7) says: 12 no  [2Jmemory']);
  for (const text of ['xvda', '51712']) expect((await plug.find(7, 'vbd', text)).devid).toBe(51712);
  await expect(plug.find(7, 'vbd', 'xvdb')).rejects.toMatchObject({ kind: 'no device' });
  await expect(plug.attach(await plug.place(7, 'pv', disk('/e,raw,xvda')))).rejects.toThrow(
    'xvda is there already',
  );
  await store.write('/local/domain/7/error/device/vbd/51712/error', 'x');
  await plug.detach({ backendDomid: 2, kind: 'vbd', frontendDomid: 7, devid: 51712 }, 'orderly');
  backend.stop();
  expect((await dump('/local')).filter((line) => !/backend = ""|vbd = ""|error = ""/.test(line))).toEqual(
    before,
  );
  expect(await dump('/libxl/7/device/vbd')).toEqual([]);
});

test('the end of a domain takes all that it had, where its driver domains have it, too', async () => {
  const other = '/local/domain/3/backend/vbd/7/51728';
  const backends = [
    serve(BACK, willing),
    serve(other, {
      1: () => store.write(`${other}/state`, '2'),
      5: () => store.write(`${other}/state`, '6'),
    }),
  ];
  const plug = hotplug();
  await plug.attach(await plug.place(7, 'pv', disk('/d.img,raw,xvda')));
  await plug.attach(await plug.place(7, 'pv', disk('vdev=xvdb,backend=store,target=/e')));
  expect((await plug.list(7)).map(({ name, backendDomid }) => [name, backendDomid])).toEqual([
    ['xvda', 2],
    ['xvdb', 3],
  ]);
  await plug.detachAll(7);
  for (const backend of backends) backend.stop();
  expect(await plug.list(7)).toEqual([]);
  for (const path of [BACK, other, '/local/domain/7/device/vbd'])
    expect(await store.exists(path)).toBe(false);
});

test('what a backend says against a device is what its user hears, and the device is gone again', async () => {
  const backend = serve(BACK, {
    1: () => store.write('/local/domain/2/error/backend/vbd/7/51712/error', 'open /d.img: ENOENT'),
    5: () => store.write(`${BACK}/state`, '6'),
  });
  const plug = hotplug();
  const placed = await plug.place(7, 'pv', disk('/d.img,raw,xvda'));
  await expect(plug.attach(placed)).rejects.toThrow(
    new Fault('xvda: blkback (domain 2) says: open /d.img: ENOENT'),
  );
  backend.stop();
  expect(await plug.list(7)).toEqual([]);
  expect(await store.exists('/local/domain/2/error/backend')).toBe(false);
});

test('a backend that says nothing is waited for for a while', async () => {
  const plug = hotplug(30);
  const placed = await plug.place(7, 'pv', disk('/d.img,raw,xvda'));
  await expect(plug.attach(placed)).rejects.toThrow(
    'xvda: blkback (domain 2) has not taken it on within 0.03 s',
  );
  expect(await plug.list(7)).toEqual([]);
});

test('a guest that does not let go loses an interface after a while, and a disk by force alone', async () => {
  const plug = hotplug(30);
  const { name } = await ordered(plug, disk('/d.img,raw,xvda'));
  await expect(plug.detach(name, 'orderly')).rejects.toThrow(
    'domain 7 does not let go of disk 51712: by force it has to',
  );
  expect(await store.readText('/local/domain/7/device/vbd/51712/state')).toBe('1');
  await plug.detach(name, 'force');
  const card = await ordered(plug, { ...vif(), backend: '2' } as DeviceConfig);
  await plug.detach(card.name, 'orderly');
  expect(await dump('/local/domain/2/backend')).toEqual([
    expect.any(String),
    expect.any(String),
    expect.any(String),
  ]);
  expect(await plug.list(7)).toEqual([]);
});

test('nodes are those that libxl writes', async () => {
  const recorded = readFileSync(new URL('xl/nodes-4.17.txt', import.meta.url), 'utf8');
  const lines = recorded.split('\n').filter((line) => /^\/.*= /.test(line));
  const source = recorded.match(/^# {3}.*/gm)!.map((line) => line.slice(1));
  const result = parseCfg(['name="g1"', ...source].join('\n'));
  if (!result.ok) throw new Error(result.errors[0]!.text);
  const ctrl = host.machine.platformFor(0).openCtrl();
  ctrl.createDomain({ domid: 1 });
  await directoriesOf(1);
  const plug = new Hotplug({ store, backendOf: () => 0, domidOf: async () => undefined });
  for (const device of devicesIn(filledIn(result.config, (length) => new Uint8Array(length)))) {
    const placed = await plug.place(1, 'pv', device);
    const script = `/etc/xen/scripts/${device.kind === 'vbd' ? 'block' : 'vif-bridge'}`;
    await plug.order({ ...placed, config: { ...device, script } as DeviceConfig });
  }
  const tops = ['/libxl/1/device/', '/local/domain/1/device/', '/local/domain/0/backend/'];
  const written = (await Promise.all(tops.map((top) => dumpPerms(top.slice(0, -1))))).flat();
  const devices = written.filter(
    (line) => tops.some((top) => line.startsWith(top)) && !/backend\/\w+ = /.test(line),
  );
  const directories = / = "" /;
  const of = (all: string[]): string[] => all.filter((line) => !directories.test(line)).sort();
  expect(of(devices)).toEqual(of(lines));
  // Of directories, those of the devices themselves have their permissions.
  expect(devices).toEqual(expect.arrayContaining(lines.filter((line) => /\/local.*\d = "" /.test(line))));
});

test('whoever wants no more of it does not wait', async () => {
  const plug = hotplug();
  const backend = serve(BACK, { 5: () => store.write(`${BACK}/state`, '6') });
  const wanted = new AbortController();
  const attaching = plug.attach(await plug.place(7, 'pv', disk('/d.img,raw,xvda')), wanted.signal);
  const failing = expect(attaching).rejects.toThrow(/abort/);
  wanted.abort();
  await failing;
  backend.stop();
  expect(await plug.list(7)).toEqual([]);
});

test.each([
  [vif('bridge=br0'), 'nobody serves interfaces on this host'],
  [disk('vdev=xvda,backend=nobody,target=/d'), 'backend=nobody: there is no such domain'],
  [disk('vdev=xvda,backend=9,target=/d'), 'backend=9: there is no such domain'],
  [disk('/d,qcow2,xvda'), 'xvda: format=qcow2 is not served, raw is'],
  [disk('nbd:/d,xvda'), 'xvda: script=block-nbd: there are no hotplug scripts here'],
  [disk('backendtype=qdisk,vdev=xvda,target=/d'), 'xvda: backendtype=qdisk is not served, phy is'],
  [vif('type=ioemu'), 'vif0: type=ioemu: there are no emulated interfaces'],
])('nothing is ordered of whom it cannot be had', async (device, said) => {
  await expect(hotplug().place(7, 'pv', device)).rejects.toThrow(new Fault(said));
});

test('an interface has its address told to its guest, and sockets their guest to whom serves them', async () => {
  const plug = hotplug();
  const card = await plug.place(7, 'pv', { ...vif('ip=10.53.0.9/24'), backend: '2' } as DeviceConfig);
  await plug.order(card);
  expect(await store.readText('/local/domain/7/vm-data/vif/0/address')).toBe('10.53.0.9/24');
  expect((await plug.find(7, 'vif', '00:16:3E:00:00:01')).name).toBe('vif0');
  const parsed = parseSockets([]);
  await plug.order(await plug.place(7, 'pv', { ...(parsed.ok && parsed.value), devid: 0 } as DeviceConfig));
  expect(await store.getPerms('/local/domain/7/name')).toContainEqual({ letter: 'r', domid: 2 });
  await store.rm('/local/domain/2/backend');
  await plug.detachAll(7);
  expect(await store.exists('/local/domain/7/vm-data/vif')).toBe(false);
});
