// A guest that means harm: each known advisory on block backends, and each check that a request needs, as a test. A bad request costs
// an error, a bad ring costs the device, and nobody else notices.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlkifOp, BlkifStatus, layoutOf } from '../../blkback/core/blkif.ts';
import { Vbd } from '../../blkback/core/vbd.ts';
import { Machine, plainDisk } from './machine.ts';
import { type Asked, descriptors, slotOf } from './slots.ts';

const { READ, WRITE, WRITE_BARRIER, FLUSH_DISKCACHE, DISCARD, INDIRECT } = BlkifOp;
const { OKAY, ERROR, EOPNOTSUPP } = BlkifStatus;

const page = (gref: number, first = 0, last = 7) => ({ gref, first, last });

/** The status that a request gets; nothing of it may reach the disk unless it is OKAY. */
function answer(machine: Machine, asked: Asked): number {
  const before = machine.vbd.statistics.transfers;
  machine.ask(asked);
  machine.turn();
  const begun = machine.vbd.statistics.transfers - before;
  machine.finish();
  const { id, status } = machine.responses[0]!.at(-1)!;
  expect(id).toBe(BigInt(asked.id));
  if (status !== OKAY) expect(begun).toBe(0);
  return status;
}

describe('a bad request costs an error', () => {
  const machine = new Machine();
  machine.page(1);
  const cases: readonly (readonly [string, Asked, number])[] = [
    ['an operation nobody knows', { op: 200, id: 1 }, EOPNOTSUPP],
    ['the reserved operation', { op: BlkifOp.RESERVED_1, id: 1, segments: [page(1)] }, EOPNOTSUPP],
    ['a read of no segments', { op: READ, id: 2 }, ERROR],
    ['more segments than a slot has', { op: WRITE, id: 3, segments: [page(1)], nrSegments: 12 }, ERROR],
    ['255 segments', { op: READ, id: 3, segments: [page(1)], nrSegments: 255 }, ERROR],
    ['a barrier with too many', { op: WRITE_BARRIER, id: 3, segments: [page(1)], nrSegments: 12 }, ERROR],
    ['a flush with too many', { op: FLUSH_DISKCACHE, id: 3, nrSegments: 200 }, ERROR],
    ['a segment that ends behind its page', { op: READ, id: 4, segments: [page(1, 0, 8)] }, ERROR],
    ['a segment of 255', { op: READ, id: 4, segments: [page(1, 0, 255)] }, ERROR],
    ['a segment that ends before it starts', { op: READ, id: 5, segments: [page(1, 3, 2)] }, ERROR],
    ['one bad segment among good ones', { op: WRITE, id: 5, segments: [page(1), page(1, 7, 6)] }, ERROR],
    ['the end of the disk, crossed', { op: WRITE, id: 6, sector: 249, segments: [page(1)] }, ERROR],
    ['the end of the disk, reached', { op: WRITE, id: 6, sector: 248, segments: [page(1)] }, OKAY],
    ['far beyond', { op: READ, id: 7, sector: 1n << 40n, segments: [page(1)] }, ERROR],
    ['a sum that wraps', { op: READ, id: 8, sector: (1n << 64n) - 4n, segments: [page(1)] }, ERROR],
    ['a sum that wraps in bytes', { op: WRITE, id: 8, sector: 1n << 55n, segments: [page(1)] }, ERROR],
    ['a discard whose sum wraps', { op: DISCARD, id: 9, sector: 8, nrSectors: (1n << 64n) - 8n }, ERROR],
    ['a discard of more than there is', { op: DISCARD, id: 9, sector: 1, nrSectors: 256 }, ERROR],
    ['a discard of nothing', { op: DISCARD, id: 9, sector: 0, nrSectors: 0 }, ERROR],
    ['a grant that is none', { op: WRITE, id: 10, segments: [page(999)] }, ERROR],
    [
      'any handle: the ring says which disk is meant',
      { op: READ, id: 11, handle: 0xffff, segments: [page(1)] },
      OKAY,
    ],
  ];
  test.each(cases)('%s', (_, asked, status) => {
    expect(answer(machine, asked)).toBe(status);
  });

  const indirects: readonly (readonly [string, { op: number; count: number; grefs: number[] }])[] = [
    ['no segments', { op: READ, count: 0, grefs: [50] }],
    ['one more than was offered', { op: READ, count: 33, grefs: [50] }],
    ['65535', { op: WRITE, count: 65535, grefs: [50] }],
    ['an indirect indirect one', { op: INDIRECT, count: 1, grefs: [50] }],
    ['an indirect discard', { op: DISCARD, count: 1, grefs: [50] }],
    ['an indirect flush', { op: FLUSH_DISKCACHE, count: 1, grefs: [50] }],
    ['a page of segments that is not granted', { op: READ, count: 1, grefs: [777] }],
    ['a bad segment in that page', { op: READ, count: 2, grefs: [51] }],
  ];
  machine.page(50).set(descriptors([page(1)]));
  machine.page(51).set(descriptors([page(1), page(1, 0, 9)]));
  test.each(indirects)('indirect: %s', (_, indirect) => {
    expect(answer(machine, { op: INDIRECT, id: 1, sector: 0, indirect })).toBe(ERROR);
  });

  test('and then the disk is as good as before', () => {
    expect(answer(machine, { op: READ, id: 1, sector: 0, segments: [page(1)] })).toBe(OKAY);
    expect(machine.vbd.state).toBe('open');
  });
});

