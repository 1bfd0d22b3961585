// A guest that writes its own rings and keys, and a mistake of ours in its service: what breaks is its own interface; others' packets flow all the
// time. (What single slots can do is in vif-tx.test.ts and vif-rx.test.ts.)
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PacketPool } from '../../netback/vif/core/packets.ts';
import { Vif } from '../../netback/vif/core/vif.ts';
import type { NetHost } from '../../netback/vif/front/host.ts';
import { until } from '../blkback/io-host.ts';
import { attachVif, PacketHost } from './io-host.ts';
import { frameOf, tcpFrame, txSlot } from './kit.ts';
import { RawGuest } from './rawguest.ts';

const MAC = '00:16:3e:00:00:09';
const FROM = Uint8Array.of(0, 0x16, 0x3e, 0, 0, 9);
const TO = Uint8Array.of(0, 0x16, 0x3e, 0, 0, 1);

let host: PacketHost;
let one: NetHost;
let flows: Promise<void>;
let stopFlow: () => void;

/** Two guests ping each other from now on; rejects when they cannot. */
async function flow(): Promise<void> {
  let stopped = false;
  stopFlow = () => {
    stopped = true;
  };
  for (let size = 1; !stopped; size = (size * 7) % 5003) {
    const bytes = new Uint8Array(size).fill(size);
    expect(await one.ping('10.0.0.2', bytes)).toEqual(bytes);
    // The others want a processor, too.
    await setTimeout(2);
  }
}

beforeEach(async () => {
  host = await PacketHost.start();
  const hosts: NetHost[] = [];
  for (const last of [1, 2]) {
    const guest = await host.guest(`10.0.0.${last}`);
    await attachVif(host.dom0, guest.domid, `00:16:3e:00:00:0${last}`);
    hosts.push(await guest.host);
  }
  one = hosts[0]!;
  flows = flow();
});
afterEach(async () => {
  vi.restoreAllMocks();
  stopFlow();
  await flows;
  await host.stop();
});

const status = (response: Uint8Array): number => ((response[2]! | (response[3]! << 8)) << 16) >> 16;

function setIndex(guest: RawGuest, ring: number, value: number): void {
  const page = guest.pages.page(ring);
  new DataView(page.buffer, page.byteOffset).setUint32(0, value, true);
}

describe('is closed, with a line that says why', () => {
  test.each([
    ['tx ring 0', 257, 0],
    ['tx ring 0', 0xffff_fff0, 0],
    ['control ring', 1000, 2],
  ])('%s with an index of %d', async (name, value, ring) => {
    const guest = await RawGuest.boot(host, MAC);
    await guest.connect();
    setIndex(guest, ring, value);
    guest.notify('data');
    guest.notify('control');
    expect(await guest.error()).toBe(`${name}: more requests than it has slots`);
  });

  test('an index of the rx ring, when there is something for it', async () => {
    const guest = await RawGuest.boot(host, MAC);
    await guest.connect();
    setIndex(guest, 1, 0x8000_0000);
    void one.ping('10.0.0.9', new Uint8Array(1)).catch(() => {});
    expect(await guest.error()).toBe('rx ring 0: more requests than it has slots');
  });

  test.each([
    ['a ring that is not granted', { 'tx-ring-ref': '4000' }, 'tx ring 0: 4000 cannot be mapped: EINVAL'],
    ["a port that is nobody's", { 'event-channel': '900' }, 'port 900 cannot be bound: EINVAL'],
  ])('%s', async (_, keys, line) => {
    const guest = await RawGuest.boot(host, MAC);
    void guest.connect(keys).catch(() => {});
    expect(await guest.error()).toBe(line);
  });

  test('a mistake of ours in its service', async () => {
    const guest = await RawGuest.boot(host, MAC);
    await guest.connect();
    const { take } = Vif.prototype;
    vi.spyOn(Vif.prototype, 'take').mockImplementation(function (this: Vif, queue, slots, count) {
      if (slots[8] === 0x77) throw new RangeError('no room for a copy');
      take.call(this, queue, slots, count);
    });
    guest.tx.request(txSlot({ gref: guest.gref(0), id: 0x77, size: 60 }));
    guest.send(guest.tx);
    expect(await guest.error()).toBe('internal error: no room for a copy');
  });

  test('a mistake of ours between two steps of its service leaves nothing behind', async () => {
    const guest = await RawGuest.boot(host, MAC);
    await guest.connect();
    guest.page(0).set(frameOf(TO, FROM));
    const { copiedTx } = Vif.prototype;
    vi.spyOn(Vif.prototype, 'copiedTx').mockImplementation(function (this: Vif, copies, now) {
      if (this.port === 2) throw new RangeError('packet released twice');
      copiedTx.call(this, copies, now);
    });
    guest.tx.request(txSlot({ gref: guest.gref(0), id: 1, size: 60 }));
    guest.send(guest.tx);
    expect(await guest.error()).toBe('internal error: packet released twice');
  });
});

