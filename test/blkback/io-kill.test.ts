// A backend that dies between any two of its stores into a ring: whoever attaches finds each request or its response, never half of it,
// nothing twice and nothing lost. Its transfers in the kernel end before another's begin.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { layoutOf } from '../../blkback/core/blkif.ts';
import { RawDisks } from '../../blkback/disk/raw.ts';
import { BackRing } from '../../blkback/io/ring.ts';
import { Ports } from '../../osdep/ports.ts';
import { Front } from '../../osdep/ring/slotring.ts';
import { RecordFile, RingRecord } from '../../xenstored/client/ringrecord.ts';
import { dying, dyingGnttab, killedAt, sharedPage } from '../osdep/dying.ts';
import { attachDisk, DiskHost } from './io-host.ts';
import { slotOf } from './slots.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'blkback-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

describe.each(['x86_64-abi', 'x86_32-abi'] as const)('a ring of %s', (protocol) => {
  const layout = layoutOf(protocol);

  /** A guest's ring of a machine, and a way to attach to it. */
  function scene(): { readonly front: Front; readonly attach: () => BackRing } {
    const { control, platform, domid, shared } = sharedPage();
    const eventChannel = platform.openEvtchn().bindUnboundPort(0);
    const front = Front.init(shared.bytes, layout.slotBytes);
    const gnttab = dyingGnttab(control.openGnttab());
    const memory = dying(new Uint8Array(3 * 4096));
    let ports: Ports | undefined;
    /** Whoever had it before is dead by now. */
    const attach = (): BackRing => {
      ports?.close();
      ports = new Ports(control.openEvtchn());
      const record = new RingRecord(memory);
      const guest = { domid, ringRefs: shared.refs, eventChannel, layout };
      return new BackRing({ ...guest, gnttab, ports, record, onEvent: () => {} });
    };
    return { front, attach };
  }

  test('dies at each store', () => {
    for (let store = 0; ; store++) {
      const { front, attach } = scene();
      const answered: number[] = [];
      const slot = new Uint8Array(layout.slotBytes);
      const collect = (): void => {
        const there = front.unconsumed();
        expect(there.ok).toBe(true);
        for (let left = there.ok ? there.slots : 0; left > 0; left--) {
          front.take(slot);
          answered.push(slot[0]!);
        }
      };
      for (let id = 1; id <= 5; id++) front.request(slotOf(layout, { op: 0, id }));
      front.publish();
      const serve = (ring: BackRing): void => {
        const there = ring.unconsumed();
        const asked = new Uint8Array(layout.slotBytes);
        for (let left = there.ok ? there.slots : 0; left > 0; left--) {
          ring.take(asked);
          // An answer is told from a request by what stands where a request has its operation.
          const response = new Uint8Array(layout.responseBytes);
          response[0] = asked[layout.id]!;
          expect(asked[0], 'a request, not an answer').toBe(0);
          ring.answer(response);
          if (left % 2 === 0) ring.publish();
        }
        ring.publish();
      };
      const first = attach();
      const killed = killedAt(store, () => serve(first));
      collect();
      // The second may be killed too, while it puts things right.
      let second: BackRing | undefined;
      for (let again = 0; second === undefined; again++)
        killedAt(again, () => {
          second = attach();
        });
      serve(second);
      collect();
      expect(answered, `killed at store ${store}`).toEqual([1, 2, 3, 4, 5]);
      if (!killed) {
        expect(store).toBeGreaterThan(100);
        return;
      }
    }
  });
});

test('a record outlives who wrote it, and a fresh device starts without one', () => {
  const path = join(directory, 'records/1-51712');
  const one = new RecordFile(path, 2, 'fresh');
  one.record(1).add(new Uint8Array(16).fill(3));
  const writer = one.record(1);
  writer.add(new Uint8Array(16).fill(4));
  writer.seal(8);
  const two = new RecordFile(path, 2, 'attach');
  expect(two.record(0).unsaid(7)).toBe(0);
  expect(two.record(1).unsaid(7)).toBe(1);
  expect(two.record(1).unsaid(8)).toBe(0);
  const unsaid = new Uint8Array(16);
  two.record(1).response(0, unsaid);
  expect(unsaid).toEqual(new Uint8Array(16).fill(4));
  const three = new RecordFile(path, 2, 'fresh');
  expect(three.record(1).unsaid(7)).toBe(0);
  for (const file of [one, two, three]) file.close();
});

test('a disk has one writer, until that one is closed; readers share it', async () => {
  const path = join(directory, 'a.img');
  writeFileSync(path, Buffer.alloc(4096));
  const disks = new RawDisks();
  const order = { path, writable: true, shared: false, discard: true };
  const writer = disks.open(order);
  const next = disks.open(order);
  expect(writer.lock()).toBe(true);
  expect(next.lock()).toBe(false);
  await writer.close();
  expect(next.lock()).toBe(true);
  await next.close();
  const readers = [disks.open({ ...order, writable: false }), disks.open({ ...order, writable: false })];
  expect(readers.map((reader) => reader.lock())).toEqual([true, true]);
  for (const reader of readers) await reader.close();
  disks.close();
});

test('a backend waits for what its predecessor has under way, and serves other disks meanwhile', async () => {
  const host = await DiskHost.start();
  const guest = await host.guest();
  const path = host.file('a.img', 64);
  await attachDisk(host.dom0, guest.domid, 51712, { params: path });
  await attachDisk(host.dom0, guest.domid, 51728, { params: host.file('b.img', 64) });
  const [a, b] = [await guest.disk(51712), await guest.disk(51728)];
  await host.stopBackend();
  // A transfer of a dead process holds the file open, and with it the lock.
  const disks = new RawDisks();
  const predecessor = disks.open({ path, writable: true, shared: false, discard: false });
  expect(predecessor.lock()).toBe(true);
  const write = a.write(0, new Uint8Array(512).fill(9));
  await host.startBackend();
  await b.write(0, new Uint8Array(512).fill(8));
  expect(host.content('a.img')[0]).toBe(0);
  await predecessor.close();
  await write;
  expect(host.content('a.img')[0]).toBe(9);
  disks.close();
  await host.stop();
});
