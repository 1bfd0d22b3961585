// A disk in ordinary use: data arrives, neighbours travel together, flushes and barriers stand where they should, grants are kept, and
// the disk may grow or be changed meanwhile.
import { describe, expect, test } from 'vitest';
import { BlkifOp, BlkifStatus } from '../../blkback/core/blkif.ts';
import { noMedium } from '../../blkback/core/disk.ts';
import { Effect } from '../../blkback/core/effects.ts';
import { Machine, plainDisk } from './machine.ts';
import { type Asked, descriptors } from './slots.ts';

const { READ, WRITE, WRITE_BARRIER, FLUSH_DISKCACHE, DISCARD, INDIRECT } = BlkifOp;
const { OKAY, ERROR, EOPNOTSUPP } = BlkifStatus;

/** A whole page of the guest's, full of the gref. */
function one(machine: Machine, op: number, id: number, sector: number, gref = id): Asked {
  machine.page(gref).fill(gref);
  return { op, id, sector, segments: [{ gref, first: 0, last: 7 }] };
}

const statuses = (machine: Machine, queue = 0): number[] => machine.responses[queue]!.map((r) => r.status);
const kinds = (machine: Machine): number[] => machine.underWay.map(({ kind }) => kind);

describe('data', () => {
  test.each(['x86_64-abi', 'x86_32-abi', 'arm-abi'] as const)('%s: is written and read back', (protocol) => {
    const machine = new Machine({ protocol });
    machine.page(5).set([1, 2, 3], 1024);
    machine.page(6).set([9], 4095);
    const segments = [
      { gref: 5, first: 2, last: 2 },
      { gref: 6, first: 6, last: 7 },
    ];
    machine.ask({ op: WRITE, id: 0xffffffffffffffffn, sector: 10, segments });
    machine.finish();
    expect([...machine.medium.subarray(5120, 5123)]).toEqual([1, 2, 3]);
    expect(machine.medium[5120 + 3 * 512 - 1]).toBe(9);
    machine.page(7);
    machine.ask({ op: READ, id: 2, sector: 10, segments: [{ gref: 7, first: 1, last: 3 }] });
    machine.finish();
    expect([...machine.page(7).subarray(512, 515)]).toEqual([1, 2, 3]);
    expect(machine.page(7)[4 * 512 - 1]).toBe(9);
    expect(machine.page(7)[4 * 512], 'nothing outside the segment').toBe(0);
    expect(machine.responses[0]).toEqual([
      { id: 0xffffffffffffffffn, op: WRITE, status: OKAY },
      { id: 2n, op: READ, status: OKAY },
    ]);
  });

  test('an indirect request is answered as what it asks for, as Linux wants it', () => {
    const machine = new Machine();
    const segments = Array.from({ length: 20 }, (_, i) => ({ gref: 100 + i, first: 0, last: 7 }));
    for (const { gref } of segments) machine.page(gref).fill(gref);
    machine.page(99).set(descriptors(segments));
    machine.ask({ op: INDIRECT, id: 1, sector: 8, indirect: { op: WRITE, count: 20, grefs: [99] } });
    machine.finish();
    expect(machine.responses[0]).toEqual([{ id: 1n, op: WRITE, status: OKAY }]);
    expect(machine.medium[8 * 512 + 19 * 4096]).toBe(119);
  });

  test('waits for memory when there is none, and is not overtaken', () => {
    const machine = new Machine({ limits: { poolPages: 33 }, indirectSegments: 32 });
    const segments = Array.from({ length: 32 }, (_, i) => ({ gref: 100 + i, first: 0, last: 0 }));
    for (const { gref } of segments) machine.page(gref);
    machine.page(99).set(descriptors(segments));
    for (const id of [1, 2]) {
      machine.ask({ op: INDIRECT, id, sector: id * 50, indirect: { op: READ, count: 32, grefs: [99] } });
    }
    machine.ask(one(machine, READ, 3, 200));
    machine.turn();
    expect(machine.underWay.map(({ sector }) => sector)).toEqual([50]);
    expect(machine.vbd.statistics.ooReq).toBe(1);
    machine.finish();
    expect(statuses(machine)).toEqual([OKAY, OKAY, OKAY]);
  });

  test('of a disk with sectors of 4096 bytes starts and ends at such', () => {
    const machine = new Machine({ disk: { ...plainDisk, sectorSize: 4096 } });
    machine.page(1);
    const at = (id: number, sector: number, first: number, last: number): void =>
      machine.ask({ op: READ, id, sector, segments: [{ gref: 1, first, last }] });
    at(1, 8, 0, 7);
    at(2, 9, 0, 7);
    at(3, 8, 0, 3);
    machine.ask({
      op: READ,
      id: 4,
      sector: 8,
      segments: [
        { gref: 1, first: 0, last: 3 },
        { gref: 1, first: 4, last: 7 },
      ],
    });
    machine.ask({ op: DISCARD, id: 5, sector: 8, nrSectors: 4 });
    machine.finish();
    expect(statuses(machine)).toEqual([OKAY, ERROR, ERROR, ERROR, ERROR]);
  });
});

