// A guest that writes its own rings and keys: what it breaks is its own disk, which is closed with a line in its error node; the disk
// of its neighbour goes on. (What single requests can do is in vbd-hostile.test.ts.)
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { BlkifOp, BlkifStatus, layoutOf } from '../../blkback/core/blkif.ts';
import type { FrontDisk } from '../../blkback/front/disk.ts';
import { Lookout } from '../../blkback/io/lookout.ts';
import { Page } from '../../osdep/ring/page.ts';
import { Front } from '../../osdep/ring/slotring.ts';
import { attachDisk, DiskHost, until } from './io-host.ts';
import { type Asked, type Response, readResponse, slotOf } from './slots.ts';

const layout = layoutOf('x86_64-abi');
const REQ_PROD = 0;

let host: DiskHost;
let neighbour: FrontDisk;
beforeEach(async () => {
  host = await DiskHost.start();
  const other = await host.guest();
  await attachDisk(host.dom0, other.domid, 51712, { params: host.file('neighbour.img', 64) });
  neighbour = await other.disk(51712);
});
afterEach(async () => {
  const bytes = new Uint8Array(512).fill(1);
  await neighbour.write(1, bytes);
  expect(await neighbour.read(1, 1)).toEqual(bytes);
  await host.stop();
});

interface Scene {
  readonly state: string;
  readonly error: string;
  readonly page: Page;
  readonly dataRef: number;
  ring(): void;
  ask(asked: Asked): Promise<Response>;
}

/** A guest that does the handshake by hand, with keys of its choice. */
async function hostile(keys: Readonly<Record<string, string>> = {}): Promise<Scene> {
  const { platform, store, domid } = await host.bareGuest();
  await attachDisk(host.dom0, domid, 51712, { params: host.file('hostile.img', 64) });
  const gntshr = platform.openGntshr();
  const shared = gntshr.sharePages(0, 1, 'rw');
  const data = gntshr.sharePages(0, 1, 'rw');
  const front = Front.init(shared.bytes, layout.slotBytes);
  const evtchn = platform.openEvtchn();
  const port = evtchn.bindUnboundPort(0);
  const answers = new Map<bigint, (response: Response) => void>();
  evtchn.onReadable(() => {
    for (let fired = evtchn.pending(); fired !== undefined; fired = evtchn.pending()) evtchn.unmask(fired);
    const slot = new Uint8Array(layout.slotBytes);
    for (let there = front.finalCheck(); there.ok && there.slots > 0; there = front.finalCheck()) {
      front.take(slot);
      const response = readResponse(slot);
      answers.get(response.id)?.(response);
    }
  });
  const back = `/local/domain/0/backend/vbd/${domid}/51712`;
  await until(host.dom0, `${back}/state`, (state) => state === '2');
  const published = { 'ring-ref': `${shared.refs[0]}`, 'event-channel': `${port}`, ...keys };
  for (const [key, value] of Object.entries(published)) await store.write(`device/vbd/51712/${key}`, value);
  await store.write('device/vbd/51712/state', '3');
  return {
    state: `${back}/state`,
    error: `/local/domain/0/error/backend/vbd/${domid}/51712/error`,
    page: new Page(shared.bytes),
    dataRef: data.refs[0]!,
    ring: () => evtchn.notify(port),
    ask: (asked) =>
      new Promise((resolve) => {
        answers.set(BigInt(asked.id), resolve);
        front.request(slotOf(layout, asked));
        front.publish();
        evtchn.notify(port);
      }),
  };
}

function connected(scene: Scene): Promise<string | undefined> {
  return until(host.dom0, scene.state, (state) => state === '4');
}

function complaint(scene: Scene): Promise<string | undefined> {
  return until(host.dom0, scene.error, (text) => text !== undefined);
}

test('more requests than the ring has slots: the device is closed, and its memory let go', async () => {
  const scene = await hostile();
  await connected(scene);
  scene.page.store(REQ_PROD, 4000);
  scene.ring();
  expect(await complaint(scene)).toMatch(/ring 0: more requests than the ring has slots/);
  await until(host.dom0, scene.state, (state) => state === '5' || state === '6');
});

