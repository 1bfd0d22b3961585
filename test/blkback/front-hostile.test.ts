// A backend that means harm: what it answers that cannot be ends this disk with a line in the guest's error node, and the guest goes on. It
// sees no byte that was not meant for it, and what it has not filled is never handed out as another's data.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BlkifOp, BlkifStatus, layoutOf, readU16, readU32 } from '../../blkback/core/blkif.ts';
import type { FrontDisk } from '../../blkback/front/disk.ts';
import { FrontOp } from '../../blkback/front/requests.ts';
import { Page } from '../../osdep/ring/page.ts';
import { Back } from '../../osdep/ring/slotring.ts';
import { attachDisk, DiskHost, until } from './io-host.ts';

const layout = layoutOf('x86_64-abi');
const RSP_PROD = 8;

let host: DiskHost;
beforeEach(async () => {
  host = await DiskHost.start();
  await host.stopBackend();
});
afterEach(() => host.stop());

interface Scene {
  readonly disk: FrontDisk;
  readonly back: Back;
  readonly ring: Page;
  /** The guest's page that the first request's first segment names. */
  granted(slot: Uint8Array): Uint8Array;
  /** The next request, once it is there. */
  request(): Promise<Uint8Array>;
  answer(response: { readonly id: number; readonly op: number; readonly status: number }): void;
  ringBell(): void;
  /** The guest's complaint. */
  error(): Promise<string | undefined>;
}

