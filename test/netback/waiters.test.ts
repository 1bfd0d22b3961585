// Who is told of time that passes: whoever has something to do, or something waiting, until neither is so.
import { expect, test } from 'vitest';
import type { Member } from '../../netback/vif/io/members.ts';
import { Waiters } from '../../netback/vif/io/waiters.ts';
import { Machine } from './kit.ts';

interface Scene {
  readonly machine: Machine;
  readonly waiters: Waiters;
  readonly woken: unknown[];
  /** How long until the next tick. */
  readonly delays: number[];
  /** The next tick. Whether there will be another. */
  tick(): boolean;
}

function scene(): Scene {
  let timer: (() => void) | undefined;
  const delays: number[] = [];
  const clock = {
    now: () => 0,
    after: (ms: number, act: () => void): (() => void) => {
      delays.push(ms);
      timer = act;
      return () => {};
    },
  };
  const woken: unknown[] = [];
  const machine = new Machine();
  const waiters = new Waiters(clock, machine.pool, (who) => woken.push(who));
  const tick = (): boolean => {
    const due = timer;
    timer = undefined;
    due?.();
    return timer !== undefined;
  };
  return { machine, waiters, woken, delays, tick };
}

test('an interface that is busy is told of time, though nothing waits in it yet', () => {
  const { waiters, woken, tick } = scene();
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

test('a guest that does not tell of its buffers is looked at after 30 ms, whatever else is waited for', () => {
  const { waiters, delays } = scene();
  const member = (wantsLooking: boolean): Member =>
    ({ queued: true, works: true, vif: { isQuiet: false, wantsLooking } }) as unknown as Member;
  waiters.watch(member(false));
  waiters.watch(member(true));
  waiters.watch(member(true));
  expect(delays).toEqual([250, 30]);
});

test('who found no memory has his turn when there is some, though somebody else found too little since', () => {
  const { machine, waiters, woken } = scene();
  const { pool } = machine;
  const packets: number[] = [];
  for (let packet = pool.take(60); packet !== -1; packet = pool.take(60)) packets.push(packet);
  const [first, second] = ['first', 'second'].map((name) => ({ name }) as unknown as Member);
  waiters.thirsts(first!);
  for (const packet of packets) pool.release(packet);
  waiters.thirsts(second!);
  waiters.quench();
  expect(woken).toEqual([first, second]);
  // Nothing has come since: nobody is woken in vain.
  waiters.thirsts(second!);
  waiters.quench();
  expect(woken).toHaveLength(2);
});