describe('neighbours', () => {
  test('go to the disk together, forwards and backwards', () => {
    const machine = new Machine();
    for (const [id, sector] of [
      [1, 0],
      [2, 8],
      [3, 16],
      [4, 108],
      [5, 100],
    ] as const) {
      machine.ask(one(machine, WRITE, id, sector));
    }
    machine.turn();
    expect(machine.underWay.map(({ sector, sectors }) => [sector, sectors])).toEqual([
      [0, 24],
      [100, 16],
    ]);
    machine.finish();
    expect([0, 8, 16, 100, 108].map((sector) => machine.medium[sector * 512])).toEqual([1, 2, 3, 5, 4]);
    expect(machine.vbd.statistics.merged).toBe(3);
    expect(machine.vbd.statistics.transfers).toBe(2);
  });

  test('come together from several rings', () => {
    const machine = new Machine({ queues: 2 });
    machine.ask(one(machine, READ, 1, 0), 0);
    machine.ask(one(machine, READ, 2, 8), 1);
    machine.turn();
    expect(machine.underWay.map(({ sectors }) => sectors)).toEqual([16]);
    machine.finish();
    expect(machine.responses.map((each) => each.length)).toEqual([1, 1]);
  });

  test('stay apart if they differ in kind, touch what conflicts, or become too much', () => {
    const machine = new Machine({ limits: { transferBytes: 8192 } });
    machine.ask(one(machine, READ, 1, 0));
    machine.ask(one(machine, WRITE, 2, 8));
    machine.ask(one(machine, WRITE, 3, 16));
    machine.ask(one(machine, WRITE, 4, 24));
    machine.turn();
    expect(machine.underWay.map(({ sector, sectors }) => [sector, sectors])).toEqual([
      [0, 8],
      [8, 16],
      [24, 8],
    ]);
  });

  test('do not pay for each other: what failed together is tried apart', () => {
    const machine = new Machine();
    for (const id of [1, 2, 3]) machine.ask(one(machine, READ, id, id * 8));
    machine.turn();
    machine.complete(0, -5);
    expect(machine.underWay.map(({ sector }) => sector)).toEqual([8, 16, 24]);
    machine.complete(1, -5);
    machine.finish();
    expect(statuses(machine)).toEqual([OKAY, ERROR, OKAY]);
  });

  test('gather while the disk is busy', () => {
    const machine = new Machine();
    machine.room = 1;
    for (const id of [1, 2, 3, 4]) {
      machine.ask(one(machine, WRITE, id, id * 8));
      machine.turn();
    }
    expect(machine.underWay.length).toBe(1);
    machine.complete();
    expect(machine.underWay.map(({ sectors }) => sectors)).toEqual([24]);
  });
});

