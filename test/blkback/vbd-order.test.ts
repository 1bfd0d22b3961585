// Whatever the disk does first, a guest finds what doing his requests one after the other would have given: any mixture of requests,
// any order of completions, any number of kills in between. (That two transfers in conflict are never under way together is asserted by
// the machine itself.)
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlkifOp, BlkifStatus } from '../../blkback/core/blkif.ts';
import { Effect } from '../../blkback/core/effects.ts';
import { Machine, plainDisk } from './machine.ts';
import { type Asked, descriptors, type Segment } from './slots.ts';

const SECTORS = 24;
const disk = { ...plainDisk, sectors: SECTORS };

interface Plan {
  readonly op: number;
  readonly sector: number;
  /** Segments as (first, last). */
  readonly parts: readonly (readonly [number, number])[];
  readonly indirect: boolean;
  readonly sectors: number;
}

const part = fc
  .tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 0, max: 2 }))
  .map(([first, more]) => [first, Math.min(7, first + more)] as const);
const plan: fc.Arbitrary<Plan> = fc.record({
  op: fc.constantFrom(
    BlkifOp.READ,
    BlkifOp.READ,
    BlkifOp.WRITE,
    BlkifOp.WRITE,
    BlkifOp.WRITE_BARRIER,
    BlkifOp.FLUSH_DISKCACHE,
    BlkifOp.DISCARD,
  ),
  sector: fc.integer({ min: 0, max: SECTORS }),
  parts: fc.array(part, { minLength: 0, maxLength: 4 }),
  indirect: fc.boolean(),
  sectors: fc.integer({ min: 0, max: 6 }),
});

/** Each request has pages of its own: grefs from 1000 * id on. The first is its page of segments, if it is indirect. */
function asked(machine: Machine, id: number, { op, sector, parts, indirect, sectors }: Plan): Asked {
  if (op === BlkifOp.DISCARD) return { op, id, sector, nrSectors: sectors };
  const segments: Segment[] = parts.map(([first, last], i) => ({ gref: id * 1000 + 1 + i, first, last }));
  for (const { gref } of segments)
    if (op !== BlkifOp.READ) machine.page(gref).fill(id);
    else machine.page(gref);
  if (!indirect || op > BlkifOp.WRITE) return { op, id, sector, segments };
  machine.page(id * 1000).set(descriptors(segments));
  return { op: BlkifOp.INDIRECT, id, sector, indirect: { op, count: segments.length, grefs: [id * 1000] } };
}

/** One after the other: what each is answered, what each reads, and the disk afterwards. */
class Model {
  readonly medium: Uint8Array = new Uint8Array(SECTORS);
  readonly reads: Map<number, number[]> = new Map();
  readonly status: Map<number, number> = new Map();

  apply(id: number, { op, sector, parts, sectors }: Plan): void {
    const count = op === BlkifOp.DISCARD ? sectors : parts.reduce((sum, [a, b]) => sum + b - a + 1, 0);
    const fence = op === BlkifOp.FLUSH_DISKCACHE || op === BlkifOp.WRITE_BARRIER;
    const ok = (fence && parts.length === 0) || (count > 0 && sector + count <= SECTORS);
    this.status.set(id, ok ? BlkifStatus.OKAY : BlkifStatus.ERROR);
    if (!ok) return;
    if (op === BlkifOp.READ) this.reads.set(id, [...this.medium.subarray(sector, sector + count)]);
    else this.medium.fill(op === BlkifOp.DISCARD ? 0 : id, sector, sector + count);
  }
}

/** What a read has found, a byte for each sector. */
function found(machine: Machine, id: number, { parts }: Plan): number[] {
  return parts.flatMap(([first, last], i) => {
    const page = machine.page(id * 1000 + 1 + i);
    return Array.from({ length: last - first + 1 }, (_, k) => page[(first + k) * 512]!);
  });
}

function agree(machine: Machine, model: Model, plans: readonly Plan[]): void {
  plans.forEach((each, index) => {
    const id = index + 1;
    if (model.reads.has(id)) expect(found(machine, id, each), `read ${id}`).toEqual(model.reads.get(id));
  });
  const medium = Array.from({ length: SECTORS }, (_, i) => machine.medium[i * 512]!);
  expect(medium).toEqual([...model.medium]);
}

const choices = fc.infiniteStream(fc.nat());
const persistent = fc.boolean();
const answers = fc.constantFrom('in order', 'as done');
const room = fc.integer({ min: 1, max: 8 });

