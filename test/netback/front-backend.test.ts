// The driver of a simulated guest beside a backend that is the test: what it publishes, what stands in its slots to the bit, and what it makes of each
// answer. A backend that breaks the rules costs this interface, with a line in the guest's error node, and sees no byte that was not sent to it.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { u16, u32 } from '../../netback/vif/core/netif.ts';
import type { NetfrontWishes } from '../../netback/vif/front/driver.ts';
import { type BackEnd, everything, type FakeBackend, fakeBackend, filled, sent } from './front-backend.ts';
import { PacketHost } from './io-host.ts';

let host: PacketHost;
let fakes: FakeBackend[] = [];
beforeEach(async () => {
  host = await PacketHost.start();
  await host.stopBackend();
  fakes = [];
});
afterEach(async () => {
  for (const { close } of fakes) await close();
  await host.stop();
});

interface Scene extends FakeBackend {
  readonly tx: BackEnd;
  readonly rx: BackEnd;
  readonly buffers: Uint8Array[];
  /** Writes into the buffer that was posted as that. */
  write(id: number, offset: number, bytes: Uint8Array): void;
}

async function scene(wishes: Partial<NetfrontWishes> = {}, offers = everything): Promise<Scene> {
  const fake = await fakeBackend(host, wishes, offers);
  fakes.push(fake);
  const split = (await fake.key('event-channel')) === undefined;
  const tx = await fake.end('tx-ring-ref', split ? 'event-channel-tx' : 'event-channel', 12);
  const rx = split ? await fake.end('rx-ring-ref', 'event-channel-rx', 8) : { ...tx };
  const buffers: Uint8Array[] = [];
  while (split && rx.count > 0) buffers.push(await rx.request());
  const write = (id: number, offset: number, bytes: Uint8Array): void => {
    fake.granted(u32(buffers[id]!, 4), 'rw').set(bytes, offset);
  };
  return { ...fake, tx, rx, buffers, write };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await turn();
}

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) + 1) & 0xff);
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('what it publishes', () => {
  test('one queue, two ports, a control ring', async () => {
    const { key } = await scene();
    for (const name of [
      'tx-ring-ref',
      'rx-ring-ref',
      'event-channel-tx',
      'event-channel-rx',
      'ctrl-ring-ref',
    ])
      expect(await key(name), name).toMatch(/^\d+$/);
    expect(await key('multi-queue-num-queues')).toBe('1');
    expect(await key('request-rx-copy')).toBe('1');
    expect(await key('feature-rx-notify')).toBe('1');
    expect(await key('feature-gso-tcpv6')).toBe('1');
    expect(await key('feature-no-csum-offload')).toBe('0');
  });

  test('no more queues than are offered, each with its own keys', async () => {
    const fake = await fakeBackend(host, { queues: 8, splitPorts: false });
    fakes.push(fake);
    expect(await fake.key('multi-queue-num-queues')).toBe('4');
    const refs = new Set<string | undefined>();
    for (let queue = 0; queue < 4; queue++)
      for (const name of ['tx-ring-ref', 'rx-ring-ref', 'event-channel'])
        refs.add(`${name}=${await fake.key(`queue-${queue}/${name}`)}`);
    expect(refs.size).toBe(12);
    expect(await fake.key('tx-ring-ref')).toBeUndefined();
    expect(fake.nic.queues).toBe(4);
  });

  test('to a backend of the first days, what it knows', async () => {
    const { key, nic } = await scene({ queues: 4, multicastControl: true }, { 'feature-rx-copy': '1' });
    expect(await key('event-channel')).toMatch(/^\d+$/);
    expect(await key('ctrl-ring-ref')).toBeUndefined();
    expect(await key('multi-queue-num-queues')).toBe('1');
    expect(await key('request-multicast-control')).toBe('0');
    expect(nic.control).toBeUndefined();
    expect(() => nic.send(new Uint8Array(5000))).toThrow('one page');
    const gso = { type: 'tcpv4', size: 1000 } as const;
    expect(() => nic.send(new Uint8Array(2000), { csum: 'blank', gso })).toThrow('does not segment');
    expect(await nic.joinGroup(new Uint8Array(6))).toBe(false);
  });
});