describe('flush', () => {
  test('comes after older writes, and holds up no younger one', () => {
    const machine = new Machine();
    machine.ask(one(machine, WRITE, 1, 0));
    machine.ask({ op: FLUSH_DISKCACHE, id: 2 });
    machine.ask(one(machine, WRITE, 3, 100));
    machine.turn();
    expect(kinds(machine)).toEqual([Effect.WRITE, Effect.WRITE]);
    machine.complete(1);
    expect(kinds(machine)).toEqual([Effect.WRITE]);
    machine.complete(0);
    expect(kinds(machine)).toEqual([Effect.FLUSH]);
    expect(machine.responses[0]!.length).toBe(1);
    machine.complete();
    expect(statuses(machine)).toEqual([OKAY, OKAY, OKAY]);
  });

  test('several at a time are one', () => {
    const machine = new Machine();
    for (const id of [1, 2, 3]) machine.ask({ op: FLUSH_DISKCACHE, id });
    machine.turn();
    expect(kinds(machine)).toEqual([Effect.FLUSH]);
    machine.complete();
    expect(statuses(machine)).toEqual([OKAY, OKAY, OKAY]);
  });

  test('with data: what was written before is safe first, and the data behind it', () => {
    const machine = new Machine();
    machine.ask(one(machine, FLUSH_DISKCACHE, 1, 0));
    machine.turn();
    const seen: number[] = [];
    while (machine.underWay.length > 0) {
      seen.push(...kinds(machine));
      machine.complete();
    }
    expect(seen).toEqual([Effect.FLUSH, Effect.WRITE, Effect.FLUSH]);
  });

  test('a barrier lets no write pass in either direction', () => {
    const machine = new Machine();
    machine.ask(one(machine, WRITE, 1, 0));
    machine.ask(one(machine, WRITE_BARRIER, 2, 50));
    machine.ask(one(machine, WRITE, 3, 100));
    machine.ask(one(machine, READ, 4, 200));
    machine.turn();
    expect(kinds(machine), 'a read passes').toEqual([Effect.READ, Effect.WRITE]);
    machine.complete(0);
    for (const kind of [Effect.WRITE, Effect.FLUSH, Effect.WRITE, Effect.FLUSH, Effect.WRITE]) {
      expect(kinds(machine)).toEqual([kind]);
      machine.complete();
    }
    expect(statuses(machine)).toEqual([OKAY, OKAY, OKAY, OKAY]);
  });

  test('that the disk cannot do is answered so; a write that fails is not', () => {
    const machine = new Machine();
    machine.ask({ op: FLUSH_DISKCACHE, id: 1 });
    machine.turn();
    machine.complete(0, -95);
    machine.ask(one(machine, WRITE, 2, 0));
    machine.turn();
    machine.complete(0, -95);
    expect(statuses(machine)).toEqual([EOPNOTSUPP, ERROR]);
  });
});

describe('discard', () => {
  test('is secure if it is asked for and there', () => {
    for (const [secureDiscard, kind] of [
      [true, Effect.SECURE_DISCARD],
      [false, Effect.DISCARD],
    ] as const) {
      const machine = new Machine({ disk: { ...plainDisk, secureDiscard } });
      machine.ask({ op: DISCARD, id: 1, sector: 0, nrSectors: 5, flag: 1 });
      machine.ask({ op: DISCARD, id: 2, sector: 8, nrSectors: 5 });
      machine.turn();
      expect(kinds(machine)).toEqual([kind, Effect.DISCARD]);
      expect(machine.underWay.map(({ sector, sectors }) => [sector, sectors])).toEqual([
        [0, 5],
        [8, 5],
      ]);
      machine.finish();
      expect(statuses(machine)).toEqual([OKAY, OKAY]);
    }
  });
});

