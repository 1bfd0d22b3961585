// The tx ring: whatever a guest puts into it, packets that make sense come over byte for byte, in order; every slot of the others is answered
// ERROR; and what no frontend does by mistake closes the device with a reason.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CopyBatch } from '../../netback/vif/core/copies.ts';
import { Credit } from '../../netback/vif/core/credit.ts';
import { Statistics } from '../../netback/vif/core/statistics.ts';
import { TxQueue } from '../../netback/vif/core/tx.ts';
import { gsoExtra, hex, Machine, mcastExtra, txSlot } from './kit.ts';

const GUEST = 7;
const MORE = 4;
const EXTRA = 8;

/** A queue of a guest whose packets are kept. */
class Bench {
  readonly machine: Machine = new Machine();
  readonly copies: CopyBatch = new CopyBatch(512);
  readonly statistics: Statistics = new Statistics();
  readonly orders: string[] = [];
  readonly sent: Uint8Array[] = [];
  readonly queue: TxQueue;

  constructor(credit?: Credit, offersGso = true, filterTakes = true) {
    const { pool } = this.machine;
    const { statistics } = this;
    const filter = (order: number, bytes: Uint8Array, at: number): boolean => {
      this.orders.push(`${order} ${hex(bytes.subarray(at, at + 6))}`);
      return filterTakes;
    };
    this.queue = new TxQueue(
      { domid: GUEST, pool, statistics, credit, offersGso: () => offersGso, filter },
      256,
    );
  }

  take(...slots: readonly Buffer[]): string | undefined {
    return this.queue.take(Buffer.concat(slots), slots.length);
  }

  /** One turn. What it waits for. */
  turn(limit = 256, now = 0): string {
    this.copies.clear();
    const pause = this.queue.plan(this.copies, limit, now);
    this.machine.carryOut(this.copies);
    this.queue.copied(this.copies, {
      accept: (packet) => {
        this.sent.push(this.machine.bytes(packet));
        this.machine.pool.release(packet);
      },
    });
    return pause;
  }

  /** Responses so far: id and status. */
  responses(): [number, number][] {
    const all: [number, number][] = [];
    const slot = Buffer.alloc(12);
    while (this.queue.response(slot)) all.push([slot.readUInt16LE(0), slot.readInt16LE(2)]);
    return all;
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
const fill = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);

/** A packet as pieces in pages of its own; `wrong` makes it one that has to be refused. */
interface Plan {
  readonly sizes: readonly number[];
  readonly gso: boolean;
  readonly wrong: 'nothing' | 'larger' | 'empty' | 'grant' | 'repeated';
}

const plan: fc.Arbitrary<Plan> = fc.record({
  sizes: fc
    .array(fc.integer({ min: 1, max: 4096 }), { minLength: 1, maxLength: 18, size: 'max' })
    .map((sizes) => [Math.max(14, sizes[0]!), ...sizes.slice(1)])
    .filter((sizes) => sum(sizes) <= 65535),
  gso: fc.boolean(),
  wrong: fc.oneof(
    { weight: 4, arbitrary: fc.constant('nothing' as const) },
    { weight: 1, arbitrary: fc.constantFrom('larger', 'empty', 'grant', 'repeated') },
  ),
});

test('any packets in any turns: what makes sense arrives whole and in order, every slot has its answer', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(plan, { maxLength: 6, size: 'max' }), { maxLength: 6, size: 'max' }),
      fc.integer({ min: 1, max: 8 }),
      (batches, limit) => {
        const bench = new Bench();
        const sent: string[] = [];
        let id = 0xfff0;
        for (const batch of batches) {
          const slots: Buffer[] = [];
          const expected: [number, number][] = [];
          for (const { sizes, gso, wrong } of batch) {
            const packet = fill(sum(sizes), id);
            const bad =
              wrong === 'larger' ||
              wrong === 'grant' ||
              (wrong === 'repeated' ? gso : wrong === 'empty' && sizes.length > 1);
            if (!bad) sent.push(hex(packet));
            for (const [i, size] of sizes.entries()) {
              const at = sum(sizes.slice(0, i));
              const offset = (4096 - size) >> 1;
              const gref = bench.machine.grant(GUEST, packet.subarray(at, at + size), offset);
              const isLast = i === sizes.length - 1;
              if (wrong === 'grant' && i === packet.length % sizes.length) bench.machine.revoke(GUEST, gref);
              const said =
                wrong === 'empty' && i > 0 ? 0 : i > 0 ? size : wrong === 'larger' ? 0 : packet.length;
              const flags = (isLast ? 0 : MORE) | (i === 0 && gso ? EXTRA : 0);
              id = (id + 1) & 0xffff;
              slots.push(txSlot({ gref, offset, flags, id, size: said }));
              expected.push([id, bad ? -1 : 0]);
              if (i > 0 || !gso) continue;
              const extras =
                wrong === 'repeated' ? [gsoExtra(1448, 1, 1), gsoExtra(1448, 1)] : [gsoExtra(1448, 1)];
              slots.push(...extras);
              for (const _ of extras) expected.push([0, 1]);
            }
          }
          if (slots.length > 256) return;
          expect(bench.take(...slots)).toBeUndefined();
          while (bench.turn(limit) !== 'idle');
          expect(bench.responses()).toEqual(expected);
        }
        expect(bench.sent.map(hex)).toEqual(sent);
        expect(bench.machine.pool.free, 'nothing is kept').toBe(80);
        expect(bench.statistics.txPackets).toBe(sent.length);
      },
    ),
    { numRuns: 60 },
  );
});

