// The driver of a simulated guest with our backend, a real store, rings and grants: several queues, load from a pump, and what an interface's user
// sees of all that.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sum } from '../../netback/vif/front/checksum.ts';
import { type Interface, type NetfrontWishes, netfront } from '../../netback/vif/front/driver.ts';
import type { FrameMeta } from '../../netback/vif/front/meta.ts';
import { runFrontends } from '../../xenstored/client/frontend.ts';
import { until } from '../blkback/io-host.ts';
import { attachVif, type BareGuest, PacketHost } from './io-host.ts';

let host: PacketHost;
const closing: (() => Promise<void>)[] = [];
beforeEach(async () => {
  host = await PacketHost.start();
});
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  await host.stop();
});

interface Received {
  readonly frame: Uint8Array;
  readonly meta: FrameMeta;
}

interface Guest {
  readonly domid: number;
  /** As it is connected now. */
  readonly nic: Interface;
  readonly mac: Uint8Array;
  readonly received: Received[];
  /** Settles when so many have come. */
  came(count: number): Promise<void>;
  /** Settles when it is connected again. */
  again(): Promise<void>;
}

/** @param bare of no driver yet; another one if not given */
async function guest(wishes: Partial<NetfrontWishes> = {}, bare?: BareGuest): Promise<Guest> {
  const { domid, platform, store } = bare ?? (await host.bareGuest());
  const received: Received[] = [];
  const wakes = new Set<() => void>();
  let nic: Interface | undefined;
  let connections = 0;
  const driver = netfront({
    platform,
    wishes,
    onInterface: (connected) => {
      nic = connected;
      connections++;
      for (const wake of wakes) wake();
      return (frame, meta) => {
        received.push({ frame, meta });
        for (const wake of wakes) wake();
      };
    },
  });
  const driven = await runFrontends(driver, { store });
  closing.push(() => driven.close());
  const until = (holds: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const wake = (): void => {
        if (!holds()) return;
        wakes.delete(wake);
        resolve();
      };
      wakes.add(wake);
      wake();
    });
  await attachVif(host.dom0, domid, `00:16:3e:00:00:0${domid}`);
  await until(() => connections === 1);
  return {
    domid,
    get nic() {
      return nic!;
    },
    mac: nic!.mac,
    received,
    came: (count) => until(() => received.length >= count),
    again() {
      const next = connections + 1;
      return until(() => connections >= next);
    },
  };
}

/** A frame from one guest to another, of bytes that tell where they are. */
function frameOf(to: Guest, from: Guest, length: number): Uint8Array {
  const frame = Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
  frame.set(to.mac, 0);
  frame.set(from.mac, 6);
  frame.set([0x88, 0xb5], 12);
  return frame;
}

test('a pump sends one frame as often as it is told, of any number of slots', async () => {
  const [one, two] = [await guest(), await guest()];
  // So that addresses are known.
  two.nic.send(frameOf(one, two, 60));
  await one.came(1);
  for (const length of [64, 1514, 9000, 65_535]) {
    const frame = frameOf(two, one, length);
    const pump = one.nic.pump(0, frame);
    // Whoever sends more at once than there is room for on the way may lose some.
    const burst = length > 4096 ? 16 : 256;
    for (let sent = 0; sent < 3; sent++) {
      const before = two.received.length;
      pump.send(burst);
      await two.came(before + burst);
      expect(two.received.slice(before).every((each) => Buffer.compare(each.frame, frame) === 0)).toBe(true);
    }
    pump.stop();
    // Its pages are there for others again.
    const before = two.received.length;
    one.nic.send(frame);
    await two.came(before + 1);
  }
});

const noGso = { sg: true, gsoTcpv4: false, gsoTcpv6: false, ipv4CsumOffload: true, ipv6CsumOffload: true };
const plain = { sg: true, gsoTcpv4: false, gsoTcpv6: false, ipv4CsumOffload: false, ipv6CsumOffload: false };
const MSS = 1448;
const HEADERS = { 4: 14 + 20 + 32, 6: 14 + 40 + 32 } as const;