test('an index that goes back', async () => {
  const scene = await hostile();
  await connected(scene);
  await scene.ask({ op: BlkifOp.FLUSH_DISKCACHE, id: 1 });
  scene.page.store(REQ_PROD, 0xffff_fff0);
  scene.ring();
  expect(await complaint(scene)).toMatch(/ring 0/);
});

test.each([
  ['a grant that is none', { 'ring-ref': '4000' }, 'ring-ref 4000 cannot be mapped: EINVAL'],
  ['a port that is none', { 'event-channel': '1000' }, 'event-channel 1000 cannot be bound: EINVAL'],
  ['no number at all', { 'ring-ref': '-1' }, 'ring-ref'],
  ['more rings than were offered', { 'multi-queue-num-queues': '100000' }, 'multi-queue-num-queues'],
])('%s: a line, and no connection', async (_, keys, said) => {
  expect(await complaint(await hostile(keys))).toMatch(new RegExp(said));
});

test('grants that are none, in requests of every kind, cost these requests', async () => {
  const scene = await hostile();
  await connected(scene);
  const segments = [{ gref: 77_777, first: 0, last: 7 }];
  const indirect = { op: BlkifOp.READ, count: 20, grefs: [77_777] };
  const bad: readonly Asked[] = [
    { op: BlkifOp.READ, id: 1, sector: 0, segments },
    { op: BlkifOp.WRITE, id: 2, sector: 0, segments },
    { op: BlkifOp.INDIRECT, id: 3, sector: 0, indirect },
  ];
  for (const asked of bad) expect((await scene.ask(asked)).status, `${asked.id}`).toBe(BlkifStatus.ERROR);
  const good = [{ gref: scene.dataRef, first: 0, last: 7 }];
  const fine = await scene.ask({ op: BlkifOp.WRITE, id: 4, sector: 0, segments: good });
  expect(fine.status).toBe(BlkifStatus.OKAY);
});

test('events without end and without requests: a request is still answered', async () => {
  const scene = await hostile();
  await connected(scene);
  for (let i = 0; i < 3000; i++) {
    scene.ring();
    if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  expect((await scene.ask({ op: BlkifOp.FLUSH_DISKCACHE, id: 9 })).status).toBe(BlkifStatus.OKAY);
});

test('an event without a request is nothing to stay awake for', async () => {
  const scene = await hostile();
  await connected(scene);
  await scene.ask({ op: BlkifOp.FLUSH_DISKCACHE, id: 9 });
  const wake = vi.spyOn(Lookout.prototype, 'wake');
  const serve = vi.spyOn(Lookout.prototype, 'serve');
  while (wake.mock.calls.length + serve.mock.calls.length < 20) {
    scene.ring();
    await new Promise((resolve) => setImmediate(resolve));
  }
  // The first is counted to the request.
  expect(wake.mock.calls.length).toBeLessThan(2);
  vi.restoreAllMocks();
});

test('a mistake of ours costs the disk in whose service it shows', async () => {
  host.wrap = (medium) => ({
    ...medium,
    disk: medium.disk,
    name: medium.name,
    physicalSectorSize: medium.physicalSectorSize,
    discard: medium.discard,
    lock: () => medium.lock(),
    refresh: () => {},
    queue: (onDone, onTold) => {
      const queue = medium.queue(onDone, onTold);
      return {
        ...queue,
        depth: queue.depth,
        room: 8,
        manner: queue.manner,
        advance: () => {},
        ready: false,
        waking: true,
        visible: true,
        flush: () => {
          throw new Error('this cannot be');
        },
        close: () => queue.close(),
      };
    },
    close: () => medium.close(),
  });
  const scene = await hostile();
  await connected(scene);
  void scene.ask({ op: BlkifOp.FLUSH_DISKCACHE, id: 1 });
  expect(await complaint(scene)).toMatch(/internal error: this cannot be/);
  await until(host.dom0, scene.state, (state) => state === '5' || state === '6');
});
