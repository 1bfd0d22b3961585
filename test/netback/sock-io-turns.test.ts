// Whoever has many streams has no more turns than whoever has one: guests are alike, and what one of them gets wrong costs itself.
import { expect, test } from 'vitest';
import { LocalHub, type Mover } from '../../netback/xensock/io/localhub.ts';

function hub() {
  const soon: (() => void)[] = [];
  let now = 0;
  const clock = { now: () => now, wallNow: () => now, after: () => () => {} };
  const made = new LocalHub<object>({
    clock,
    flush: () => now++,
    soon: (callback) => void soon.push(callback),
  });
  return {
    stir: (mover: Mover) => made.stir(mover),
    /** Until Node's loop would have had its turn. */
    stretch: () => soon.shift()?.(),
  };
}

function mover(payer: object, moves: () => boolean): Mover {
  return { payer, move: moves, failed: () => {} };
}

test('of turns each guest has the same share, however many streams it has', () => {
  const { stir, stretch } = hub();
  const [greedy, modest] = [{}, {}];
  const turns = { greedy: 0, modest: 0 };
  for (let i = 0; i < 1000; i++) stir(mover(greedy, () => ++turns.greedy > 0));
  stir(mover(modest, () => ++turns.modest > 0));
  turns.greedy = 0;
  for (let i = 0; i < 10; i++) stretch();
  expect(turns.modest).toBeGreaterThan(50);
  expect(Math.abs(turns.modest - turns.greedy)).toBeLessThan(5);
});

test('streams of one guest have turns one after the other', () => {
  const { stir, stretch } = hub();
  const payer = {};
  const turns: number[] = [];
  for (let i = 0; i < 3; i++) stir(mover(payer, () => turns.push(i) < 12));
  turns.length = 0;
  stretch();
  expect(turns.slice(0, 6)).toEqual([0, 1, 2, 0, 1, 2]);
});

test('whoever is done has no turn until it is stirred, also by another in the middle of a turn', () => {
  const { stir, stretch } = hub();
  let [first, second] = [0, 0];
  const other = mover({}, () => {
    second += 1;
    return false;
  });
  const one = mover({}, () => {
    first += 1;
    if (first === 2) {
      stir(other);
      // Not in the middle of this one.
      expect(second).toBe(0);
    }
    return first < 3;
  });
  stir(one);
  stretch();
  expect([first, second]).toEqual([3, 1]);
  stir(other);
  expect(second).toBe(2);
});
