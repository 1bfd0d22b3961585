// Supervision: what a user sees of a process that ends once, ends all the time, hangs at its start or will not stop. Time is a number.
import { expect, test } from 'vitest';
import {
  defaultPolicy,
  type Effect,
  type Event,
  type Policy,
  Supervisor,
} from '../../toolstack/core/supervise.ts';

class Run {
  now = 0;
  readonly supervisor: Supervisor;
  constructor(policy: Partial<Policy> = {}) {
    this.supervisor = new Supervisor('store', { ...defaultPolicy, ...policy });
  }
  does(event: Event): string[] {
    return this.supervisor.step(event, this.now).map(brief);
  }
  /** Lets time pass to when the supervisor wants to be asked again. */
  wait(): { afterMs: number; does: string[] } {
    const afterMs = this.supervisor.due! - this.now;
    this.now = this.supervisor.due!;
    return { afterMs, does: this.does({ kind: 'tick' }) };
  }
}

function brief(effect: Effect): string {
  return effect.kind === 'kill' ? effect.signal : effect.kind;
}

const killed: Event = { kind: 'exited', how: 'SIGKILL' };

test('a process that dies is started again, later each time', () => {
  const run = new Run();
  expect(run.does({ kind: 'start' })).toEqual(['spawn']);
  const pauses: number[] = [];
  for (let round = 0; round < 4; round++) {
    run.does({ kind: 'ready' });
    expect(run.does(killed)).toEqual(['note']);
    const { afterMs, does } = run.wait();
    expect(does).toEqual(['spawn']);
    pauses.push(afterMs);
  }
  expect(pauses).toEqual([100, 200, 400, 800]);
  expect(run.supervisor.restarts).toBe(4);
});

test('having been up for a while, it starts afresh', () => {
  const run = new Run();
  run.does({ kind: 'start' });
  for (let round = 0; round < 20; round++) {
    run.does({ kind: 'ready' });
    run.now += defaultPolicy.stableMs;
    run.does(killed);
    expect(run.wait().afterMs).toBe(100);
  }
});

test('one that never came up is given up at once', () => {
  const run = new Run();
  run.does({ kind: 'start' });
  expect(run.supervisor.step({ kind: 'exited', how: 'exit code 1' }, run.now)).toEqual([
    { kind: 'over', phase: 'failed', text: 'exit code 1' },
  ]);
});

test('one that does not come up again is given up, and says why', () => {
  const run = new Run({ failuresMax: 3 });
  run.does({ kind: 'start' });
  run.does({ kind: 'ready' });
  run.does({ kind: 'exited', how: 'exit code 1' });
  run.wait();
  run.does({ kind: 'exited', how: 'exit code 1' });
  run.wait();
  expect(run.supervisor.step({ kind: 'exited', how: 'exit code 1' }, run.now)).toEqual([
    { kind: 'over', phase: 'failed', text: 'exit code 1, 3 times in a row' },
  ]);
  expect(run.supervisor.due).toBeUndefined();
});

test('pauses do not grow for ever', () => {
  const run = new Run({ failuresMax: 100 });
  run.does({ kind: 'start' });
  run.does({ kind: 'ready' });
  let longest = 0;
  for (let round = 0; round < 50; round++) {
    run.does(killed);
    longest = Math.max(longest, run.wait().afterMs);
  }
  expect(longest).toBe(defaultPolicy.pauseMaxMs);
});

test('one that does not say that it is ready is killed, and counts as failed', () => {
  const run = new Run();
  run.does({ kind: 'start' });
  run.does({ kind: 'ready' });
  run.does(killed);
  run.wait();
  expect(run.wait()).toEqual({ afterMs: defaultPolicy.readyMs, does: ['note', 'SIGKILL'] });
  expect(run.does(killed)).toEqual(['note']);
  expect(run.supervisor.phase).toBe('pausing');
});

test('the first time, that is what is told of it', () => {
  const run = new Run();
  run.does({ kind: 'start' });
  expect(run.wait().does).toEqual(['note', 'SIGKILL']);
  expect(run.supervisor.step(killed, run.now)).toEqual([
    { kind: 'over', phase: 'failed', text: 'not ready after 60000 ms' },
  ]);
});

test('stopping asks first, then insists', () => {
  const run = new Run();
  run.does({ kind: 'start' });
  run.does({ kind: 'ready' });
  expect(run.does({ kind: 'stop' })).toEqual(['SIGTERM']);
  expect(run.wait()).toEqual({ afterMs: defaultPolicy.graceMs, does: ['note', 'SIGKILL'] });
  expect(run.does(killed)).toEqual(['over']);
  expect(run.supervisor.phase).toBe('stopped');
});

test('stopping during a pause starts nothing any more', () => {
  const run = new Run();
  run.does({ kind: 'start' });
  run.does({ kind: 'ready' });
  run.does(killed);
  expect(run.does({ kind: 'stop' })).toEqual(['over']);
  run.now += 1_000_000;
  expect(run.does({ kind: 'tick' })).toEqual([]);
});

test('what its end means is the policy of the thing: a guest is gone, a hypervisor takes all with it', () => {
  for (const [onExit, phase] of [
    ['gone', 'ended'],
    ['fatal', 'failed'],
  ] as const) {
    const run = new Run({ onExit });
    run.does({ kind: 'start' });
    run.does({ kind: 'ready' });
    expect(run.does(killed)).toEqual(['over']);
    expect(run.supervisor.phase).toBe(phase);
  }
});
