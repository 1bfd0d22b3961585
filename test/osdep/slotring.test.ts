// Rings of slots: who has to be told and when, across the wrap of the indices; a peer whose index is impossible is found
// out; and pages and answers are those of Xen's own macros.
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Page } from '../../osdep/ring/page.ts';
import { Back, Front, ringSize } from '../../osdep/ring/slotring.ts';
import { compileAgainstXen } from './pages/compile.ts';

const SMALL = 12;
const page = (): Uint8Array => new Uint8Array(new ArrayBuffer(4096));

function pair(bytes: Uint8Array = page()): { front: Front; back: Back; bytes: Uint8Array } {
  return { front: Front.init(bytes, SMALL), back: Back.attach(bytes, SMALL), bytes };
}

function message(value: number): Uint8Array {
  return new Uint8Array(SMALL).fill(value);
}

describe('slots', () => {
  test('are as many as a power of two allows', () => {
    expect(ringSize(4096, 112)).toBe(32);
    expect(ringSize(4096, 12)).toBe(256);
    expect(ringSize(16384, 112)).toBe(128);
    expect(ringSize(4096 * 2, 56)).toBe(128);
  });

  test('carry a request there and a response back', () => {
    const { front, back } = pair();
    front.request(message(1));
    expect(back.unconsumed()).toEqual({ ok: true, slots: 0 });
    expect(front.publish()).toBe(true);
    expect(back.unconsumed()).toEqual({ ok: true, slots: 1 });
    const got = new Uint8Array(SMALL);
    back.take(got);
    expect(got).toEqual(message(1));
    expect(back.inFlight).toBe(1);
    back.respond(message(2));
    expect(front.unconsumed()).toEqual({ ok: true, slots: 0 });
    expect(back.publish()).toBe(true);
    front.take(got);
    expect(got).toEqual(message(2));
    expect(front.free).toBe(front.size);
  });

  test('wake the peer only if he went to sleep', () => {
    const { front, back } = pair();
    front.request(message(1));
    expect(front.publish()).toBe(true);
    front.request(message(2));
    expect(front.publish(), 'he has not slept since').toBe(false);
    back.take(new Uint8Array(SMALL));
    expect(back.finalCheck(), 'one is left').toEqual({ ok: true, slots: 1 });
    back.take(new Uint8Array(SMALL));
    expect(back.finalCheck()).toEqual({ ok: true, slots: 0 });
    front.request(message(3));
    expect(front.publish()).toBe(true);
  });

  test('run out, and nothing is overwritten', () => {
    const { front, back } = pair();
    for (let slot = 0; slot < front.size; slot += 1) {
      front.request(message(slot & 0xff));
    }
    expect(front.free).toBe(0);
    expect(() => front.request(message(0))).toThrow(RangeError);
    expect(() => back.respond(message(0))).toThrow(RangeError);
    expect(() => pair().front.request(new Uint8Array(SMALL + 1))).toThrow(RangeError);
  });

  test('a request is copied once: what the peer writes then does not matter', () => {
    const { front, back, bytes } = pair();
    front.request(message(5));
    front.publish();
    const got = new Uint8Array(SMALL);
    back.take(got);
    bytes.fill(0xff, 64);
    expect(got).toEqual(message(5));
  });

  test.each([257, 0x8000_0000, 0xffff_ffff])('a frontend whose index jumps to %i is found out', (prod) => {
    const { back, bytes } = pair();
    new Page(bytes).store(0, prod);
    expect(back.unconsumed()).toEqual({ ok: false });
    expect(back.finalCheck()).toEqual({ ok: false });
  });

  test('a frontend that asks while everything is in flight is found out', () => {
    const { front, back, bytes } = pair();
    for (let slot = 0; slot < front.size; slot += 1) {
      front.request(message(1));
    }
    front.publish();
    for (let slot = 0; slot < front.size; slot += 1) {
      back.take(new Uint8Array(SMALL));
    }
    new Page(bytes).store(0, front.size + 1);
    expect(back.unconsumed()).toEqual({ ok: false });
  });

  test('a backend that answers what was not asked is found out', () => {
    const { front, bytes } = pair();
    front.request(message(1));
    front.publish();
    new Page(bytes).store(8, 2);
    expect(front.unconsumed()).toEqual({ ok: false });
    new Page(bytes).store(8, 0xffff_ffff);
    expect(front.unconsumed()).toEqual({ ok: false });
  });

  test('a backend that comes back finds what was never answered', () => {
    const { front, back, bytes } = pair();
    for (const value of [1, 2, 3]) {
      front.request(message(value));
    }
    front.publish();
    back.take(new Uint8Array(SMALL));
    back.take(new Uint8Array(SMALL));
    back.respond(message(9));
    back.publish();
    const again = Back.attach(bytes, SMALL);
    expect(again.unconsumed()).toEqual({ ok: true, slots: 2 });
    const got = new Uint8Array(SMALL);
    again.take(got);
    expect(got).toEqual(message(2));
    const frontAgain = Front.attach(bytes, SMALL, 0);
    expect(frontAgain.unconsumed()).toEqual({ ok: true, slots: 1 });
    expect(frontAgain.free).toBe(frontAgain.size - 3);
  });
});