describe('what is refused', () => {
  test('without features: EOPNOTSUPP; on a read-only disk: ERROR', () => {
    const machine = new Machine({
      disk: { ...plainDisk, flush: false, barrier: false, discard: false },
      indirectSegments: 0,
    });
    machine.ask({ op: WRITE_BARRIER, id: 1 });
    machine.ask({ op: FLUSH_DISKCACHE, id: 2 });
    machine.ask({ op: DISCARD, id: 3, sector: 0, nrSectors: 1 });
    machine.ask({ op: INDIRECT, id: 4, indirect: { op: READ, count: 1, grefs: [1] } });
    machine.finish();
    expect(statuses(machine)).toEqual([EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP]);

    const locked = new Machine({ disk: { ...plainDisk, readOnly: true } });
    locked.ask(one(locked, WRITE, 1, 0));
    locked.ask({ op: DISCARD, id: 2, sector: 0, nrSectors: 1 });
    locked.ask({ op: WRITE_BARRIER, id: 3 });
    locked.ask({ op: FLUSH_DISKCACHE, id: 4 });
    locked.ask(one(locked, READ, 5, 0));
    locked.finish();
    expect(statuses(locked)).toEqual([ERROR, ERROR, ERROR, OKAY, OKAY]);
  });
});

describe('answers', () => {
  test('go out in the order of their ring; other rings do not wait', () => {
    const machine = new Machine({ queues: 2 });
    machine.ask(one(machine, READ, 1, 0), 0);
    machine.ask(one(machine, READ, 2, 100), 0);
    machine.ask(one(machine, READ, 3, 200), 1);
    machine.turn();
    machine.complete(2);
    machine.complete(1);
    expect(machine.responses.map((each) => each.length)).toEqual([0, 1]);
    machine.complete(0);
    expect(machine.responses[0]!.map(({ id }) => id)).toEqual([1n, 2n]);
  });

  test('or as they are done, for who keeps what is not answered', () => {
    const machine = new Machine({ answers: 'as done' });
    for (const id of [1, 2, 3]) machine.ask(one(machine, READ, id, id * 16));
    machine.turn();
    machine.complete(1);
    machine.complete(1);
    machine.complete(0);
    expect(machine.responses[0]!.map(({ id }) => id)).toEqual([2n, 3n, 1n]);
  });

  test('more requests than are taken at a time wait in their ring', () => {
    const machine = new Machine({ queues: 2, limits: { requests: 8 } });
    for (let id = 1; id <= 20; id++) machine.ask(one(machine, READ, id, (id % 8) * 16), 0);
    machine.turn();
    expect(machine.vbd.appetite(0)).toBe(0);
    expect(machine.vbd.appetite(1), 'another ring has its own share').toBe(4);
    machine.finish();
    expect(machine.responses[0]!.length).toBe(20);
  });
});

describe('persistent grants', () => {
  const keeping = (persistentGrants = 8): Machine =>
    new Machine({ persistent: true, limits: { persistentGrants } });
  const count = (machine: Machine, word: string): number =>
    machine.log.filter((line) => line.startsWith(word)).length;

  test('are mapped once, and never copied', () => {
    const machine = keeping();
    for (let id = 1; id <= 10; id++) {
      machine.ask(one(machine, id % 2 === 0 ? READ : WRITE, id, 0, 3));
      machine.finish();
    }
    expect([count(machine, 'MAP'), count(machine, 'STORE'), machine.vbd.mappedPages]).toEqual([1, 0, 1]);
    expect(machine.vbd.statistics.copied).toBe(0);
  });

  test('go after a minute without use, a few at a time; those in use stay', () => {
    const machine = keeping(40);
    for (const gref of [1, 2, 3]) machine.ask(one(machine, WRITE, gref, gref * 8));
    machine.finish();
    for (let seconds = 1; seconds <= 59; seconds++) {
      machine.vbd.tick();
      if (seconds === 30) {
        machine.ask(one(machine, WRITE, 9, 0, 2));
        machine.finish();
      }
    }
    machine.work();
    expect(machine.mapped.size).toBe(3);
    machine.vbd.tick();
    machine.work();
    expect([...machine.mapped.values()]).toEqual([2]);
  });

  test('beyond the limit are copied', () => {
    const machine = keeping(2);
    for (let gref = 1; gref <= 5; gref++) machine.ask(one(machine, WRITE, gref, gref * 16));
    machine.finish();
    expect(machine.vbd.mappedPages).toBe(2);
    expect(machine.vbd.statistics.copied).toBe(3);
    for (let gref = 1; gref <= 5; gref++) expect(machine.medium[gref * 16 * 512]).toBe(gref);
    machine.page(5).fill(0);
    machine.ask({ op: READ, id: 6, sector: 80, segments: [{ gref: 5, first: 0, last: 7 }] });
    machine.finish();
    expect(machine.page(5)[4095]).toBe(5);
  });

  test('are all unmapped at the end', () => {
    const machine = keeping();
    for (let gref = 1; gref <= 5; gref++) machine.ask(one(machine, WRITE, gref, gref * 16));
    machine.turn();
    machine.vbd.close();
    machine.work();
    expect(machine.vbd.state).toBe('closing');
    machine.finish();
    expect(machine.vbd.state).toBe('closed');
    expect(statuses(machine)).toEqual([OKAY, OKAY, OKAY, OKAY, OKAY]);
    expect(machine.log.at(-1)).toBe('CLOSED 0');
  });
});

