// Who is told of time that passes: whoever has something to do, or something waiting, until neither is so.
import { expect, test } from 'vitest';
import type { Member } from '../../netback/vif/io/members.ts';
import { Waiters } from '../../netback/vif/io/waiters.ts';
import { Machine } from './kit.ts';

test('an interface that is busy is told of time, though nothing waits in it yet', () => {
  let timer: (() => void) | undefined;
  const clock = {
    now: () => 0,
    after: (_: number, act: () => void): (() => void) => {
      timer = act;
      return () => {};
    },
  };
  const tick = (): boolean => {
    const due = timer;
    timer = undefined;
    due?.();
    return timer !== undefined;
  };
  const woken: unknown[] = [];
  const waiters = new Waiters(clock, new Machine().pool, (who) => woken.push(who));
  const state = { queued: true, works: true, guard: () => {}, vif: { isQuiet: true, wantsLooking: false } };
  const member = state as unknown as Member;
  waiters.watch(member);
  // It has its turns all the while; what comes for it now is heard of by nobody else.
  expect(tick()).toBe(true);
  state.vif.isQuiet = false;
  state.queued = false;
  expect(woken).toEqual([]);
  expect(tick()).toBe(true);
  expect(woken).toEqual([member]);
  state.vif.isQuiet = true;
  expect(tick()).toBe(false);
});