/** A disk whose backend the test is. */
async function scene(properties: Readonly<Record<string, string>> = {}, trusted = '1'): Promise<Scene> {
  const guest = await host.guest();
  const { dom0 } = host;
  await attachDisk(dom0, guest.domid, 51712, { params: 'ours' });
  const front = `/local/domain/${guest.domid}/device/vbd/51712`;
  const path = `/local/domain/0/backend/vbd/${guest.domid}/51712`;
  await dom0.write(`${front}/trusted`, trusted);
  const keys = {
    sectors: '1000',
    'sector-size': '512',
    'feature-max-indirect-segments': '64',
    ...properties,
  };
  for (const [key, value] of Object.entries(keys)) await dom0.write(`${path}/${key}`, value);
  await dom0.write(`${path}/state`, '2');
  await until(dom0, `${front}/state`, (state) => state === '3');
  const platform = host.sim.machine.platformFor(0);
  const gnttab = platform.openGnttab();
  const evtchn = platform.openEvtchn();
  const numberOf = async (key: string): Promise<number> => Number(await dom0.readText(`${front}/${key}`));
  const shared = gnttab.mapGrantRef(guest.domid, await numberOf('ring-ref'), 'rw');
  const port = evtchn.bindInterdomain(guest.domid, await numberOf('event-channel'));
  const back = Back.attach(shared.bytes, layout.slotBytes);
  let wake = (): void => {};
  evtchn.onReadable(() => {
    for (let fired = evtchn.pending(); fired !== undefined; fired = evtchn.pending()) evtchn.unmask(fired);
    wake();
  });
  await dom0.write(`${path}/state`, '4');
  const disk = await guest.disk(51712);
  return {
    disk,
    back,
    ring: new Page(shared.bytes),
    granted: (slot) => gnttab.mapGrantRef(guest.domid, readU32(slot, layout.segments), 'rw').bytes,
    async request() {
      for (;;) {
        const there = back.finalCheck();
        if (there.ok && there.slots > 0) break;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const slot = new Uint8Array(layout.slotBytes);
      back.take(slot);
      return slot;
    },
    answer({ id, op, status }) {
      const bytes = new Uint8Array(layout.responseBytes);
      const view = new DataView(bytes.buffer);
      view.setBigUint64(0, BigInt(id), true);
      view.setUint8(8, op);
      view.setInt16(10, status, true);
      back.respond(bytes);
      back.publish();
      evtchn.notify(port);
    },
    ringBell: () => evtchn.notify(port),
    error: () =>
      until(dom0, `/local/domain/${guest.domid}/error/device/vbd/51712/error`, (text) => text !== undefined),
  };
}

const idOf = (slot: Uint8Array): number => readU32(slot, layout.id);

describe('an answer that cannot be', () => {
  test.each([
    ['to nobody', { id: 400, op: BlkifOp.READ, status: 0 }, 'answers what is not on ring 0'],
    [
      'of a number that no request has',
      { id: 2 ** 40, op: BlkifOp.READ, status: 0 },
      'answers what is not on ring 0',
    ],
    ['of another kind', { id: 0, op: BlkifOp.WRITE, status: 0 }, 'answers operation 0 as 1'],
    ['of a kind that it was not', { id: 0, op: BlkifOp.INDIRECT, status: 0 }, 'answers operation 0 as 6'],
  ])('%s', async (_, response, said) => {
    const { disk, request, answer, error } = await scene();
    const read = expect(disk.read(0, 8)).rejects.toThrow('could not read');
    const asked = await request();
    answer({ ...response, id: response.id === 0 ? idOf(asked) : response.id });
    await read;
    expect(await error()).toContain(said);
    expect(disk.ended).toContain(said);
    await expect(disk.write(0, new Uint8Array(512))).rejects.toThrow('could not write');
  });

  test('given twice', async () => {
    const { disk, request, answer, error } = await scene();
    const reads = [disk.read(0, 8), disk.read(8, 8)] as const;
    const [first] = [await request(), await request()];
    answer({ id: idOf(first), op: BlkifOp.READ, status: 0 });
    await reads[0];
    answer({ id: idOf(first), op: BlkifOp.READ, status: 0 });
    await expect(reads[1]).rejects.toThrow('could not read');
    expect(await error()).toContain('what is not on ring 0');
  });

  test('more of them than there were requests', async () => {
    const { disk, request, ring, ringBell, error } = await scene();
    const read = expect(disk.read(0, 8)).rejects.toThrow('could not read');
    await request();
    ring.store(RSP_PROD, 5000);
    ringBell();
    await read;
    expect(await error()).toContain('more than it was asked');
  });
});

test('a status that is none is a failure, and costs its request alone', async () => {
  const { disk, request, answer } = await scene();
  for (const status of [1, 77, -3, -32768, BlkifStatus.ERROR]) {
    const read = expect(disk.read(0, 8)).rejects.toThrow('could not read');
    answer({ id: idOf(await request()), op: BlkifOp.READ, status });
    await read;
  }
  const read = disk.read(0, 8);
  answer({ id: idOf(await request()), op: BlkifOp.READ, status: 0 });
  expect(await read).toEqual(new Uint8Array(4096));
});

test('what it offered and then refuses: discard fails, flush goes another way, and in the end without', async () => {
  const offers = { 'feature-flush-cache': '1', 'feature-barrier': '1', 'feature-discard': '1' };
  const { disk, request, answer } = await scene(offers);
  const refuse = async (op: number): Promise<void> => {
    const slot = await request();
    expect(slot[0]).toBe(op);
    answer({ id: idOf(slot), op, status: BlkifStatus.EOPNOTSUPP });
  };
  const discarded = expect(disk.discard(0, 8)).rejects.toThrow('does not support');
  await refuse(BlkifOp.DISCARD);
  await discarded;
  const flushed = disk.flush();
  await refuse(BlkifOp.FLUSH_DISKCACHE);
  await refuse(BlkifOp.WRITE_BARRIER);
  await flushed;
  await disk.flush();
});

test('pages that it gets are zeroed, or what it has had before; a distrusted one gets them zeroed each time', async () => {
  for (const trusted of ['1', '0']) {
    const { disk, request, answer, granted } = await scene({}, trusted);
    const written = disk.write(0, new Uint8Array(512).fill(7));
    const first = await request();
    expect(granted(first).subarray(512)).toEqual(new Uint8Array(4096 - 512));
    answer({ id: idOf(first), op: BlkifOp.WRITE, status: 0 });
    await written;
    // It says that it has read, and has not.
    const read = disk.read(0, 1);
    const second = await request();
    answer({ id: idOf(second), op: BlkifOp.READ, status: 0 });
    expect((await read)[0]).toBe(trusted === '1' ? 7 : 0);
  }
});

describe('properties that cannot be', () => {
  test.each([
    ['a sector of no size', { 'sector-size': '1000' }, 'sector-size'],
    ['a size that is no number', { sectors: '-1' }, 'sectors'],
  ])('%s', async (_, properties, said) => {
    void scene(properties).catch(() => {});
    const error = `/local/domain/1/error/device/vbd/51712/error`;
    expect(await until(host.dom0, error, (text) => text !== undefined)).toContain(said);
  });

  test('more segments than a page describes: no longer requests for that', async () => {
    const { disk, request, answer } = await scene({ 'feature-max-indirect-segments': '4000000000' });
    expect(disk.maxBytes).toBe(1 << 20);
    const write = disk.write(0, new Uint8Array(1 << 20));
    const slot = await request();
    expect([slot[0], slot[1], readU16(slot, 2)]).toEqual([BlkifOp.INDIRECT, FrontOp.WRITE, 256]);
    // Some backends answer an indirect request with what it asked for, some as what it was.
    answer({ id: idOf(slot), op: BlkifOp.INDIRECT, status: 0 });
    await write;
  });
});
