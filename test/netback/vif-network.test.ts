// Interfaces, a switch and a way out together, on guests' pages that a plain model copies: who gets what, in which form, and that a hostile guest
// costs itself alone.
import { describe, expect, test } from 'vitest';
import { CopyBatch } from '../../netback/vif/core/copies.ts';
import { Need, Network } from '../../netback/vif/core/network.ts';
import { uplinkPort } from '../../netback/vif/core/switch.ts';
import { Uplink } from '../../netback/vif/core/uplink.ts';
import { Vif, type VifOptions } from '../../netback/vif/core/vif.ts';
import type { VifFeatures, VifFrontKeys } from '../../xenstored/xenbus/vif.ts';
import {
  BROADCAST,
  frameOf,
  gsoExtra,
  hex,
  Machine,
  macOf,
  mcastExtra,
  rxSlot,
  tcpFrame,
  txSlot,
} from './kit.ts';

const NONE = -1;
const MORE = 4;
const EXTRA = 8;
const BLANK = 3;
const all: VifFeatures = {
  sg: true,
  gsoTcpv4: true,
  gsoTcpv6: true,
  ipv4CsumOffload: true,
  ipv6CsumOffload: true,
};
const none: VifFeatures = {
  sg: false,
  gsoTcpv4: false,
  gsoTcpv6: false,
  ipv4CsumOffload: false,
  ipv6CsumOffload: false,
};
const queue = { txRingRef: 1, rxRingRef: 2, txEventChannel: 3, rxEventChannel: 3 };

interface GuestOptions extends Partial<Omit<VifOptions, 'front'>> {
  readonly front?: Partial<VifFrontKeys>;
  readonly rate?: { readonly bytes: number; readonly microseconds: number };
}

/** A host with a way out, whose guests are driven by hand. */
class Host {
  readonly machine: Machine = new Machine({ small: 512, large: 128 });
  readonly network: Network = new Network(this.machine.pool, this.machine.memory, 99);
  readonly copies: CopyBatch = new CopyBatch(1024);
  readonly uplink: Uplink;
  readonly out: number;
  readonly guests: Guest[] = [];
  now = 0;

  constructor({ offload = true } = {}) {
    this.uplink = new Uplink(this.machine.pool, { offload });
    this.out = this.network.add(this.uplink, uplinkPort, 0);
  }

  guest(number: number, options: GuestOptions = {}): Guest {
    const guest = new Guest(this, number, options);
    this.guests.push(guest);
    return guest;
  }

  /** Everything that can go on goes on. */
  turn(limit = 256): void {
    const { copies } = this;
    copies.clear();
    for (const { vif } of this.guests) vif.planTx(copies, limit, this.now);
    this.machine.carryOut(copies);
    for (const { vif } of this.guests) vif.copiedTx(copies, this.now);
    copies.clear();
    for (const guest of this.guests) {
      guest.giveBuffers();
      guest.vif.planRx(copies, this.now);
    }
    this.machine.carryOut(copies);
    for (const guest of this.guests) {
      guest.vif.copiedRx(copies);
      guest.receive();
    }
  }

  /** A packet from outside. */
  arrive(bytes: Uint8Array): string | undefined {
    return this.network.receive(this.out, this.machine.packet(bytes), this.now);
  }

  /** What has gone out. */
  outside(): string[] {
    const all: string[] = [];
    for (let packet = this.uplink.next(); packet !== NONE; packet = this.uplink.next()) {
      all.push(hex(this.machine.bytes(packet)));
      this.machine.pool.release(packet);
    }
    return all;
  }
}

class Guest {
  readonly vif: Vif;
  readonly mac: Uint8Array;
  readonly domid: number;
  /** Packets received, by queue: bytes in hex. */
  readonly received: string[][];
  /** Answers to what was sent: status. */
  readonly statuses: number[] = [];
  buffers = 10_000;
  readonly #host: Host;
  readonly #grefs: number[][];

  constructor(host: Host, number: number, options: GuestOptions) {
    this.#host = host;
    this.domid = number;
    this.mac = macOf(number);
    const { front, rate, ...rest } = options;
    const keys: VifFrontKeys = {
      queues: [queue],
      features: all,
      gsoTcpv4Prefix: false,
      gsoTcpv6Prefix: false,
      rxNotify: true,
      multicastControl: false,
      ctrl: undefined,
      xdpHeadroom: 0,
      ...front,
    };
    const order = { mac: [...this.mac], handle: 0, mtu: 1500, bridge: '', vifname: '', rate };
    this.vif = new Vif(host.network, { domid: number, order, front: keys, offer: all, ...rest }, 0);
    this.received = keys.queues.map(() => []);
    this.#grefs = keys.queues.map(() => []);
  }