describe('any order of completions', () => {
  test('gives what the order of the ring gives', () => {
    fc.assert(
      fc.property(
        fc.array(plan, { maxLength: 30, size: 'max' }),
        choices,
        persistent,
        room,
        (plans, choose, kept, most) => {
          const machine = new Machine({
            disk,
            persistent: kept,
            limits: { poolPages: 32, persistentGrants: 20 },
          });
          machine.room = most;
          const model = new Model();
          const choice = (of: number): number => Number(choose.next().value) % of;
          plans.forEach((each, index) => {
            machine.ask(asked(machine, index + 1, each));
            model.apply(index + 1, each);
            if (choice(3) === 0) machine.turn();
            if (machine.underWay.length > 0 && choice(2) === 0)
              machine.complete(choice(machine.underWay.length));
          });
          machine.turn();
          while (machine.underWay.length > 0) {
            machine.complete(choice(machine.underWay.length));
            machine.turn();
          }
          const answers = machine.responses[0]!;
          expect(answers.map(({ id }) => Number(id))).toEqual(plans.map((_, index) => index + 1));
          for (const { id, status } of answers) expect(status).toBe(model.status.get(Number(id)));
          agree(machine, model, plans);
          machine.vbd.close();
          machine.work();
          expect(machine.vbd.state).toBe('closed');
        },
      ),
      { numRuns: 100 },
    );
  });

  test('over several rings: as the backend took them', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(plan, fc.nat(2)), { maxLength: 24, size: 'max' }),
        choices,
        (plans, choose) => {
          const machine = new Machine({ disk, queues: 3, limits: { poolPages: 64 } });
          const model = new Model();
          const choice = (of: number): number => Number(choose.next().value) % of;
          plans.forEach(([each, queue], index) => {
            machine.ask(asked(machine, index + 1, each), queue);
            machine.turn();
            model.apply(index + 1, each);
            if (machine.underWay.length > 0 && choice(2) === 0)
              machine.complete(choice(machine.underWay.length));
          });
          while (machine.underWay.length > 0) machine.complete(choice(machine.underWay.length));
          expect(machine.responses.flat().length).toBe(plans.length);
          agree(
            machine,
            model,
            plans.map(([each]) => each),
          );
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('killed at any step', () => {
  test('the next process gives what one that lives gives', () => {
    fc.assert(
      fc.property(
        fc.array(plan, { maxLength: 24, size: 'max' }),
        choices,
        persistent,
        answers,
        (plans, choose, kept, how) => {
          const machine = new Machine({ disk, persistent: kept, answers: how, limits: { poolPages: 32 } });
          const model = new Model();
          const choice = (of: number): number => Number(choose.next().value) % of;
          const some = (): void => {
            const steps = choice(4) === 0 ? choice(12) : 1000;
            const killed = machine.killed(steps, () => {
              if (machine.underWay.length > 0) machine.complete(choice(machine.underWay.length));
              if (choice(2) === 0) machine.turn();
            });
            if (killed) machine.restart(({ sectors }) => choice(sectors + 1));
          };
          plans.forEach((each, index) => {
            machine.ask(asked(machine, index + 1, each));
            model.apply(index + 1, each);
            some();
          });
          for (let steps = 0; machine.responses[0]!.length < plans.length; steps++) {
            expect(steps).toBeLessThan(1000);
            some();
          }
          const ids = machine.responses[0]!.map(({ id }) => Number(id));
          if (how === 'as done') ids.sort((a, b) => a - b);
          expect(ids, 'each answered once').toEqual(plans.map((_, index) => index + 1));
          agree(machine, model, plans);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('a write starts only when an older read of the same sectors is answered', () => {
    const machine = new Machine();
    const whole = [{ gref: 1, first: 0, last: 7 }];
    for (const gref of [1, 2, 3]) machine.page(gref).fill(gref);
    machine.medium.fill(0xaa, 0, 4096);
    machine.ask({ op: BlkifOp.READ, id: 1, sector: 100, segments: [{ gref: 2, first: 0, last: 7 }] });
    machine.ask({ op: BlkifOp.READ, id: 2, sector: 0, segments: [{ gref: 3, first: 0, last: 7 }] });
    machine.ask({ op: BlkifOp.WRITE, id: 3, sector: 0, segments: whole });
    machine.turn();
    expect(machine.underWay.map(({ kind }) => kind)).toEqual([Effect.READ, Effect.READ]);
    machine.complete(1);
    // The second is done, but its answer waits for the first: the write has to wait too, or a replay would read what it wrote.
    expect(machine.underWay.map(({ sector }) => sector)).toEqual([100]);
    machine.complete(0);
    expect(machine.underWay.map(({ kind }) => kind)).toEqual([Effect.WRITE]);
  });

  test('a write starts only when an older one of the same sectors, on another ring, is answered', () => {
    const machine = new Machine({ queues: 2 });
    const whole = (gref: number) => [{ gref, first: 0, last: 7 }];
    for (const gref of [1, 2, 3]) machine.page(gref).fill(gref);
    machine.ask({ op: BlkifOp.READ, id: 1, sector: 100, segments: whole(3) });
    machine.ask({ op: BlkifOp.WRITE, id: 2, sector: 0, segments: whole(1) });
    machine.turn();
    machine.ask({ op: BlkifOp.WRITE, id: 3, sector: 0, segments: whole(2) }, 1);
    machine.turn();
    machine.complete(1);
    // The older one is done, and its answer waits for the read's: were the younger one answered meanwhile, a replay would undo it.
    expect(machine.underWay.map(({ sector }) => sector)).toEqual([100]);
    machine.restart(() => 0);
    machine.finish();
    expect(machine.medium[0]).toBe(2);
  });
});
