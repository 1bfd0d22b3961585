// Packets through real rings, grants and a real store: guests find and ping each other through the backend, frames of any length come
// as they went. (Guests that break the rules are in io-hostile.test.ts.)
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Vif } from '../../netback/vif/core/vif.ts';
import type { NetfrontWishes } from '../../netback/vif/front/driver.ts';
import { ethernet, ipv4, udp } from '../../netback/vif/front/frames.ts';
import { Hands } from '../../netback/vif/io/hands.ts';
import { attachVif, type NetGuest, PacketHost } from './io-host.ts';
import { txSlot } from './kit.ts';
import { RawGuest } from './rawguest.ts';

let host: PacketHost;
beforeEach(async () => {
  host = await PacketHost.start();
});
afterEach(() => host.stop());

const back = (domid: number): string => `/local/domain/0/backend/vif/${domid}/0`;

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
}

async function guests(count: number, wishes?: Partial<NetfrontWishes>): Promise<readonly NetGuest[]> {
  const all: NetGuest[] = [];
  for (let i = 1; i <= count; i++) {
    const guest = await host.guest(`10.0.0.${i}`, wishes);
    await attachVif(host.dom0, guest.domid, `00:16:3e:00:00:0${i}`);
    await guest.host;
    all.push(guest);
  }
  return all;
}

test('guests find each other and answer: ICMP and UDP, both ways', async () => {
  const [one, two] = (await guests(2)) as [NetGuest, NetGuest];
  const [a, b] = [await one.host, await two.host];
  expect(await a.ping('10.0.0.2', pattern(56))).toEqual(pattern(56));
  expect(await b.ping('10.0.0.1', pattern(1400))).toEqual(pattern(1400));
  expect(await a.udpEcho('10.0.0.2', pattern(300))).toEqual(pattern(300));
  expect(await host.dom0.findText(`${back(one.domid)}/state`)).toBe('4');
  expect(host.log.some((line) => line.includes('connected: 1 queue'))).toBe(true);
});

test('what an interface has counted is told while it is connected', async () => {
  const [one, two] = (await guests(2)) as [NetGuest, NetGuest];
  await (await one.host).ping('10.0.0.2', pattern(1000));
  const [a, b] = [host.statistics(one.domid)!, host.statistics(two.domid)!];
  // A question and a packet each way.
  expect(a.txPackets).toBeGreaterThanOrEqual(2);
  expect(a.txBytes).toBeGreaterThan(1042);
  expect([a.txErrors, a.rxDropped]).toEqual([0, 0]);
  expect(b.rxPackets).toBeGreaterThanOrEqual(2);
  await host.stopBackend();
  expect(host.statistics(one.domid)).toBeUndefined();
});

test('frames of several pages come as they went', async () => {
  const [one] = await guests(2);
  for (const length of [4055, 4096, 9000, 60_000])
    expect(await (await one!.host).ping('10.0.0.2', pattern(length))).toEqual(pattern(length));
});

test('more frames than the rings have slots, all at once', async () => {
  const [one] = await guests(2);
  const a = await one!.host;
  await a.ping('10.0.0.2', pattern(1));
  const echoes = await Promise.all(Array.from({ length: 700 }, (_, i) => a.ping('10.0.0.2', pattern(i))));
  expect(echoes.every((echo, i) => echo.length === i)).toBe(true);
});

test('what is for one is not shown to a third', async () => {
  const [one, , three] = await guests(3);
  const a = await one!.host;
  await a.ping('10.0.0.2', pattern(1));
  const before = three!.frames.length;
  for (let i = 0; i < 20; i++) await a.ping('10.0.0.2', pattern(100));
  // One of its own: whatever was sent to it before has come by then.
  await a.ping('10.0.0.3', pattern(1));
  expect(three!.frames.length - before).toBe(2);
});

test('an interface that is idle takes no part in turns', async () => {
  const [one] = await guests(4);
  const a = await one!.host;
  await a.ping('10.0.0.2', pattern(1));
  const { takeTx } = Hands.prototype;
  const served = new Set<Vif>();
  const spy = vi.spyOn(Hands.prototype, 'takeTx').mockImplementation(function (this: Hands, vif) {
    served.add(vif);
    return takeTx.call(this, vif);
  });
  for (let i = 0; i < 10; i++) await a.ping('10.0.0.2', pattern(100));
  spy.mockRestore();
  expect(served.size).toBe(2);
});

test('a blank checksum is filled in for who wants it whole', async () => {
  const accepts = {
    sg: true,
    gsoTcpv4: false,
    gsoTcpv6: false,
    ipv4CsumOffload: false,
    ipv6CsumOffload: false,
  };
  const [one] = await guests(2, { accepts });
  const raw = await RawGuest.boot(host, '00:16:3e:00:00:09');
  await raw.connect();
  for (const length of [33, 1000, 1001]) {
    const datagram = udp({ fromPort: 9, toPort: 9, data: pattern(length) }, '10.0.0.9', '10.0.0.1');
    const packet = { from: '10.0.0.9', to: '10.0.0.1', protocol: 17 };
    const [to, from] = [Uint8Array.of(0, 0x16, 0x3e, 0, 0, 1), Uint8Array.of(0, 0x16, 0x3e, 0, 0, 9)];
    const whole = ethernet(to, from, 0x0800, ipv4({ ...packet, payload: datagram }));
    const pseudo = 0x0a00 + 9 + 0x0a00 + 1 + 17 + datagram.length;
    datagram.set([pseudo >> 8, pseudo & 0xff], 6);
    const blank = ethernet(to, from, 0x0800, ipv4({ ...packet, payload: datagram }));
    raw.page(0).set(blank);
    raw.tx.request(txSlot({ gref: raw.gref(0), flags: 3, size: blank.length }));
    raw.send(raw.tx);
    // By the time that it hears of another one it has that frame.
    await (await one!.host).ping('10.0.0.2', pattern(1));
    expect(one!.frames).toContainEqual(whole);
  }
});

test('a backend that comes after another one goes on with connected guests', async () => {
  const [one] = await guests(2);
  const a = await one!.host;
  await a.ping('10.0.0.2', pattern(56));
  await host.stopBackend();
  const waits = a.ping('10.0.0.2', pattern(57));
  await host.startBackend();
  expect(await waits).toEqual(pattern(57));
  expect(host.log.some((line) => line.includes('taken over'))).toBe(true);
});