describe('what it sends', () => {
  test('a frame of several slots, of which the first tells the length of all', async () => {
    const { nic, tx, granted } = await scene();
    const frame = pattern(9000);
    nic.send(frame);
    const slots = [await tx.request(), await tx.request(), await tx.request()];
    expect(slots.map((slot) => u16(slot, 10))).toEqual([9000, 4096, 808]);
    expect(slots.map((slot) => u16(slot, 6))).toEqual([4, 4, 0]);
    const parts = slots.map((slot) => granted(u32(slot, 0), 'r').slice(u16(slot, 4), u16(slot, 4) + 4096));
    expect(hex(Buffer.concat(parts).subarray(0, 9000))).toBe(hex(frame));
    // The rest of the last page was never anybody's.
    expect(parts[2]!.subarray(808).every((byte) => byte === 0)).toBe(true);
    expect(() => granted(u32(slots[0]!, 0), 'rw')).toThrow();
  });

  test('segmentation behind the first slot; what is left of the checksum in its flags', async () => {
    const { nic, tx } = await scene();
    nic.send(pattern(5000), { csum: 'blank', gso: { type: 'tcpv6', size: 1440 } });
    nic.send(pattern(60), { csum: 'blank' });
    nic.send(pattern(60), { csum: 'validated' });
    const slots = await Promise.all(Array.from({ length: 5 }, () => tx.request()));
    expect(slots.map((slot) => u16(slot, 6))).toEqual([1 | 2 | 4 | 8, 0, 0, 1 | 2, 2]);
    expect(hex(slots[1]!)).toBe('0100a0050200000000000000');
  });

  test('of many streams each stays in one queue, and all are used', async () => {
    const fake = await fakeBackend(host, { queues: 4 });
    fakes.push(fake);
    const ends = await Promise.all(
      [0, 1, 2, 3].map((queue) =>
        fake.end(`queue-${queue}/tx-ring-ref`, `queue-${queue}/event-channel-tx`, 12),
      ),
    );
    for (let stream = 0; stream < 32; stream++) {
      const frame = new Uint8Array(60);
      frame.set(
        [8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, stream, 0, 7],
        12,
      );
      const before = ends.map(({ count }) => count);
      fake.nic.send(frame);
      fake.nic.send(frame);
      const grown = ends.map(({ count }, queue) => count - before[queue]!);
      expect(grown.toSorted()).toEqual([0, 0, 0, 2]);
    }
    expect(ends.every(({ count }) => count > 0)).toBe(true);
  });

  test('an order to the filter, and what becomes of it', async () => {
    const { nic, tx } = await scene({ multicastControl: true });
    const group = Uint8Array.of(1, 0, 0x5e, 0, 0, 1);
    const [joined, left] = [nic.joinGroup(group), nic.leaveGroup(group)];
    const slots = await Promise.all(Array.from({ length: 4 }, () => tx.request()));
    expect(u16(slots[0]!, 6)).toBe(8);
    expect(hex(slots[1]!.subarray(0, 8))).toBe('020001005e000001');
    expect(hex(slots[3]!.subarray(0, 8))).toBe('030001005e000001');
    tx.answer(sent(u16(slots[0]!, 8), 0), sent(0xffff, 1), sent(u16(slots[2]!, 8), -1), sent(0, 1));
    expect(await joined).toBe(true);
    expect(await left).toBe(false);
  });

  test('orders about queues, one after the other', async () => {
    const fake = await scene();
    const ctrl = await fake.end('ctrl-ring-ref', 'event-channel-ctrl', 16);
    const types: number[] = [];
    const answers = (async () => {
      for (const [type, status, data] of [
        [7, 0, 0],
        [3, 0, 0],
        [5, 0, 0],
        [6, 0, 0],
        [2, 2, 0],
        [4, 0, 128],
      ] as const) {
        const slot = await ctrl.request();
        types.push(u16(slot, 2));
        if (type === 3) expect(hex(fake.granted(u32(slot, 4), 'r').subarray(0, 4))).toBe('01020300');
        if (type === 6)
          expect(hex(fake.granted(u32(slot, 4), 'r').subarray(0, 12))).toBe('000000000100000000000000');
        const response = slot.slice();
        new DataView(response.buffer).setUint32(4, status, true);
        new DataView(response.buffer).setUint32(8, data, true);
        ctrl.answer(response);
      }
    })();
    const order = { flags: 0xff, key: Uint8Array.of(1, 2, 3), mapping: [0, 1] };
    await expect(fake.nic.control!.setHash(order)).rejects.toThrow('invalid parameter');
    expect(await fake.nic.control!.mappingSize()).toBe(128);
    await answers;
    expect(types).toEqual([7, 3, 5, 6, 2, 4]);
  });
});