const compiled = compileAgainstXen('slots.c');
if ('missing' in compiled) {
  console.warn(`slots against Xen's macros: skipped, ${compiled.missing}`);
}

interface Played {
  readonly script: string[];
  readonly answers: string[];
}

/** The same operations on ours, as far as they are possible, and what each answered. */
function play(
  bytes: Uint8Array,
  slotSize: number,
  start: number,
  wishes: readonly [string, number][],
): Played {
  const words = new Page(bytes);
  Front.init(bytes, slotSize);
  for (const [field, value] of [
    [0, start],
    [8, start],
    [4, start + 1],
    [12, start + 1],
  ] as const) {
    words.store(field, value);
  }
  const front = Front.attach(bytes, slotSize, start);
  const back = Back.attach(bytes, slotSize);
  const script: string[] = [];
  const answers: string[] = [];
  const scratch = new Uint8Array(slotSize);
  let next = 1;
  const slots = (of: Front | Back): number => {
    const there = of.unconsumed();
    return there.ok ? there.slots : -1;
  };
  const work = (of: Front | Back): string => {
    const there = of.finalCheck();
    return there.ok && there.slots > 0 ? '1' : '0';
  };
  for (const [op, wish] of wishes) {
    const count = Math.min(wish, op === 'q' ? front.free : back.inFlight);
    script.push(op === 'q' || op === 'a' ? `${op} ${count}` : op);
    switch (op) {
      case 'q':
        for (let put = 0; put < count; put += 1) {
          front.request(new Uint8Array(slotSize).fill(next++));
        }
        answers.push(front.publish() ? '1' : '0');
        break;
      case 'a':
        for (let put = 0; put < count; put += 1) {
          back.respond(new Uint8Array(slotSize).fill(next++));
        }
        answers.push(back.publish() ? '1' : '0');
        break;
      case 't':
      case 'g': {
        const end = op === 't' ? back : front;
        const there = slots(end);
        for (let taken = 0; taken < there; taken += 1) {
          end.take(scratch);
        }
        answers.push(String(there));
        break;
      }
      case 'f':
        answers.push(work(front));
        break;
      default:
        answers.push(work(back));
    }
  }
  answers.push(String(front.size));
  return { script, answers };
}

describe.skipIf('missing' in compiled)("slots are those of Xen's macros", () => {
  const sizes = [8, 12, 16, 64, 108, 112];
  const lengths = [1, 2, 4, 8, 16];
  for (const [slotSize, pages] of sizes.flatMap((size) => lengths.map((length) => [size, length] as const))) {
    test(`of ${slotSize} bytes in ${pages} ${pages === 1 ? 'page' : 'pages'}, any sequence, from any index`, () => {
      const length = pages * 4096;
      // A few, or as many as there are slots: then the ring is full, and goes round.
      const count = fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: ringSize(length, slotSize) }));
      const wish = fc.tuple(fc.constantFrom('q', 't', 'a', 'g', 'f', 'b'), count);
      const start = fc.constantFrom(0, 0x7fff_fff0, 0xffff_fff0);
      fc.assert(
        fc.property(start, fc.array(wish, { maxLength: 60, size: 'max' }), (from, wishes) => {
          const bytes = new Uint8Array(length);
          const { script, answers } = play(bytes, slotSize, from, wishes);
          const program = 'program' in compiled ? compiled.program : '';
          const input = `${script.join('\n')}\n`;
          const theirs = execFileSync(program, [slotSize, pages, from].map(String), { input });
          expect(theirs.subarray(0, -length).toString().trim().split('\n')).toEqual(answers);
          expect(Buffer.compare(theirs.subarray(-length), bytes), 'pages').toBe(0);
        }),
        { numRuns: 15 },
      );
    });
  }
});