test('responses: each slot its own id, in the order of the ring, extra info NULL', () => {
  const bench = new Bench();
  const page = bench.machine.grant(GUEST, fill(4096, 0));
  bench.take(
    txSlot({ gref: page, id: 5, size: 300, flags: MORE | EXTRA }),
    gsoExtra(1448, 1),
    txSlot({ gref: page, id: 3, size: 100 }),
    txSlot({ gref: page, id: 9, size: 13 }),
    txSlot({ gref: page, id: 9, size: 14 }),
  );
  expect(bench.responses()).toEqual([]);
  expect(bench.turn()).toBe('idle');
  expect(bench.responses()).toEqual([
    [5, 0],
    [0, 1],
    [3, 0],
    [9, -1],
    [9, 0],
  ]);
});

test('any bytes at all: no exception, no copy outside of a page, nothing kept', () => {
  const dirty = fc.array(
    fc.oneof(
      fc.uint8Array({ minLength: 12, maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
      fc
        .tuple(fc.nat(4200), fc.nat(0xf), fc.nat(4200))
        .map(([offset, flags, size]) => txSlot({ gref: 8, offset, flags, size })),
    ),
    { minLength: 1, maxLength: 256, size: 'max' },
  );
  fc.assert(
    fc.property(dirty, (slots) => {
      const bench = new Bench();
      bench.machine.grant(GUEST, fill(4096, 1));
      bench.take(...slots);
      bench.turn();
      for (let i = 0; i < bench.copies.count; i++)
        expect(bench.copies.offsets[i]! + bench.copies.lengths[i]!).toBeLessThanOrEqual(4096);
      expect(bench.copies.statuses.includes(-10)).toBe(false);
      expect(bench.machine.pool.free).toBe(80);
      for (const [, status] of bench.responses()) expect([-1, 0, 1]).toContain(status);
    }),
  );
});

describe('the device is closed, and what came before stands', () => {
  const last = (count: number): Buffer[] => [
    txSlot({ size: 2000, flags: MORE }),
    ...Array.from({ length: count - 2 }, () => txSlot({ size: 10, flags: MORE })),
    txSlot({ size: 10 }),
  ];
  test.each<[string, readonly Buffer[]]>([
    ['a packet has no end', [txSlot({ size: 100, flags: MORE })]],
    ['a packet of more than 20 slots', last(21)],
    ['extra info is missing', [txSlot({ size: 100, flags: EXTRA })]],
    ['extra info is missing', [txSlot({ size: 100, flags: EXTRA }), gsoExtra(1448, 1, 1)]],
    ['extra info of type 0', [txSlot({ size: 100, flags: EXTRA }), Buffer.alloc(12)]],
    ['extra info of type 6', [txSlot({ size: 100, flags: EXTRA }), Buffer.alloc(12, 6)]],
    ['segmentation of type 3', [txSlot({ size: 100, flags: EXTRA }), gsoExtra(1448, 3)]],
    ['segmentation of type 0', [txSlot({ size: 100, flags: EXTRA }), gsoExtra(1448, 0)]],
    ['segments of 0 bytes', [txSlot({ size: 100, flags: EXTRA }), gsoExtra(0, 1)]],
    ['bytes 4000 to 4100 of a page of 4096', [txSlot({ size: 100, offset: 4000 })]],
    [
      'bytes 65535 to 131070 of a page of 4096',
      [txSlot({ size: 100, flags: MORE }), txSlot({ size: 65535, offset: 65535 })],
    ],
  ])('%s', (reason, slots) => {
    const bench = new Bench();
    const gref = bench.machine.grant(GUEST, fill(100, 0));
    expect(bench.take(txSlot({ gref, id: 1, size: 100 }), ...slots)).toBe(reason);
    bench.turn();
    expect(bench.sent).toHaveLength(1);
    expect(bench.responses()).toEqual([[1, 0]]);
  });
});

describe('advisories', () => {
  test('XSA-423: headers scattered over slots lie in one piece afterwards', () => {
    const bench = new Bench();
    const packet = fill(60, 3);
    const slots = [...packet.subarray(1, 18)].map((byte, i, { length }) =>
      txSlot({
        gref: bench.machine.grant(GUEST, Uint8Array.of(byte), 4095),
        offset: 4095,
        flags: i < length - 1 ? MORE : 0,
        size: 1,
      }),
    );
    const first = bench.machine.grant(GUEST, packet.subarray(0, 1), 9);
    bench.take(txSlot({ gref: first, offset: 9, flags: MORE, size: 18 }), ...slots);
    bench.turn();
    expect(bench.sent.map(hex)).toEqual([hex(packet.subarray(0, 18))]);
  });

  test('XSA-432: a tiny packet in the most slots copies its own bytes and no more', () => {
    const bench = new Bench();
    const gref = bench.machine.grant(GUEST, fill(4096, 0));
    bench.take(
      txSlot({ gref, flags: MORE, size: 18 }),
      ...Array.from({ length: 17 }, (_, i) => txSlot({ gref, flags: i < 16 ? MORE : 0, size: 1 })),
    );
    bench.turn();
    expect(bench.copies.count).toBe(18);
    expect(bench.sent[0]).toHaveLength(18);
  });

  test('XSA-448: an empty fragment is an error of its packet only', () => {
    const bench = new Bench();
    const gref = bench.machine.grant(GUEST, fill(4096, 0));
    bench.take(
      txSlot({ gref, id: 1, flags: MORE, size: 100 }),
      txSlot({ gref, id: 2, size: 0 }),
      txSlot({ gref, id: 3, size: 64 }),
    );
    bench.turn();
    expect(bench.responses()).toEqual([
      [1, -1],
      [2, -1],
      [3, 0],
    ]);
  });

  test('more slots than every backend takes are an error of that packet; its slots are all consumed', () => {
    const bench = new Bench();
    const gref = bench.machine.grant(GUEST, fill(4096, 0));
    const chain = (slots: number): Buffer[] =>
      Array.from({ length: slots }, (_, i) =>
        txSlot({ gref, id: i, flags: i < slots - 1 ? MORE : 0, size: i === 0 ? 1000 : 10 }),
      );
    bench.take(...chain(19), ...chain(18));
    bench.turn();
    expect(bench.responses().map(([, status]) => status)).toEqual([
      ...new Array(19).fill(-1),
      ...new Array(18).fill(0),
    ]);
  });

  test('XSA-367: a page that cannot be had costs its packet; nothing of it is passed on', () => {
    const bench = new Bench();
    const gref = bench.machine.grant(GUEST, fill(4096, 0));
    bench.take(txSlot({ gref, id: 1, flags: MORE, size: 100 }), txSlot({ gref: 999, id: 2, size: 50 }));
    bench.turn();
    expect(bench.sent).toEqual([]);
    expect(bench.responses()).toEqual([
      [1, -1],
      [2, -1],
    ]);
    expect(bench.machine.pool.free).toBe(80);
    expect(bench.statistics.txErrors).toBe(1);
  });

  test('XSA-457: whatever is refused, no memory stays behind', () => {
    const bench = new Bench(undefined, false);
    const gref = bench.machine.grant(GUEST, fill(4096, 0));
    for (let i = 0; i < 100; i++) {
      bench.take(
        txSlot({ gref, flags: EXTRA, size: 1000 }),
        gsoExtra(1448, 1),
        txSlot({ gref: 999, size: 1000 }),
        txSlot({ gref, flags: EXTRA, size: 1000 }),
        gsoExtra(3, 1),
      );
      bench.turn();
      expect(bench.responses().filter(([, status]) => status === 0)).toEqual([]);
    }
    expect(bench.machine.pool.free).toBe(80);
  });
});

test('orders for the multicast filter send nothing', () => {
  const group = Uint8Array.of(1, 0, 0x5e, 0, 0, 0xfb);
  const orders = [
    txSlot({ id: 1, flags: EXTRA, size: 0 }),
    mcastExtra(2, group),
    txSlot({ id: 2, flags: EXTRA, size: 100 }),
    mcastExtra(3, group),
  ];
  const bench = new Bench();
  bench.take(...orders);
  bench.turn();
  expect(bench.orders).toEqual(['2 01005e0000fb', '3 01005e0000fb']);
  expect(bench.copies.count).toBe(0);
  expect(bench.responses()).toEqual([
    [1, 0],
    [0, 1],
    [2, 0],
    [0, 1],
  ]);
  const full = new Bench(undefined, true, false);
  full.take(...orders.slice(0, 2));
  full.turn();
  expect(full.responses()).toEqual([
    [1, -1],
    [0, 1],
  ]);
});

describe('limits', () => {
  test('a rate: a burst of 131072 bytes, then so many a period; nothing is lost meanwhile', () => {
    const bench = new Bench(Credit.ofRate(3000, 50_000, 0));
    const gref = bench.machine.grant(GUEST, fill(4096, 0));
    const send = (count: number): void => {
      bench.take(...Array.from({ length: count }, () => txSlot({ gref, size: 1500 })));
    };
    send(100);
    while (bench.turn(256, 0) === 'memory');
    const burst = Math.floor(131072 / 1500);
    expect(bench.sent).toHaveLength(burst);
    expect(bench.machine.pool.free).toBe(80);
    expect(bench.responses()).toHaveLength(burst);
    expect(bench.turn(256, 49)).toBe('credit');
    expect(bench.sent).toHaveLength(burst);
    bench.turn(256, 50);
    expect(bench.sent).toHaveLength(burst + 2);
    for (let now = 100; now <= 500; now += 50) bench.turn(256, now);
    expect(bench.sent).toHaveLength(100);
    expect(bench.responses()).toHaveLength(100 - burst);
  });

  test('no memory: it waits, and goes on', () => {
    const bench = new Bench();
    const gref = bench.machine.grant(GUEST, fill(4096, 0));
    const taken = Array.from({ length: 64 }, () => bench.machine.pool.take(100));
    bench.take(txSlot({ gref, id: 1, size: 100 }));
    expect(bench.turn()).toBe('memory');
    expect(bench.responses()).toEqual([]);
    bench.machine.pool.release(taken[0]!);
    expect(bench.turn()).toBe('idle');
    expect(bench.responses()).toEqual([[1, 0]]);
  });

  test('a turn is as long as the caller says, and a batch of copies is not overfilled', () => {
    const bench = new Bench();
    const gref = bench.machine.grant(GUEST, fill(4096, 0));
    bench.take(...Array.from({ length: 10 }, () => txSlot({ gref, size: 64 })));
    expect(bench.turn(3)).toBe('turn');
    expect(bench.responses()).toHaveLength(3);
    expect(bench.queue.waiting).toBe(7);
    const copies = new CopyBatch(2);
    expect(bench.queue.plan(copies, 256, 0)).toBe('copies');
    expect(copies.count).toBe(2);
  });
});
