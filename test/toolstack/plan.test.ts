// A plan that fails leaves nothing behind: what was done is undone in reverse, whichever step fails, and whatever else fails on the way.
import { expect, test } from 'vitest';
import { type Order, Plan, type Step } from '../../toolstack/core/plan.ts';

const steps: Step<string>[] = [
  { name: 'directory', run: 'mkdir', undo: 'rmdir' },
  { name: 'check', run: 'look' },
  { name: 'hypervisor', run: 'start', undo: 'stop' },
  { name: 'domain', run: 'create', undo: 'destroy' },
];

/** Carries a plan out; actions in `broken` fail. */
function carryOut(plan: Plan<string>, broken: readonly string[]): { done: string[]; end: Order<string> } {
  const done: string[] = [];
  for (;;) {
    const order = plan.next();
    if (order.kind === 'done' || order.kind === 'undone') return { done, end: order };
    done.push(order.action);
    if (broken.includes(order.action)) plan.failed(`${order.action} went wrong`);
    else plan.succeeded();
  }
}

test('steps run in order', () => {
  const { done, end } = carryOut(new Plan(steps), []);
  expect(done).toEqual(['mkdir', 'look', 'start', 'create']);
  expect(end.kind).toBe('done');
});

test('a failing step undoes what was done, in reverse, and not itself', () => {
  const { done, end } = carryOut(new Plan(steps), ['create']);
  expect(done).toEqual(['mkdir', 'look', 'start', 'create', 'stop', 'rmdir']);
  expect(end).toEqual({
    kind: 'undone',
    cause: { step: 'domain', reason: 'create went wrong' },
    leftovers: [],
  });
});

test('the first step failing leaves nothing to undo', () => {
  expect(carryOut(new Plan(steps), ['mkdir']).done).toEqual(['mkdir']);
});

test('a failing undo is told, and the rest is undone all the same', () => {
  const { done, end } = carryOut(new Plan(steps), ['create', 'stop']);
  expect(done).toEqual(['mkdir', 'look', 'start', 'create', 'stop', 'rmdir']);
  expect(end).toMatchObject({ leftovers: [{ step: 'hypervisor', reason: 'stop went wrong' }] });
});

test('a finished plan taken back undoes everything without a cause', () => {
  const plan = new Plan(steps);
  carryOut(plan, []);
  plan.turnBack();
  const { done, end } = carryOut(plan, []);
  expect(done).toEqual(['destroy', 'stop', 'rmdir']);
  expect(end).toEqual({ kind: 'undone', cause: undefined, leftovers: [] });
});