/** A large TCP packet as a kernel hands it to its driver: its checksum is that of the pseudo-header alone. */
function largeFrame(to: Guest, from: Guest, version: 4 | 6, payload: Uint8Array): Uint8Array {
  const headers = HEADERS[version];
  const frame = new Uint8Array(headers + payload.length);
  const words = new DataView(frame.buffer);
  const length = 32 + payload.length;
  frame.set(to.mac, 0);
  frame.set(from.mac, 6);
  if (version === 4) {
    frame.set(
      [8, 0, 0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, from.domid, 10, 0, 0, to.domid],
      12,
    );
    words.setUint16(16, 20 + length);
    words.setUint16(24, sum(frame.subarray(14, 34), 0));
  } else {
    frame.set([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 6, 64, 0xfe, 0x80], 12);
    words.setUint16(18, length);
    frame[37] = from.domid;
    frame.set([0xfe, 0x80], 38);
    frame[53] = to.domid;
  }
  const tcp = headers - 32;
  words.setUint16(tcp, 1000);
  words.setUint16(tcp + 2, 2000);
  words.setUint32(tcp + 4, 5_000_000);
  // 32 bytes of header; PSH and ACK.
  frame.set([0x80, 0x18, 1, 0], tcp + 12);
  frame.set([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8], tcp + 20);
  frame.set(payload, headers);
  words.setUint16(tcp + 16, ~pseudo(frame, version, length) & 0xffff);
  return frame;
}

/** The complement of the sum over a pseudo-header. */
function pseudo(frame: Uint8Array, version: 4 | 6, length: number): number {
  return sum(version === 4 ? frame.subarray(26, 34) : frame.subarray(22, 54), 6 + length);
}