  /** Puts a packet into a tx ring: in pages of its own, with extra info behind the first slot. */
  send(frame: Uint8Array, { flags = 0, extras = [] as readonly Buffer[], queue = 0 } = {}): void {
    const pieces: Buffer[] = [];
    for (let at = 0; at < frame.length; at += 4096) {
      const gref = this.#host.machine.grant(this.domid, frame.subarray(at, at + 4096));
      const more = at + 4096 < frame.length ? MORE : 0;
      const size = at === 0 ? frame.length : Math.min(4096, frame.length - at);
      pieces.push(
        txSlot({ gref, size, flags: more | (at === 0 ? flags | (extras.length > 0 ? EXTRA : 0) : 0) }),
      );
    }
    const slots = [pieces[0]!, ...extras, ...pieces.slice(1)];
    this.vif.take(queue, Buffer.concat(slots), slots.length);
  }

  giveBuffers(): void {
    for (const [i, rx] of this.vif.rx.entries()) {
      const count = Math.min(rx.wants, this.buffers);
      this.buffers -= count;
      const grefs = Array.from({ length: count }, () => this.#host.machine.grant(this.domid));
      this.#grefs[i]!.push(...grefs);
      rx.post(Buffer.concat(grefs.map((gref) => rxSlot(0, gref))), count);
    }
  }

  receive(): void {
    const slot = Buffer.alloc(8);
    for (const [i, rx] of this.vif.rx.entries()) {
      let parts: Uint8Array[] = [];
      while (rx.response(slot)) {
        const flags = slot.readUInt16LE(4);
        const page = this.#host.machine.page(this.domid, this.#grefs[i]!.shift()!);
        parts.push(page.slice(0, slot.readUInt16LE(6)));
        for (let extra = (flags & EXTRA) !== 0; extra; extra = (slot[1]! & 1) !== 0) {
          rx.response(slot);
          this.#grefs[i]!.shift();
        }
        if ((flags & MORE) !== 0) continue;
        this.received[i]!.push(hex(Buffer.concat(parts)));
        parts = [];
      }
    }
    while (this.vif.txResponse(0, slot)) this.statuses.push(slot.readInt16LE(2));
  }
}

const tcp = (from: Guest, to: Uint8Array, length = 60, sourcePort = 1000, source = '10.0.0.1'): Uint8Array =>
  tcpFrame({
    source,
    sourcePort,
    to: source.includes(':') ? 'fe80::2' : '10.0.0.2',
    toPort: 80,
    fromMac: from.mac,
    toMac: to,
    length,
  });

test('from guest to guest, to all, and out and in again', () => {
  const host = new Host();
  const [a, b, c] = [host.guest(1), host.guest(2), host.guest(3)];
  const large = frameOf(b.mac, a.mac, 9000, 1);
  a.send(large);
  a.send(frameOf(BROADCAST, a.mac, 60, 2));
  c.send(frameOf(macOf(77), c.mac, 60, 3));
  host.turn();
  expect(b.received[0]).toEqual([
    hex(large),
    hex(frameOf(BROADCAST, a.mac, 60, 2)),
    hex(frameOf(macOf(77), c.mac, 60, 3)),
  ]);
  expect(c.received[0]).toHaveLength(1);
  expect(host.outside()).toHaveLength(2);
  host.arrive(frameOf(c.mac, macOf(77), 60, 4));
  host.turn();
  expect(c.received[0]).toHaveLength(2);
  c.send(frameOf(macOf(77), c.mac, 60, 5));
  host.turn();
  expect(host.outside()).toHaveLength(1);
  expect(host.machine.pool.free).toBe(640);
  expect(a.vif.statistics).toMatchObject({ txPackets: 2, txBytes: 9060 });
  expect(b.vif.statistics).toMatchObject({ rxPackets: 3, rxBytes: 9120 });
});

describe('what a guest cannot take as it is', () => {
  const gso = { flags: BLANK, extras: [gsoExtra(1448, 1)] };

  test('is given to be cut up or completed, and goes on from there; others get it whole', () => {
    const host = new Host();
    const [a, plain, able] = [host.guest(1), host.guest(2, { front: { features: none } }), host.guest(3)];
    const packet = tcp(a, BROADCAST, 9000);
    a.send(packet, gso);
    host.turn();
    expect(able.received[0]).toEqual([hex(packet)]);
    expect(plain.received[0]).toEqual([]);
    const given = host.network.nextAdaptation(0);
    expect(hex(host.machine.bytes(given))).toBe(hex(packet));
    expect(host.machine.pool.gsoSizes[given]).toBe(1448);
    expect(host.network.adaptNeeds).toBe(Need.CHECKSUM | Need.SEGMENTS);
    expect(host.network.adaptFrameMax).toBe(4096);
    for (const length of [1502, 700])
      expect(host.network.adapted(host.machine.packet(tcp(a, BROADCAST, length)), 0)).toBe(true);
    expect(host.network.adapted(host.machine.packet(tcp(a, BROADCAST, 4097)), 0)).toBe(false);
    expect(host.network.nextAdaptation(0)).toBe(NONE);
    host.machine.pool.release(given);
    host.turn();
    expect(plain.received[0]!.map((bytes) => bytes.length / 2)).toEqual([1502, 700]);
    expect(plain.vif.statistics).toMatchObject({ rxAdapted: 1, rxDropped: 1 });
    host.outside();
    expect(host.machine.pool.free).toBe(640);
  });

  const both = Need.CHECKSUM | Need.SEGMENTS;
  test.each<[string, Partial<VifFrontKeys>, string, number]>([
    ['IPv4 without checksum', { features: { ...all, ipv4CsumOffload: false } }, '10.0.0.1', both],
    ['IPv6 without checksum', { features: { ...all, ipv6CsumOffload: false } }, 'fe80::1', both],
    [
      'IPv6 without checksum, IPv4 alone forbidden',
      { features: { ...all, ipv4CsumOffload: false } },
      'fe80::1',
      0,
    ],
    ['IPv4 segments', { features: { ...all, gsoTcpv4: false } }, '10.0.0.1', Need.SEGMENTS],
    [
      'IPv4 segments told by a slot in front',
      { features: { ...all, gsoTcpv4: false }, gsoTcpv4Prefix: true },
      '10.0.0.1',
      0,
    ],
    ['IPv6 segments', { features: { ...all, gsoTcpv6: false } }, 'fe80::1', Need.SEGMENTS],
    ['segments without scattering', { features: { ...all, sg: false } }, '10.0.0.1', Need.SEGMENTS],
  ])('%s', (_, front, source, needs) => {
    const host = new Host();
    const [a, b] = [host.guest(1), host.guest(2, { front })];
    const type = source.includes(':') ? 2 : 1;
    a.send(tcp(a, b.mac, 3000, 1000, source), { flags: BLANK, extras: [gsoExtra(1448, type)] });
    host.turn();
    const given = host.network.nextAdaptation(0);
    expect(given === NONE ? 0 : host.network.adaptNeeds).toBe(needs);
  });

  test('the way out without offload', () => {
    const host = new Host({ offload: false });
    const a = host.guest(1);
    a.send(tcp(a, BROADCAST, 9000), gso);
    a.send(tcp(a, BROADCAST, 60), { flags: BLANK });
    a.send(tcp(a, BROADCAST, 60));
    host.turn();
    // Nothing overtakes what was sent before.
    expect(host.outside()).toHaveLength(0);
    const needs: number[] = [];
    for (
      let packet = host.network.nextAdaptation(0);
      packet !== NONE;
      packet = host.network.nextAdaptation(0)
    ) {
      needs.push(host.network.adaptNeeds);
      host.machine.pool.release(packet);
    }
    expect(needs).toEqual([Need.CHECKSUM | Need.SEGMENTS, Need.CHECKSUM]);
    expect(host.outside()).toHaveLength(1);
  });

  test('is bounded, as is what waits for the way out', () => {
    const host = new Host({ offload: false });
    const [a, plain] = [host.guest(1), host.guest(2, { front: { features: none } })];
    const blank = host.machine.packet(tcp(a, plain.mac, 60));
    host.machine.pool.flags[blank] = 1;
    for (let i = 0; i < 5000; i++) {
      host.machine.pool.hold(blank);
      host.network.receive(a.vif.port, blank, 0);
    }
    host.machine.pool.release(blank);
    let given = 0;
    for (
      let packet = host.network.nextAdaptation(0);
      packet !== NONE;
      packet = host.network.nextAdaptation(0)
    ) {
      host.machine.pool.release(packet);
      given++;
    }
    expect(given).toBe(4096);
    expect(plain.vif.statistics.rxDropped).toBe(904);
    const packet = host.machine.packet(tcp(a, BROADCAST, 60));
    for (let i = 0; i < 1100; i++) host.uplink.enqueue(packet);
    host.machine.pool.release(packet);
    expect(host.outside()).toHaveLength(1024);
    expect(host.uplink.statistics).toMatchObject({ rxPackets: 1024, rxDropped: 76 });
    expect(host.machine.pool.free).toBe(640);
  });

  test('goes with the guest', () => {
    const host = new Host();
    const [a, plain] = [host.guest(1), host.guest(2, { front: { features: none } })];
    a.send(tcp(a, plain.mac, 9000), gso);
    host.turn();
    plain.vif.close();
    expect(host.network.nextAdaptation(0)).toBe(NONE);
    expect(host.machine.pool.free).toBe(640);
  });
});

describe('queues', () => {
  test('streams are spread over them and stay in order', () => {
    const host = new Host();
    const [a, b] = [host.guest(1), host.guest(2, { front: { queues: [queue, queue, queue] } })];
    for (let round = 0; round < 3; round++)
      for (let port = 0; port < 30; port++) a.send(tcp(a, b.mac, 60 + round, port));
    host.turn();
    expect(b.received.flat()).toHaveLength(90);
    for (const packets of b.received) {
      expect(packets.length).toBeGreaterThan(0);
      for (const packet of packets.filter(({ length }) => length === 120))
        expect(packets.filter((other) => other.startsWith(packet)).map(({ length }) => length / 2)).toEqual([
          60, 61, 62,
        ]);
    }
  });

  test('share a turn', () => {
    const host = new Host();
    const [a, b] = [host.guest(1, { front: { queues: [queue, queue] } }), host.guest(2)];
    for (let i = 0; i < 20; i++)
      for (const queue of [0, 1]) a.send(frameOf(b.mac, a.mac, 60, queue), { queue });
    for (let i = 0; i < 4; i++) host.turn(5);
    const from = b.received[0]!.map((packet) => packet.slice(-1));
    expect(from.filter((queue) => queue === '0')).toHaveLength(10);
    expect(from.filter((queue) => queue === '1')).toHaveLength(10);
  });
});

test('multicast that a guest has not asked for does not come once it filters; broadcast does', () => {
  const host = new Host();
  const [a, b] = [host.guest(1), host.guest(2, { front: { multicastControl: true } })];
  const group = Uint8Array.of(1, 0, 0x5e, 0, 0, 0xfb);
  const sendAll = (): number => {
    b.received[0]!.length = 0;
    for (const to of [group, Uint8Array.of(1, 0, 0x5e, 0, 0, 0xfc), BROADCAST]) a.send(frameOf(to, a.mac));
    host.turn();
    return b.received[0]!.length;
  };
  expect(sendAll()).toBe(1);
  b.send(frameOf(group, b.mac), { extras: [mcastExtra(2, group)] });
  host.turn();
  expect(sendAll()).toBe(2);
  b.vif.filtersMulticast = false;
  expect(sendAll()).toBe(3);
  b.vif.filtersMulticast = true;
  b.send(frameOf(group, b.mac), { extras: [mcastExtra(3, group)] });
  host.turn();
  expect(sendAll()).toBe(1);
  const others = [macOf(1), group, macOf(2)];
  for (const mac of others) b.send(frameOf(group, b.mac), { extras: [mcastExtra(2, mac)] });
  b.send(frameOf(group, b.mac), { extras: [mcastExtra(3, group)] });
  host.turn();
  expect(sendAll()).toBe(1);
  for (const mac of others) b.send(frameOf(group, b.mac), { extras: [mcastExtra(3, mac)] });
  host.turn();
  b.statuses.length = 0;
  for (let i = 0; i < 65; i++) b.send(frameOf(group, b.mac), { extras: [mcastExtra(2, macOf(i))] });
  host.turn();
  expect(b.statuses.filter((status) => status !== 1)).toEqual([...new Array(64).fill(0), -1]);
});

test('a link that is down carries nothing either way', () => {
  const host = new Host();
  const [a, b] = [host.guest(1), host.guest(2)];
  b.vif.carrier = false;
  a.send(frameOf(b.mac, a.mac));
  b.send(frameOf(a.mac, b.mac));
  host.turn();
  expect([a.received[0], b.received[0]]).toEqual([[], []]);
  expect(b.statuses).toEqual([0]);
  expect(host.machine.pool.free).toBe(640);
});

describe('a hostile guest', () => {
  const honest = (host: Host): void => {
    const [c, d] = [host.guest(30), host.guest(31)];
    for (let i = 0; i < 50; i++) {
      c.send(frameOf(d.mac, c.mac, 60, i));
      host.turn();
    }
    expect(d.received[0]).toHaveLength(50);
    expect(c.statuses).toEqual(new Array(50).fill(0));
  };

  test('XSA-39, XSA-374: with a broken ring is closed with a reason; what it has under way ends', () => {
    const host = new Host();
    const [evil, b] = [host.guest(1), host.guest(2)];
    evil.send(frameOf(b.mac, evil.mac));
    b.buffers = 0;
    b.send(frameOf(evil.mac, b.mac));
    host.turn();
    evil.vif.broken('rx ring 0');
    expect(evil.vif.failure).toBe('rx ring 0: more requests than it has slots');
    evil.send(frameOf(b.mac, evil.mac));
    host.turn();
    expect(evil.vif.statistics.txPackets).toBe(1);
    honest(host);
    evil.vif.close();
    host.guests.splice(0, 1);
    b.buffers = 10;
    host.turn();
    expect(b.received[0]).toHaveLength(1);
    expect(host.machine.pool.free).toBe(640);
  });

  test('with a malformed chain is closed, too', () => {
    const host = new Host();
    const evil = host.guest(1);
    evil.vif.take(0, txSlot({ size: 100, flags: MORE }), 1);
    expect(evil.vif.failure).toBe('tx ring 0: a packet has no end');
    honest(host);
  });

  test('that posts no buffers costs the others nothing (XSA-392)', () => {
    const host = new Host();
    const evil = [1, 2, 3, 4, 5, 6].map((number) => host.guest(number));
    const sender = host.guest(9);
    for (const guest of evil) guest.buffers = 0;
    for (let i = 0; i < 400; i++) {
      for (const guest of evil) sender.send(frameOf(guest.mac, sender.mac));
      host.turn();
      host.outside();
    }
    honest(host);
    for (const guest of evil) guest.vif.tick(host.now + 10_000);
    expect(host.machine.pool.free).toBe(640);
  });

  test('that says of a packet what it is not: it goes nowhere', () => {
    const host = new Host();
    const [evil, b] = [host.guest(1), host.guest(2)];
    evil.send(frameOf(b.mac, evil.mac), { flags: BLANK });
    evil.send(tcp(evil, b.mac, 3000), { flags: BLANK, extras: [gsoExtra(1448, 2)] });
    evil.send(tcp(evil, b.mac, 3000), { flags: 0, extras: [gsoExtra(1448, 1)] });
    evil.send(frameOf(b.mac, evil.mac, 3000), { flags: BLANK, extras: [gsoExtra(1448, 1)] });
    evil.send(tcp(evil, b.mac, 3000), { flags: BLANK, extras: [gsoExtra(47, 1)] });
    host.turn();
    expect(b.received[0]).toEqual([]);
    expect(evil.vif.statistics.txErrors).toBe(5);
    honest(host);
    expect(host.machine.pool.free).toBe(640);
  });

  test('that speaks for another is not heard', () => {
    const host = new Host();
    const [evil, b] = [host.guest(1), host.guest(2)];
    evil.send(frameOf(BROADCAST, b.mac));
    host.turn();
    expect(evil.vif.statistics.txSpoofed).toBe(1);
    expect(host.outside()).toEqual([]);
    honest(host);
  });

  test('XSA-332: that rings for nothing has its port shut until the next tick', () => {
    const host = new Host();
    const evil = host.guest(1);
    let events = 0;
    while (evil.vif.event(false)) events++;
    expect(events).toBeLessThan(100);
    expect(evil.vif.events.shut).toBe(true);
    expect(evil.vif.tick(0)).toBe(true);
    expect(evil.vif.tick(0)).toBe(false);
    for (let i = 0; i < 1000; i++) expect(evil.vif.event(true)).toBe(true);
    expect(evil.vif.statistics).toMatchObject({ idleEvents: events + 1, delayedEvents: 1 });
  });

  test('with a rate sends that much, while others send at will', () => {
    const host = new Host();
    const [slow, b] = [host.guest(1, { rate: { bytes: 1000, microseconds: 50_000 } }), host.guest(2)];
    for (let i = 0; i < 25; i++) slow.send(frameOf(b.mac, slow.mac, 9000, 1));
    host.turn();
    expect(b.received[0]).toHaveLength(Math.floor(131072 / 9000));
    expect(slow.vif.planTx(host.copies, 1, 0)).toBe('credit');
    expect(slow.vif.creditAtMs).toBe(50);
    honest(host);
  });
});
