// The rx ring, by a frontend that follows the header: packets of any size arrive whole, in order, in the buffers that were posted; a page that
// cannot be written costs its packet; and a guest that takes nothing keeps neither memory nor the others waiting.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CopyBatch } from '../../netback/vif/core/copies.ts';
import { PacketFlag } from '../../netback/vif/core/packets.ts';
import { type Held, type RxLimits, RxQueue, rxLimits } from '../../netback/vif/core/rx.ts';
import { Statistics } from '../../netback/vif/core/statistics.ts';
import { hex, Machine, rxSlot } from './kit.ts';

const GUEST = 9;
const NONE = -1;
const RxFlag = { VALIDATED: 1, BLANK: 2, MORE: 4, EXTRA: 8, PREFIX: 16 };

interface Received {
  readonly bytes: string;
  readonly flags: number;
  readonly extras: readonly string[];
  readonly prefix: number;
}

interface BenchOptions {
  readonly limits?: RxLimits;
  readonly notifies?: boolean;
  readonly prefix?: boolean;
  readonly machine?: Machine;
  /** Of a guest with several queues. */
  readonly held?: Held;
}

/** A queue and the frontend behind it, with a ring of its own. */
class Bench {
  readonly machine: Machine;
  readonly copies: CopyBatch = new CopyBatch(64);
  readonly statistics: Statistics = new Statistics();
  readonly queue: RxQueue;
  readonly received: (Received | 'error')[] = [];
  readonly #ring: { id: number; gref: number }[] = [];
  #given = 0;
  #answered = 0;
  #rest: Buffer[] = [];

  constructor(options: BenchOptions = {}) {
    const { limits = rxLimits, notifies = true, prefix = false, machine = new Machine() } = options;
    const { held = { small: 0, large: 0 } } = options;
    this.machine = machine;
    const { pool } = machine;
    const { statistics } = this;
    this.queue = new RxQueue(
      { domid: GUEST, pool, statistics, held, notifies, gsoPrefix: () => prefix },
      256,
      limits,
    );
  }

  send(bytes: Uint8Array, { gso = 0, flags = 0, hashType = NONE, now = 0 } = {}): boolean {
    const { pool } = this.machine;
    const packet = this.machine.packet(bytes);
    pool.flags[packet] = flags;
    pool.gsoTypes[packet] = gso;
    pool.gsoSizes[packet] = gso === 0 ? 0 : 1448;
    const taken = this.queue.enqueue(packet, hashType, 0x12345678, now);
    pool.release(packet);
    return taken;
  }

  /** The guest posts buffers. */
  post(count: number, granted = true): void {
    for (let i = 0; i < count; i++) {
      const gref = this.machine.grant(GUEST);
      if (!granted) this.machine.revoke(GUEST, gref);
      this.#ring.push({ id: this.#ring.length & 0xffff, gref });
    }
  }

  turn(now = 0): void {
    const count = Math.min(this.queue.wants, this.#ring.length - this.#given);
    const slots = this.#ring.slice(this.#given, this.#given + count).map(({ id, gref }) => rxSlot(id, gref));
    this.#given += count;
    this.queue.post(Buffer.concat(slots), count);
    this.copies.clear();
    this.queue.plan(this.copies, now);
    this.machine.carryOut(this.copies);
    this.queue.copied(this.copies);
    for (let slot = Buffer.alloc(8); this.queue.response(slot); slot = Buffer.alloc(8)) this.#rest.push(slot);
    while (this.#rest.length > 0) this.#receive();
  }

  /** One packet, read as netfront does: extra info behind the first slot, data until there is no more. */
  #receive(): void {
    const bytes: Uint8Array[] = [];
    const extras: string[] = [];
    let flags = 0;
    let prefix = 0;
    let failed = false;
    for (let more = true, first = true; more; ) {
      const { id, gref } = this.#ring[this.#answered++]!;
      const slot = this.#rest.shift()!;
      expect(slot.readUInt16LE(0), 'the slot of its request').toBe(id);
      const has = slot.readUInt16LE(4);
      more = (has & RxFlag.MORE) !== 0;
      if ((has & RxFlag.PREFIX) !== 0) {
        prefix = slot.readUInt16LE(2);
        continue;
      }
      if (first) flags = has;
      const status = slot.readInt16LE(6);
      if (status < 0) failed = true;
      else
        bytes.push(this.machine.page(GUEST, gref).slice(slot.readUInt16LE(2), slot.readUInt16LE(2) + status));
      for (let extra = first && (has & RxFlag.EXTRA) !== 0; extra; ) {
        this.#answered++;
        const info = this.#rest.shift()!;
        extras.push(hex(info));
        extra = (info[1]! & 1) !== 0;
      }
      first = false;
    }
    this.received.push(failed ? 'error' : { bytes: hex(Buffer.concat(bytes)), flags, extras, prefix });
  }
}

const fill = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 5 + seed) & 0xff);

