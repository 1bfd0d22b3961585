// A guest of 32 bits with several rings of several pages: each ring has its own port and answers, one disk is behind them all, and another
// backend goes on with all of them.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BlkifOp, BlkifStatus, layoutOf } from '../../blkback/core/blkif.ts';
import { Front } from '../../osdep/ring/slotring.ts';
import { attachDisk, DiskHost, until } from './io-host.ts';
import { type Asked, type Response, readResponse, slotOf } from './slots.ts';

const layout = layoutOf('x86_32-abi');
const QUEUES = 3;

let host: DiskHost;
beforeEach(async () => {
  host = await DiskHost.start();
});
afterEach(() => host.stop());

test('three rings of two pages', async () => {
  const { platform, store, domid } = await host.bareGuest();
  await attachDisk(host.dom0, domid, 51712, { params: host.file('a.img', 64) });
  const back = `/local/domain/0/backend/vbd/${domid}/51712`;
  await until(host.dom0, `${back}/state`, (state) => state === '2');
  const gntshr = platform.openGntshr();
  const evtchn = platform.openEvtchn();
  const data = gntshr.sharePages(0, QUEUES, 'rw');
  const waiting = new Map<number, (response: Response) => void>();
  const keys: Record<string, string> = {
    'multi-queue-num-queues': `${QUEUES}`,
    'ring-page-order': '1',
    protocol: 'x86_32-abi',
  };
  const queues = Array.from({ length: QUEUES }, (_, index) => {
    const pages = gntshr.sharePages(0, 2, 'rw');
    const port = evtchn.bindUnboundPort(0);
    keys[`queue-${index}/event-channel`] = `${port}`;
    for (const [page, ref] of pages.refs.entries()) keys[`queue-${index}/ring-ref${page}`] = `${ref}`;
    return { port, front: Front.init(pages.bytes, layout.slotBytes) };
  });
  evtchn.onReadable(() => {
    for (let fired = evtchn.pending(); fired !== undefined; fired = evtchn.pending()) {
      evtchn.unmask(fired);
      const index = queues.findIndex(({ port }) => port === fired);
      const slot = new Uint8Array(16);
      const whole = new Uint8Array(layout.slotBytes);
      const { front } = queues[index]!;
      for (let there = front.finalCheck(); there.ok && there.slots > 0; there = front.finalCheck()) {
        front.take(whole);
        slot.set(whole.subarray(0, layout.responseBytes));
        waiting.get(index)?.(readResponse(slot));
      }
    }
  });
  const ask = (queue: number, asked: Asked): Promise<Response> =>
    new Promise((resolve) => {
      waiting.set(queue, resolve);
      const { front, port } = queues[queue]!;
      front.request(slotOf(layout, asked));
      if (front.publish()) evtchn.notify(port);
    });
  for (const [key, value] of Object.entries(keys)) await store.write(`device/vbd/51712/${key}`, value);
  await store.write('device/vbd/51712/state', '3');
  await until(host.dom0, `${back}/state`, (state) => state === '4');

  const page = (queue: number): Uint8Array => data.page(queue);
  const move = (op: number, queue: number, id: number): Promise<Response> => {
    const segments = [{ gref: data.refs[queue]!, first: 0, last: 7 }];
    return ask(queue, { op, id, sector: queue * 8, segments });
  };
  const everywhere = Array.from({ length: QUEUES }, (_, queue) => queue);
  for (const queue of everywhere) page(queue).fill(queue + 1);
  const written = await Promise.all(everywhere.map((queue) => move(BlkifOp.WRITE, queue, 100 + queue)));
  expect(written).toEqual(
    everywhere.map((queue) => ({ id: BigInt(100 + queue), op: BlkifOp.WRITE, status: BlkifStatus.OKAY })),
  );
  for (const queue of everywhere) expect(host.content('a.img')[queue * 4096 + 5]).toBe(queue + 1);

  await host.stopBackend();
  for (const queue of everywhere) page(queue).fill(0);
  const read = everywhere.map((queue) => move(BlkifOp.READ, queue, 200 + queue));
  await host.startBackend();
  for (const { status } of await Promise.all(read)) expect(status).toBe(BlkifStatus.OKAY);
  for (const queue of everywhere) expect(page(queue)[4095]).toBe(queue + 1);
});