describe('advisories', () => {
  test('155: what is checked is what is used: slots and pages of segments are read once', () => {
    // The machine overwrites each slot when the core has had it; here the page of segments changes too, after its one copy.
    const machine = new Machine();
    machine.page(1).fill(1);
    machine.page(2).fill(2);
    machine.page(50).set(descriptors([page(1)]));
    machine.ask({ op: WRITE, id: 1, sector: 0, segments: [page(2)] });
    machine.ask({ op: INDIRECT, id: 2, sector: 0, indirect: { op: WRITE, count: 1, grefs: [50] } });
    machine.turn();
    machine.page(50).fill(0xff);
    machine.finish();
    expect(machine.responses[0]!.map(({ status }) => status)).toEqual([OKAY, OKAY]);
    expect(machine.medium[0]).toBe(1);
    expect(machine.log.filter((line) => line.startsWith('FETCH')).length).toBe(1);
  });

  test('216: a response shows nothing that was not meant: padding is zero', () => {
    for (const protocol of ['x86_64-abi', 'x86_32-abi'] as const) {
      const layout = layoutOf(protocol);
      const vbd = new Vbd({
        disk: plainDisk,
        protocol,
        ringSizes: [32],
        persistent: false,
        indirectSegments: 0,
        answers: 'in order',
      });
      vbd.request(0, slotOf(layout, { op: 9, id: 0 }));
      vbd.take(1);
      const bytes = new Uint8Array(layout.slotBytes).fill(0xee);
      vbd.details.response(0, bytes);
      expect([...bytes.subarray(0, layout.responseBytes)]).toEqual(
        [...new Array(8).fill(0), 9, 0, 0xfe, 0xff, 0, 0, 0, 0].slice(0, layout.responseBytes),
      );
    }
  });

  test.each([
    ['39 and 197: one request too many', 33],
    ['39 and 197: an index that ran backwards', 0xffffffff],
    ['39 and 197: half the numbers ahead', 0x80000000],
  ])('%s breaks the ring: the device says why and ends, and others go on', (_, reqProd) => {
    const machine = new Machine({ persistent: true });
    const other = new Machine();
    for (const each of [machine, other]) {
      each.page(1);
      each.ask({ op: WRITE, id: 1, sector: 0, segments: [page(1)] });
      each.turn();
    }
    machine.forge(0, reqProd);
    machine.turn();
    machine.turn();
    expect(machine.vbd.state).toBe('broken');
    expect(machine.vbd.failure).toBe('ring 0: more requests than the ring has slots');
    expect(machine.vbd.appetite(0)).toBe(0);
    machine.complete();
    expect(machine.responses[0], 'a broken ring is not written to').toEqual([]);
    expect(machine.log.slice(-3).map((line) => line.split(' ')[0])).toEqual(['FATAL', 'UNMAP', 'CLOSED']);
    other.finish();
    expect(other.responses[0]!.length).toBe(1);
  });

  test('332: events without requests cost their ring its events until the next tick', () => {
    const machine = new Machine({ queues: 2, limits: { idleEvents: 100 } });
    const { vbd } = machine;
    for (let i = 0; i < 1000; i++) {
      expect(vbd.event(0, 1)).toBe(true);
      expect(vbd.event(0, 0), 'one for each that is useful is how things are').toBe(true);
    }
    let open = 0;
    while (vbd.event(0, 0)) open++;
    expect(open).toBeLessThanOrEqual(100);
    expect(vbd.event(1, 0), 'the other ring').toBe(true);
    vbd.tick();
    machine.work();
    expect(machine.log).toEqual(['REARM 0']);
    expect(vbd.event(0, 0)).toBe(true);
  });

  test('350: a device that closes finishes what it has before its end, once', () => {
    const machine = new Machine({ persistent: true });
    machine.page(1);
    machine.page(2);
    machine.ask({ op: WRITE, id: 1, sector: 0, segments: [page(1)] });
    machine.ask({ op: WRITE, id: 2, sector: 0, segments: [page(2)] });
    machine.turn();
    machine.vbd.close();
    machine.vbd.close();
    machine.ask({ op: WRITE, id: 3, sector: 0, segments: [page(1)] });
    machine.finish();
    machine.vbd.close();
    machine.vbd.ringBroken(0);
    machine.work();
    expect(machine.responses[0]!.map(({ id }) => id)).toEqual([1n, 2n]);
    expect(machine.log.filter((line) => line.startsWith('CLOSED')).length).toBe(1);
    expect(machine.mapped.size).toBe(0);
  });

  test('361, 362, 365: a grant that cannot be mapped costs its requests, and leaves nothing behind', () => {
    const machine = new Machine({ persistent: true, limits: { persistentGrants: 4 } });
    machine.page(1);
    machine.page(2);
    machine.bad.add(2);
    machine.ask({ op: READ, id: 1, sector: 0, segments: [page(1), page(2)] });
    machine.ask({ op: READ, id: 2, sector: 8, segments: [page(2)] });
    machine.ask({ op: READ, id: 3, sector: 16, segments: [page(1)] });
    machine.finish();
    expect(machine.responses[0]!.map(({ status }) => status)).toEqual([ERROR, ERROR, OKAY]);
    expect(machine.vbd.mappedPages).toBe(1);
    machine.bad.clear();
    machine.ask({ op: READ, id: 4, sector: 0, segments: [page(2)] });
    machine.finish();
    expect(machine.responses[0]!.at(-1)!.status, 'it is tried anew').toBe(OKAY);
  });

  test('371: grants that are never used again do not pile up', () => {
    const machine = new Machine({ persistent: true, limits: { persistentGrants: 10 } });
    for (let gref = 1; gref <= 200; gref++) {
      machine.page(gref);
      machine.ask({ op: READ, id: gref, sector: 0, segments: [page(gref)] });
      machine.finish();
      expect(machine.mapped.size).toBeLessThanOrEqual(10);
    }
    for (let minute = 0; minute < 200; minute++) machine.vbd.tick();
    machine.work();
    expect(machine.mapped.size).toBe(0);
  });

  test('361: the guest dies in the middle: everything ends in errors, nothing is kept', () => {
    const machine = new Machine();
    for (let id = 1; id <= 8; id++) {
      machine.page(id);
      machine.ask({ op: id % 2 === 0 ? READ : WRITE, id, sector: (id % 3) * 8, segments: [page(id)] });
    }
    machine.turn();
    for (let id = 1; id <= 8; id++) machine.bad.add(id);
    machine.finish();
    machine.vbd.close();
    machine.work();
    expect(machine.responses[0]!.length).toBe(8);
    expect(machine.vbd.state).toBe('closed');
  });
});