describe('what it receives', () => {
  test('frames of one slot and of several, at any place in a page', async () => {
    const { rx, write, received } = await scene();
    const frame = pattern(6000);
    write(0, 100, frame.subarray(0, 200));
    write(1, 0, frame.subarray(0, 3000));
    write(2, 1096, frame.subarray(3000));
    rx.answer(filled(0, 100, 0, 200), filled(1, 0, 4 | 1, 3000), filled(2, 1096, 0, 3000));
    await turns();
    expect(received.map(({ meta }) => meta)).toEqual([{}, { csum: 'validated' }]);
    expect(hex(received[0]!.frame)).toBe(hex(frame.subarray(0, 200)));
    expect(hex(received[1]!.frame)).toBe(hex(frame));
    // Three buffers were used, three are there again.
    expect(rx.count).toBe(3);
    expect(u16(await rx.request(), 0)).toBe(0);
  });

  test('segmentation and a hash behind the first slot', async () => {
    const fake = await scene();
    const ctrl = await fake.end('ctrl-ring-ref', 'event-channel-ctrl', 16);
    void fake.nic.control!.setHash({ flags: 2, key: new Uint8Array(40), mapping: [] }).catch(() => {});
    await ctrl.request();
    const { rx, write, received } = fake;
    write(0, 0, pattern(4096));
    write(3, 0, pattern(100));
    rx.answer(
      filled(0, 0, 1 | 2 | 4 | 8, 4096),
      Uint8Array.of(1, 1, 0xa8, 5, 1, 0, 0, 0),
      Uint8Array.of(4, 0, 1, 1, 0x78, 0x56, 0x34, 0x92),
      filled(3, 0, 0, 100),
    );
    await turns();
    expect(received.map(({ meta }) => meta)).toEqual([
      { csum: 'blank', gso: { type: 'tcpv4', size: 1448 }, hash: { type: 1, value: 0x92345678 } },
    ]);
    expect(received[0]!.frame.length).toBe(4196);
  });

  test('what could not be written is lost, with all of its packet; the next one is not', async () => {
    const { rx, write, received, nic } = await scene();
    write(2, 0, pattern(60));
    rx.answer(filled(0, 0, 4, 1000), filled(1, 0, 0, -1), filled(2, 0, 0, 60), filled(3, 0, 0, 13));
    await turns();
    expect(received.map(({ frame }) => hex(frame))).toEqual([hex(pattern(60))]);
    expect(nic.counts).toMatchObject({ rxFrames: 1, rxErrors: 2 });
  });

  test('more slots than any packet has are no packet', async () => {
    const { rx, received, nic } = await scene();
    rx.answer(...Array.from({ length: 20 }, (_, id) => filled(id, 0, id < 19 ? 4 : 0, 4096)));
    await turns();
    expect(received.length).toBe(0);
    expect(nic.counts.rxErrors).toBe(1);
    expect(rx.count).toBe(20);
  });
});

test('a backend that answers nothing does not keep the guest from leaving', async () => {
  const { nic, tx, state, guestState } = await scene();
  nic.send(pattern(60));
  await tx.request();
  await state(5);
  await guestState(6);
  expect(nic.closed.aborted).toBe(true);
});