describe('the disk changes', () => {
  test('in size: the frontend is told, and the new end holds', () => {
    const machine = new Machine();
    machine.ask(one(machine, READ, 1, 256));
    machine.finish();
    machine.vbd.resize(300);
    machine.vbd.resize(300);
    machine.work();
    expect(machine.log.filter((line) => line.startsWith('RESIZED')).length).toBe(1);
    machine.ask(one(machine, READ, 2, 256));
    machine.turn();
    expect(machine.underWay.length).toBe(1);
    machine.finish();
    expect(statuses(machine)).toEqual([ERROR, OKAY]);
  });

  test('its medium: what was asked of the old one is done first', () => {
    const machine = new Machine();
    machine.ask(one(machine, READ, 1, 0));
    machine.turn();
    machine.vbd.insert({ ...plainDisk, sectors: 16 });
    machine.ask(one(machine, READ, 2, 100));
    machine.ask(one(machine, READ, 3, 0));
    machine.turn();
    expect(machine.log).not.toContain('MEDIUM 0');
    expect(machine.underWay.length).toBe(1);
    machine.complete();
    expect(machine.log).toContain('MEDIUM 0');
    expect(machine.vbd.disk.sectors).toBe(16);
    machine.finish();
    expect(statuses(machine)).toEqual([OKAY, ERROR, OKAY]);
    machine.vbd.insert(noMedium);
    machine.ask(one(machine, READ, 4, 0));
    machine.ask({ op: FLUSH_DISKCACHE, id: 5 });
    machine.finish();
    // No EOPNOTSUPP: Linux would flush the next medium no more.
    expect(statuses(machine).slice(-2)).toEqual([ERROR, ERROR]);
  });
});

test('everything is counted', () => {
  const machine = new Machine();
  machine.ask(one(machine, READ, 1, 0));
  machine.ask(one(machine, WRITE, 2, 8));
  machine.ask(one(machine, WRITE_BARRIER, 3, 16));
  machine.ask({ op: FLUSH_DISKCACHE, id: 4 });
  machine.ask({ op: DISCARD, id: 5, sector: 100, nrSectors: 3 });
  machine.ask(one(machine, READ, 6, 999));
  machine.ask({ op: 77, id: 7 });
  machine.finish();
  expect(machine.vbd.statistics).toMatchObject({
    readReq: 2,
    writeReq: 1,
    barrierReq: 1,
    flushReq: 1,
    discardReq: 1,
    readSect: 8,
    writeSect: 16,
    discardSect: 3,
    readBytes: 4096,
    writeBytes: 8192,
    discardBytes: 1536,
    errors: 1,
    unsupported: 1,
    copied: 3,
    ooReq: 0,
  });
});