describe('legal, and strange', () => {
  test('one grant in all segments, one id for all requests', () => {
    const machine = new Machine({ persistent: true });
    machine.page(1).fill(7);
    for (let i = 0; i < 5; i++) {
      machine.ask({ op: WRITE, id: 42, sector: 0, segments: Array.from({ length: 11 }, () => page(1)) });
    }
    machine.finish();
    expect(machine.responses[0]!.map(({ id, status }) => [id, status])).toEqual(
      new Array(5).fill([42n, OKAY]),
    );
    expect(machine.medium[88 * 512 - 1]).toBe(7);
    expect(machine.mapped.size).toBe(1);
  });

  test('slots full of chance: each is answered, and nothing is left', () => {
    const slot = fc.tuple(
      fc.uint8Array({ minLength: 112, maxLength: 112 }),
      fc.constantFrom(0, 1, 2, 3, 4, 5, 6, undefined),
      fc.boolean(),
    );
    fc.assert(
      fc.property(fc.array(slot, { maxLength: 30 }), fc.boolean(), (slots, persistent) => {
        const machine = new Machine({ persistent, limits: { persistentGrants: 3 } });
        for (let gref = 0; gref < 4; gref++) machine.page(gref).fill(gref);
        for (const [bytes, op, tame] of slots) {
          if (op !== undefined) bytes[0] = op;
          if (tame) {
            // Small numbers where they matter, so that more comes through.
            bytes[1]! &= 3;
            bytes.fill(0, 17, 24);
            for (let at = 24; at < 112; at += 8) {
              bytes[at]! &= 7;
              bytes.fill(0, at + 1, at + 4);
              bytes[at + 4]! &= 3;
              bytes[at + 5] = 3 + (bytes[at + 5]! & 3);
            }
          }
          machine.fronts[0]!.request(bytes);
        }
        machine.fronts[0]!.publish();
        machine.finish();
        expect(machine.responses[0]!.length).toBe(slots.length);
        machine.vbd.close();
        machine.work();
        expect(machine.vbd.state).toBe('closed');
      }),
    );
  });
});