type Step =
  | { readonly kind: 'send'; readonly length: number; readonly gso: 0 | 1 | 2; readonly hashed: boolean }
  | { readonly kind: 'post'; readonly count: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('send' as const),
    length: fc.oneof(fc.integer({ min: 14, max: 1514 }), fc.integer({ min: 14, max: 65535 })),
    gso: fc.constantFrom(0, 1, 2),
    hashed: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('post' as const), count: fc.integer({ min: 0, max: 40 }) }),
);

test('any packets into any buffers: whole, in order, each response in the slot of its request', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: 'max' }), fc.boolean(), (steps, prefix) => {
      const bench = new Bench({ prefix, limits: { ...rxLimits, bytes: 300_000 } });
      const sent: { bytes: string; gso: number; hashed: boolean }[] = [];
      for (const [i, event] of steps.entries()) {
        if (event.kind === 'post') bench.post(event.count);
        else {
          const { length, gso, hashed } = event;
          if (bench.machine.pool.free < 4) continue;
          const bytes = fill(length, i);
          if (bench.send(bytes, { gso, hashType: hashed ? 1 : NONE }))
            sent.push({ bytes: hex(bytes), gso, hashed });
        }
        bench.turn();
      }
      bench.post(1000);
      while (bench.queue.count > 0) bench.turn();
      expect(bench.received.map((packet) => packet !== 'error' && packet.bytes)).toEqual(
        sent.map(({ bytes }) => bytes),
      );
      for (const [i, packet] of bench.received.entries()) {
        if (packet === 'error') throw new Error('no page is missing');
        const { gso, hashed } = sent[i]!;
        expect(packet.prefix).toBe(gso !== 0 && prefix ? 1448 : 0);
        const extra = gso === 0 || prefix ? [] : [`01${hashed ? '01' : '00'}a8050${gso}000000`];
        expect(packet.extras).toEqual([...extra, ...(hashed ? ['0400010178563412'] : [])]);
      }
      expect(bench.machine.pool.free).toBe(80);
    }),
    { numRuns: 60 },
  );
});

test('flags: what is blank is also said to be right', () => {
  const bench = new Bench();
  bench.post(8);
  bench.send(fill(60, 0), { flags: PacketFlag.CSUM_BLANK });
  bench.send(fill(60, 0), { flags: PacketFlag.VALIDATED });
  bench.send(fill(60, 0));
  bench.turn();
  expect(bench.received.map((packet) => packet !== 'error' && packet.flags)).toEqual([3, 1, 0]);
});

test('extra info has nothing of what stood in its slot before', () => {
  const bench = new Bench();
  for (let i = 0; i < 300; i++) {
    bench.post(1);
    bench.send(fill(1500, i));
    bench.turn();
  }
  bench.post(1);
  bench.send(fill(3000, 0), { gso: 1 });
  bench.turn();
  expect(bench.received, 'it needs two').toHaveLength(300);
  bench.post(1);
  bench.turn();
  expect(bench.received[300]).toMatchObject({ extras: ['0100a80501000000'] });
});

test('requests are taken from the ring when there is something for them', () => {
  const bench = new Bench();
  bench.post(100);
  expect(bench.queue.wants).toBe(0);
  bench.send(fill(60, 0));
  bench.send(fill(9000, 0));
  expect(bench.queue.wants).toBe(4);
  bench.turn();
  expect(bench.queue.wants).toBe(0);
});