describe.each([4, 6] as const)('large TCP packets, IPv%i', (version) => {
  const type = version === 4 ? 'tcpv4' : 'tcpv6';
  const payload = Uint8Array.from({ length: 64_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);

  async function pair(accepts: NetfrontWishes['accepts'] | undefined): Promise<readonly [Guest, Guest]> {
    const [one, two] = [await guest(), await guest(accepts === undefined ? {} : { accepts })];
    two.nic.send(frameOf(one, two, 60));
    await one.came(1);
    return [one, two];
  }

  test('come whole to whoever takes them', async () => {
    const [one, two] = await pair(undefined);
    const frame = largeFrame(two, one, version, payload);
    one.nic.send(frame, { csum: 'blank', gso: { type, size: MSS } });
    await two.came(1);
    expect(two.received[0]!.meta).toEqual({ csum: 'blank', gso: { type, size: MSS } });
    expect(Buffer.compare(two.received[0]!.frame, frame)).toBe(0);
  });

  test.each([
    ['with blank checksums', noGso],
    ['with their checksums', plain],
  ] as const)('come in segments to whoever does not, %s', async (_, accepts) => {
    const [one, two] = await pair(accepts);
    one.nic.send(largeFrame(two, one, version, payload), { csum: 'blank', gso: { type, size: MSS } });
    const count = Math.ceil(payload.length / MSS);
    await two.came(count);
    const headers = HEADERS[version];
    const tcp = headers - 32;
    let sequence = 5_000_000;
    for (const [index, { frame, meta }] of two.received.entries()) {
      const words = new DataView(frame.buffer, frame.byteOffset);
      const isLast = index === count - 1;
      expect(words.getUint32(tcp + 4)).toBe(sequence);
      // PSH with the last one only.
      expect(frame[tcp + 13]).toBe(isLast ? 0x18 : 0x10);
      sequence += frame.length - headers;
      const length = frame.length - tcp;
      if (version === 4) expect(sum(frame.subarray(14, 34), 0)).toBe(0);
      expect(words.getUint16(version === 4 ? 16 : 18)).toBe(version === 4 ? 20 + length : length);
      const whole = sum(frame.subarray(tcp), ~pseudo(frame, version, length) & 0xffff);
      const blank = ~pseudo(frame, version, length) & 0xffff;
      if (meta.csum === 'blank') expect(words.getUint16(tcp + 16)).toBe(blank);
      else expect(whole).toBe(0);
      if (accepts === plain) expect(meta.csum).not.toBe('blank');
    }
    const parts = two.received.map(({ frame }) => frame.subarray(headers));
    expect(Buffer.compare(Buffer.concat(parts), payload)).toBe(0);
  });
});

test('several queues each way: every stream comes, in its order', async () => {
  const [one, two] = [await guest({ queues: 4 }), await guest({ queues: 3, splitPorts: false })];
  expect([one.nic.queues, two.nic.queues]).toEqual([4, 3]);
  const STREAMS = 16;
  const EACH = 30;
  const send = (from: Guest, to: Guest): void => {
    for (let number = 0; number < EACH; number++)
      for (let stream = 0; stream < STREAMS; stream++) {
        const frame = frameOf(to, from, 100);
        frame.set(
          [8, 0, 0x45, 0, 0, 86, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, stream, 0, 7],
          12,
        );
        frame[50] = number;
        from.nic.send(frame);
      }
  };
  two.nic.send(frameOf(one, two, 60));
  await one.came(1);
  send(one, two);
  send(two, one);
  await Promise.all([one.came(1 + STREAMS * EACH), two.came(STREAMS * EACH)]);
  for (const { received } of [one, two])
    for (let stream = 0; stream < STREAMS; stream++) {
      const ofIt = received.filter(({ frame }) => frame[12] === 8 && frame[35] === stream);
      expect(ofIt.map(({ frame }) => frame[50])).toEqual(Array.from({ length: EACH }, (_, number) => number));
    }
});

test('groups: those that were joined come in, and no others', async () => {
  const [one, two] = [await guest(), await guest({ multicastControl: true })];
  const group = (last: number): Guest => ({ ...two, mac: Uint8Array.of(1, 0, 0x5e, 0, 0, last) });
  expect(await two.nic.joinGroup(group(1).mac)).toBe(true);
  const came = async (): Promise<number[]> => {
    two.received.length = 0;
    one.nic.send(frameOf(group(1), one, 60));
    one.nic.send(frameOf(group(2), one, 60));
    one.nic.send(frameOf(two, one, 60));
    while (two.received.at(-1)?.frame[5] !== two.mac[5]) await two.came(two.received.length + 1);
    return two.received.map(({ frame }) => frame[5]!);
  };
  expect(await came()).toEqual([1, two.mac[5]]);
  expect(await two.nic.leaveGroup(group(1).mac)).toBe(true);
  expect(await two.nic.joinGroup(group(2).mac)).toBe(true);
  expect(await came()).toEqual([2, two.mac[5]]);
  expect(one.nic.counts.txErrors).toBe(0);
});

test('the hash that a guest has ordered comes with its packets', async () => {
  const [one, two] = [await guest(), await guest({ queues: 4 })];
  const control = two.nic.control!;
  // IPv4 and TCP over IPv4 and IPv6: all that there is.
  expect(await control.hashFlags()).toBe(15);
  const mapping = Array.from({ length: await control.mappingSize() }, () => 2);
  await control.setHash({ flags: 15, key: new Uint8Array(40).fill(0x55), mapping });
  one.nic.send(largeFrame(two, one, 4, new Uint8Array(10)), { csum: 'blank' });
  await two.came(1);
  expect(two.received[0]!.meta.hash?.type).toBe(1);
  await expect(control.setHash({ flags: 15, key: new Uint8Array(41), mapping })).rejects.toThrow(
    'buffer overflow',
  );
  await expect(control.setHash({ flags: 15, key: new Uint8Array(40), mapping: [4] })).rejects.toThrow(
    'invalid parameter',
  );
  await control.clearHash();
  one.nic.send(largeFrame(two, one, 4, new Uint8Array(10)), { csum: 'blank' });
  await two.came(2);
  expect(two.received[1]!.meta.hash).toBeUndefined();
});

test('a backend that closes and stays is connected again; so is one that the guest leaves to come back to', async () => {
  const [one, two] = [await guest({ queues: 2 }), await guest()];
  const back = `/local/domain/0/backend/vif/${one.domid}/0/state`;
  for (const how of ['backend', 'guest', 'backend'] as const) {
    const { nic } = one;
    const again = one.again();
    if (how === 'guest') nic.reconnect();
    else await host.dom0.write(back, '5');
    await again;
    expect(nic.closed.aborted).toBe(true);
    expect(one.nic.closed.aborted).toBe(false);
    // Nobody hears what a former interface is told to send.
    nic.send(frameOf(two, one, 60));
    expect(await nic.joinGroup(two.mac)).toBe(false);
    expect(() => nic.pump(0, frameOf(two, one, 60))).toThrow('the interface is closed');
    if (nic.control !== undefined) await expect(nic.control.mappingSize()).rejects.toThrow('closed');
    const before = two.received.length;
    one.nic.send(frameOf(two, one, 61));
    await two.came(before + 1);
    expect(two.received.at(-1)!.frame.length).toBe(61);
    two.nic.send(frameOf(one, two, 62));
    await one.came(one.received.length + 1);
  }
  one.nic.close();
  await until(host.dom0, back, (state) => state === '6');
});

test('all that an interface has taken is given back when it closes', async () => {
  const bare = await host.bareGuest();
  const { platform, domid } = bare;
  const ctrl = host.sim.machine.platformFor(0).openCtrl();
  const pages = (): number => ctrl.getDomainInfo(domid)!.totPages;
  const evtchn = platform.openEvtchn();
  const [pagesBefore, portBefore] = [pages(), evtchn.bindUnboundPort(0)];
  evtchn.unbind(portBefore);
  const one = await guest({ queues: 4 }, bare);
  expect(pages()).toBeGreaterThan(pagesBefore + 4 * 512);
  one.nic.close();
  while (pages() !== pagesBefore) await new Promise((resolve) => setImmediate(resolve));
  expect(evtchn.bindUnboundPort(0)).toBe(portBefore);
});
