// What a toolstack orders and what a guest asks for, through rings and a store: MTU, rate, groups, hashes; nothing overtakes what has to be cut
// up; orders outlive the backend that took them.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { until } from '../blkback/io-host.ts';
import { PacketHost } from './io-host.ts';
import { BROADCAST, frameOf, gsoExtra, mcastExtra, tcpFrame, txSlot } from './kit.ts';
import { RawGuest } from './rawguest.ts';

let host: PacketHost;
beforeEach(async () => {
  host = await PacketHost.start();
});
afterEach(() => host.stop());

const macOf = (last: number): Uint8Array => Uint8Array.of(0, 0x16, 0x3e, 0, 0, last);
const textOf = (last: number): string => `00:16:3e:00:00:0${last}`;
const GROUP = Uint8Array.of(1, 0, 0x5e, 1, 2, 3);
const OTHER = Uint8Array.of(1, 0, 0x5e, 9, 9, 9);

interface Options {
  readonly keys?: Readonly<Record<string, string>>;
  readonly ordered?: Readonly<Record<string, string>>;
  /** Pages posted for what comes. */
  readonly posted?: number;
}

/** Page 0 is for sending, the others are posted. */
async function guest(last: number, { keys = {}, ordered = {}, posted = 0 }: Options = {}): Promise<RawGuest> {
  const made = await RawGuest.boot(host, textOf(last), 1 + posted, ordered);
  await made.connect(keys);
  for (let page = 1; page <= posted; page++) made.post(page, made.gref(page));
  made.send(made.rx);
  return made;
}

function put(from: RawGuest, frame: Uint8Array, flags = 0, extras: readonly Uint8Array[] = []): void {
  from.page(0).set(frame);
  from.tx.request(
    txSlot({ gref: from.gref(0), size: frame.length, flags: flags | (extras.length > 0 ? 8 : 0) }),
  );
  for (const extra of extras) from.tx.request(extra);
}

/** Sends and waits for the answers' statuses. */
async function sent(from: RawGuest, slots = 1): Promise<readonly number[]> {
  from.send(from.tx);
  return (await from.take(from.tx, slots)).map(
    (response) => ((response[2]! | (response[3]! << 8)) << 16) >> 16,
  );
}

/** Of what came: by response, how long it is, and its first bytes. */
async function came(to: RawGuest, count: number): Promise<readonly (readonly [number, number])[]> {
  return (await to.take(to.rx, count)).map((response) => [
    response[6]! | (response[7]! << 8),
    to.page(response[0]!)[14]!,
  ]);
}

test('groups: asked for while connected, joined, left, and all of it kept through a takeover', async () => {
  const one = await guest(1);
  const two = await guest(2, { posted: 8 });
  expect(await host.dom0.findText(`${two.back}/feature-dynamic-multicast-control`)).toBe('1');
  // The backend follows the key in its own time: what it has not filtered yet comes in.
  await two.store.write('device/vif/0/request-multicast-control', '1');
  put(two, frameOf(BROADCAST, macOf(2)), 0, [mcastExtra(2, GROUP)]);
  expect(await sent(two, 2)).toEqual([0, 1]);
  const both = async (mark: number): Promise<void> => {
    put(one, frameOf(OTHER, macOf(1), 60, 0xff));
    await sent(one);
    put(one, frameOf(GROUP, macOf(1), 60, mark));
    await sent(one);
  };
  let seen: number[];
  let mark = 0;
  do {
    await both(++mark);
    for (seen = []; seen.at(-1) !== mark; ) seen.push((await came(two, 1))[0]![1]);
    for (const page of seen.keys()) two.post(page + 1, two.gref(page + 1));
    two.send(two.rx);
  } while (seen.length > 1);
  await host.stopBackend();
  await host.startBackend();
  await both(0x77);
  expect(await came(two, 1)).toEqual([[60, 0x77]]);
});

test('a frame beyond the MTU that the toolstack ordered is not given to the guest', async () => {
  const one = await guest(1);
  const two = await guest(2, { posted: 4, ordered: { mtu: '1400' } });
  for (const length of [1419, 1418]) {
    put(one, frameOf(macOf(2), macOf(1), length));
    expect(await sent(one)).toEqual([0]);
  }
  expect(await came(two, 1)).toEqual([[1418, 0]]);
});