describe('an answer that cannot be', () => {
  test.each<readonly [string, (id: number) => Uint8Array[], string]>([
    ['to a frame that was not sent', () => [sent(200, 0)], 'frame 200, which was not sent'],
    ['to no page at all', () => [sent(0xffff, 0)], 'frame 65535, which was not sent'],
    ['given twice', (id) => [sent(id, 0), sent(id, 0)], 'which was not sent'],
    ['with a status that is none', (id) => [sent(id, 5)], 'status 5'],
    ['with another', (id) => [sent(id, -3)], 'status -3'],
    ['to extra info that was not sent', () => [sent(0, 1)], 'extra info'],
  ])('tx: %s', async (_, answers, said) => {
    const { nic, tx, error, guestState } = await scene();
    nic.send(pattern(60));
    nic.send(pattern(60));
    const id = u16(await tx.request(), 8);
    await tx.request();
    tx.answer(...answers(id));
    expect(await error()).toContain(said);
    await guestState(5);
    expect(nic.closed.aborted).toBe(true);
  });

  test.each<readonly [string, Uint8Array[], string]>([
    ['in a buffer that was not posted there', [filled(7, 0, 0, 60)], 'buffer 7, where 0 was posted'],
    ['beyond its page', [filled(0, 4000, 0, 100)], 'bytes 4000 to 4100'],
    ['from beyond its page', [filled(0, 0xffff, 0, 0)], 'bytes 65535'],
    ['extra info of no type', [filled(0, 0, 8, 60), new Uint8Array(8)], 'extra info of type 0'],
    [
      'extra info of an unknown type',
      [filled(0, 0, 8, 60), Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0)],
      'of type 9',
    ],
    ['a hash that nobody ordered', [filled(0, 0, 8, 60), Uint8Array.of(4, 0, 0, 1, 0, 0, 0, 0)], 'of type 4'],
    [
      'segments of no bytes',
      [filled(0, 0, 8, 60), Uint8Array.of(1, 0, 0, 0, 1, 0, 0, 0)],
      'segments of 0 bytes',
    ],
    [
      'segmentation of nothing',
      [filled(0, 0, 8, 60), Uint8Array.of(1, 0, 9, 0, 3, 0, 0, 0)],
      'segmentation of type 3',
    ],
    ['a packet without an end', Array.from({ length: 256 }, (_, id) => filled(id, 0, 4, 1)), 'no end'],
    [
      'extra info without an end',
      [filled(0, 0, 8, 60), ...Array.from({ length: 255 }, () => Uint8Array.of(1, 1, 9, 0, 1, 0, 0, 0))],
      'no end',
    ],
  ])('rx: %s', async (_, answers, said) => {
    const { rx, received, error, guestState } = await scene();
    rx.answer(...answers);
    expect(await error()).toContain(said);
    await guestState(5);
    expect(received.length).toBe(0);
  });

  test('segmentation that was not asked for', async () => {
    const accepts = {
      sg: true,
      gsoTcpv4: false,
      gsoTcpv6: false,
      ipv4CsumOffload: true,
      ipv6CsumOffload: true,
    };
    const { rx, error } = await scene({ accepts });
    rx.answer(filled(0, 0, 8, 60), Uint8Array.of(1, 0, 9, 0, 1, 0, 0, 0));
    expect(await error()).toContain('segmentation of type 1, which was not asked for');
  });

  test.each(['tx', 'rx'] as const)('%s: more of them than there can be', async (which) => {
    const fake = await scene();
    fake[which].page.store(8, 100_000);
    fake[which].ring();
    expect(await fake.error()).toMatch(/answers more frames|fills more buffers/);
  });

  test('to an order that was not given', async () => {
    const fake = await scene();
    const ctrl = await fake.end('ctrl-ring-ref', 'event-channel-ctrl', 16);
    const asked = expect(fake.nic.control!.mappingSize()).rejects.toThrow('closed');
    const slot = await ctrl.request();
    ctrl.answer(slot.map((byte, at) => (at === 0 ? byte ^ 1 : byte)));
    expect(await fake.error()).toContain('was not given');
    await fake.state(6);
    await asked;
  });
});