test('a mistake of ours while a packet is made fit for somebody costs whoever that is', async () => {
  const guest = await RawGuest.boot(host, MAC);
  await guest.connect({ 'feature-no-csum-offload': '1' });
  const other = await RawGuest.boot(host, '00:16:3e:00:00:08');
  await other.connect();
  const stream = { source: '10.0.0.8', sourcePort: 1, to: '10.0.0.9', toPort: 2, toMac: FROM };
  const frame = tcpFrame({ ...stream, fromMac: Uint8Array.of(0, 0x16, 0x3e, 0, 0, 8), length: 60 });
  const { release } = PacketPool.prototype;
  vi.spyOn(PacketPool.prototype, 'release').mockImplementation(function (this: PacketPool, packet) {
    if (this.lengths[packet] === 60 && new Error('here').stack?.includes('#complete'))
      throw new RangeError('packet released twice');
    release.call(this, packet);
  });
  other.page(0).set(frame);
  other.tx.request(txSlot({ gref: other.gref(0), size: 60, flags: 1 }));
  other.send(other.tx);
  expect(await guest.error()).toBe('internal error: packet released twice');
});

test('a page that cannot be read costs its packet alone; the next one goes', async () => {
  const guest = await RawGuest.boot(host, MAC);
  await guest.connect();
  guest.page(0).set(frameOf(TO, FROM));
  for (const gref of [3999, guest.gref(0), 0xffff_ffff, guest.gref(0)])
    guest.tx.request(txSlot({ gref, size: 60 }));
  guest.send(guest.tx);
  expect((await guest.take(guest.tx, 4)).map(status)).toEqual([-1, 0, -1, 0]);
});

test('a page that cannot be written makes an error of its slot', async () => {
  const guest = await RawGuest.boot(host, MAC, 2);
  await guest.connect();
  guest.post(1, 3999);
  guest.post(2, guest.gref(1));
  guest.send(guest.rx);
  // Who that is asks twice.
  void one.ping('10.0.0.9', new Uint8Array(1)).catch(() => {});
  const [first, second] = await guest.take(guest.rx, 2);
  expect([first![0], ((first![6]! | (first![7]! << 8)) << 16) >> 16]).toEqual([1, -1]);
  expect([second![0], second![6]! | (second![7]! << 8)]).toEqual([2, 60]);
});

test('a storm of events leaves the port shut until the next tick, and then all goes on', async () => {
  const guest = await RawGuest.boot(host, MAC);
  await guest.connect();
  guest.page(0).set(frameOf(TO, FROM));
  for (let i = 0; i < 2000; i++) {
    guest.notify();
    if (i % 10 === 0) await new Promise(setImmediate);
  }
  guest.tx.request(txSlot({ gref: guest.gref(0), size: 60 }));
  guest.send(guest.tx);
  expect((await guest.take(guest.tx, 1)).map(status)).toEqual([0]);
  const { idleEvents, delayedEvents } = host.statistics(guest.domid)!;
  expect(delayedEvents).toBeGreaterThan(0);
  // Of 2000 most were never heard of.
  expect(idleEvents).toBeLessThan(1000);
});

test.each([
  ['that cannot be', [0x8000_0000]],
  ['that comes and goes', [1, 0]],
])('nor does a storm cost more because of an index of the rx ring %s', async (_, values) => {
  const guest = await RawGuest.boot(host, MAC);
  await guest.connect();
  for (let i = 0; i < 2000; i++) {
    setIndex(guest, 1, values[i % values.length]!);
    guest.notify();
    if (i % 7 === 0) await new Promise(setImmediate);
  }
  expect(host.statistics(guest.domid)!.delayedEvents).toBeGreaterThan(0);
});

test('who takes nothing keeps no memory from others (XSA-392)', async () => {
  const guest = await RawGuest.boot(host, MAC, 2);
  await guest.connect();
  const other = await RawGuest.boot(host, '00:16:3e:00:00:08', 2);
  await other.connect({ 'feature-sg': '1' });
  other.page(0).set(frameOf(FROM, Uint8Array.of(0, 0x16, 0x3e, 0, 0, 8), 4096));
  for (let sent = 0; sent < 6000; sent += 200) {
    for (let i = 0; i < 100; i++) {
      other.tx.request(txSlot({ gref: other.gref(0), size: 8000, flags: 4 }));
      other.tx.request(txSlot({ gref: other.gref(0), size: 4000 }));
    }
    other.send(other.tx);
    await other.take(other.tx, 200);
  }
  expect(host.statistics(guest.domid)!.rxDropped).toBeGreaterThan(1000);
  // What it has posted now is filled with the oldest that is left.
  guest.post(7, guest.gref(1));
  guest.send(guest.rx);
  await one.ping('10.0.0.2', new Uint8Array(60_000));
});

test('connecting and letting go in a loop (XSA-350)', async () => {
  const guest = await RawGuest.boot(host, MAC);
  await guest.connect();
  for (let i = 0; i < 20; i++) for (const state of ['5', '6', '1', '4']) await guest.enter(state);
  await guest.enter('6');
  await until(host.dom0, `${guest.back}/state`, (state) => state === '6');
  await guest.enter('1');
  await guest.connect();
});

test('a guest that dies with packets on their way leaves nothing of it mapped', async () => {
  const guest = await RawGuest.boot(host, MAC);
  await guest.connect();
  guest.page(0).set(frameOf(TO, FROM));
  for (let i = 0; i < 200; i++) guest.tx.request(txSlot({ gref: guest.gref(0), size: 60 }));
  guest.send(guest.tx);
  void one.ping('10.0.0.9', new Uint8Array(1)).catch(() => {});
  const ctrl = host.sim.machine.platformFor(0).openCtrl();
  ctrl.destroyDomain(guest.domid);
  for (const path of [`/local/domain/${guest.domid}`, guest.back]) await host.dom0.rm(path);
  await vi.waitFor(() => expect(ctrl.getDomainInfo(guest.domid)).toBeUndefined());
});