test('a page that cannot be written is an error of its packet; the next one arrives', () => {
  const bench = new Bench();
  bench.post(1);
  bench.post(1, false);
  bench.post(3);
  bench.send(fill(9000, 0));
  bench.send(fill(60, 1));
  bench.turn();
  expect(bench.received[0]).toBe('error');
  expect(bench.received[1]).toMatchObject({ bytes: hex(fill(60, 1)) });
  expect(bench.statistics).toMatchObject({ rxPackets: 1, rxErrors: 1, rxBytes: 60 });
  expect(bench.machine.pool.free).toBe(80);
});

describe('XSA-392: a guest that posts no buffers', () => {
  test('keeps so many packets and bytes, and no more', () => {
    const bench = new Bench({ machine: new Machine({ small: 4096, large: 64 }) });
    let taken = 0;
    while (bench.send(fill(60, 0))) taken++;
    expect(taken).toBe(512);
    const long = new Bench({ machine: new Machine({ small: 16, large: 128 }) });
    for (taken = 0; long.send(fill(60_000, 0)); ) taken++;
    expect(taken).toBe(Math.floor(2 ** 20 / 60_000));
  });

  test('and any number of them leave memory for the others', () => {
    const machine = new Machine({ small: 256, large: 4 });
    const silent = Array.from({ length: 20 }, () => new Bench({ machine }));
    for (let i = 0; i < 1000; i++) for (const bench of silent) bench.send(fill(60, 0));
    const honest = new Bench({ machine });
    honest.post(200);
    for (let i = 0; i < 100; i++) {
      expect(honest.send(fill(60, i))).toBe(true);
      honest.turn();
    }
    expect(honest.received).toHaveLength(100);
  });

  test('nor does it, one after the other, with all its queues', () => {
    const machine = new Machine({ small: 4096, large: 128 });
    const [short, long] = [fill(60, 0), fill(60_000, 0)];
    for (let guest = 0; guest < 12; guest++) {
      const held = { small: 0, large: 0 };
      const queues = Array.from({ length: 4 }, () => new Bench({ machine, held }));
      for (const bench of queues) {
        while (bench.send(short));
        while (bench.send(long));
      }
    }
    const honest = new Bench({ machine });
    honest.post(200);
    for (const length of [60, 20_000, 60, 20_000]) {
      expect(honest.send(fill(length, 0))).toBe(true);
      honest.turn();
    }
    expect(honest.received).toHaveLength(4);
  });

  test('loses after ten seconds what waits, after a minute what comes, and is back with its first buffer', () => {
    const bench = new Bench();
    bench.turn(0);
    bench.send(fill(60, 0), { now: 1000 });
    bench.turn(1000);
    bench.queue.tick(10_999);
    expect(bench.queue.count).toBe(1);
    bench.queue.tick(11_000);
    expect(bench.queue.count).toBe(0);
    expect(bench.statistics.rxExpired).toBe(1);
    bench.send(fill(60, 0), { now: 60_000 });
    bench.turn(60_000);
    bench.queue.tick(60_999);
    expect(bench.queue.stalled).toBe(false);
    bench.queue.tick(61_000);
    expect(bench.queue.stalled).toBe(true);
    expect(bench.send(fill(60, 0), { now: 61_001 })).toBe(false);
    expect(bench.machine.pool.free).toBe(80);
    bench.post(1);
    bench.turn(70_000);
    expect(bench.queue.stalled).toBe(false);
    expect(bench.send(fill(60, 7), { now: 70_000 })).toBe(true);
    bench.turn(70_000);
    expect(bench.received).toHaveLength(1);
  });

  test('is not taken for gone while it has buffers, though too few; nor if it never says when it posts some', () => {
    const few = new Bench();
    few.post(1);
    const silent = new Bench({ notifies: false });
    for (let now = 0; now < 200_000; now += 5000)
      for (const bench of [few, silent]) {
        bench.send(fill(9000, 0), { now });
        bench.turn(now);
        bench.queue.tick(now);
        expect(bench.queue.stalled).toBe(false);
        expect(bench.queue.count).toBeLessThan(4);
      }
    few.post(20);
    few.turn(200_000);
    expect(few.received.length).toBeGreaterThan(0);
  });

  test('for a while, with no traffic, is not taken for gone', () => {
    const bench = new Bench();
    bench.send(fill(60, 0));
    bench.turn(0);
    bench.post(2);
    bench.turn(1);
    expect(bench.received).toHaveLength(1);
    bench.queue.tick(100_000);
    expect(bench.queue.stalled).toBe(false);
  });
});