test('what is sent beyond the rate waits for the next period', async () => {
  const one = await guest(1, { ordered: { rate: '131072,40000' } });
  const began = performance.now();
  const frame = frameOf(BROADCAST, macOf(1), 4096);
  // Four times what may be sent at once.
  for (let i = 0; i < 128; i++) put(one, frame);
  await sent(one, 128);
  expect(performance.now() - began).toBeGreaterThan(79);
});

test('nothing overtakes what has to be cut up', async () => {
  const one = await guest(1);
  const two = await guest(2, { posted: 8, keys: { 'feature-no-csum-offload': '1' } });
  const stream = { source: '10.0.0.1', sourcePort: 1, to: '10.0.0.2', toPort: 2 };
  const large = Buffer.from(tcpFrame({ ...stream, toMac: macOf(2), fromMac: macOf(1), length: 54 + 3000 }));
  large.writeUInt16BE(3040, 16);
  large[46] = 0x50;
  put(one, large, 1, [gsoExtra(1000, 1)]);
  one.tx.request(txSlot({ gref: one.gref(0), size: 60 }));
  expect(await sent(one, 3)).toEqual([0, 1, 0]);
  expect((await came(two, 4)).map(([length]) => length)).toEqual([1054, 1054, 1054, 60]);
});

test('who takes large packets, but no blank checksums, is given segments', async () => {
  const one = await guest(1);
  const keys = { 'feature-no-csum-offload': '1', 'feature-sg': '1', 'feature-gso-tcpv4': '1' };
  const two = await guest(2, { posted: 8, keys });
  const stream = { source: '10.0.0.1', sourcePort: 1, to: '10.0.0.2', toPort: 2 };
  const large = Buffer.from(tcpFrame({ ...stream, toMac: macOf(2), fromMac: macOf(1), length: 54 + 2000 }));
  large.writeUInt16BE(2040, 16);
  large[46] = 0x50;
  put(one, large, 1, [gsoExtra(1000, 1)]);
  expect(await sent(one, 2)).toEqual([0, 1]);
  expect((await came(two, 2)).map(([length]) => length)).toEqual([1054, 1054]);
});

test('a guest that does not tell of its buffers is looked after', async () => {
  const one = await guest(1);
  const two = await guest(2, { keys: { 'feature-rx-notify': '0' } });
  put(one, frameOf(macOf(2), macOf(1)));
  await sent(one);
  // It has none yet, and rings nobody.
  two.post(0, two.gref(0));
  two.rx.publish();
  expect((await two.take(two.rx, 1))[0]![6]).toBe(60);
});

test('a hash that was ordered outlives the backend', async () => {
  const one = await guest(1);
  const two = await guest(2, { posted: 4 });
  const order = async (type: number, ...data: readonly number[]): Promise<number> => {
    const request = Buffer.alloc(16);
    request.writeUInt16LE(type, 2);
    for (const [index, value] of data.entries()) request.writeUInt32LE(value, 4 + index * 4);
    two.ctrl.request(request);
    two.send(two.ctrl);
    return Buffer.from((await two.take(two.ctrl, 1))[0]!).readUInt32LE(4);
  };
  for (let i = 0; i < 40; i++) two.page(0)[i] = i * 37;
  expect([await order(7, 1), await order(2, 3), await order(3, two.gref(0), 40)]).toEqual([0, 0, 0]);
  const hashOf = async (): Promise<string> => {
    put(
      one,
      tcpFrame({
        source: '10.0.0.1',
        sourcePort: 1,
        to: '10.0.0.2',
        toPort: 2,
        toMac: macOf(2),
        fromMac: macOf(1),
        length: 60,
      }),
    );
    await sent(one);
    const [first, extra] = await two.take(two.rx, 2);
    expect(first![4]! & 8).toBe(8);
    return Buffer.from(extra!).toString('hex');
  };
  const before = await hashOf();
  expect(before).toMatch(/^04000101(?!00000000)/);
  await host.stopBackend();
  await host.startBackend();
  expect(await hashOf()).toBe(before);
  expect(await until(host.dom0, `${two.back}/state`, (state) => state !== undefined)).toBe('4');
});
