// One seed in, one history out: virtual time, the order of what is ready, and faults are all decided by it. And what
// faults there are never break a promise: an event may be late, but it is not lost.
import { describe, expect, test } from 'vitest';
import { OsError } from '../../osdep/errno.ts';
import { type LocalOptions, steppedHost } from '../../osdep/sim/local.ts';

const ODDS = { lateEvent: 0.5, overtakingEvent: 0.3, refusal: 0, maxDelayMs: 10 };

/** Domains that answer each ring with a ring, eight channels wide, until each channel has rung so often. */
function pingPong(options: LocalOptions, rings: number): { history: string[]; endMs: number } {
  const history: string[] = [];
  const host = steppedHost({ ...options, trace: (line) => history.push(line) });
  const ctrl = host.platformFor(0).openCtrl();
  const ends = [0, 1].map(() => {
    const domid = ctrl.createDomain({});
    ctrl.unpause(domid);
    return { domid, evtchn: host.platformFor(domid).openEvtchn() };
  });
  const [a, b] = ends as [(typeof ends)[0], (typeof ends)[0]];
  const counts = new Map<string, number>();
  for (let channel = 0; channel < 8; channel += 1) {
    b.evtchn.bindInterdomain(a.domid, a.evtchn.bindUnboundPort(b.domid));
  }
  for (const { domid, evtchn } of ends) {
    evtchn.onReadable(() => {
      for (let port = evtchn.pending(); port !== undefined; port = evtchn.pending()) {
        const name = `${domid}:${port}`;
        const count = (counts.get(name) ?? 0) + 1;
        counts.set(name, count);
        evtchn.unmask(port);
        if (count < rings) {
          evtchn.notify(port);
        }
      }
    });
  }
  host.scheduler.runUntilIdle();
  for (let port = 1; port <= 8; port += 1) {
    expect(counts.get(`${b.domid}:${port}`), `channel ${port}`).toBeGreaterThanOrEqual(rings - 1);
  }
  return { history, endMs: host.clock.now() };
}

describe('a stepped machine', () => {
  test('repeats its history with the same seed, faults included', () => {
    const first = pingPong({ seed: 7, faults: ODDS }, 20);
    const second = pingPong({ seed: 7, faults: ODDS }, 20);
    expect(first.history.length).toBeGreaterThan(500);
    expect(second).toEqual(first);
  });

  test('has another history with another seed', () => {
    const first = pingPong({ seed: 7, faults: ODDS }, 20);
    const second = pingPong({ seed: 8, faults: ODDS }, 20);
    expect(second.history).not.toEqual(first.history);
  });

  test('loses no event, however late and whatever overtakes it', () => {
    for (let seed = 0; seed < 20; seed += 1) {
      expect(pingPong({ seed, faults: ODDS }, 10).endMs).toBeGreaterThan(0);
    }
  });

  test('stands still while anything is ready, and moves on when asked', () => {
    const host = steppedHost();
    const fired: number[] = [];
    host.clock.after(100, () => fired.push(host.clock.now()));
    host.clock.after(50, () => host.clock.after(10, () => fired.push(host.clock.now())));
    host.scheduler.runFor(59);
    expect(fired).toEqual([]);
    expect(host.clock.now()).toBe(59);
    host.scheduler.runFor(1);
    expect(fired).toEqual([60]);
    host.scheduler.runUntilIdle();
    expect(fired).toEqual([60, 100]);
    expect(host.scheduler.step()).toBe(false);
  });

  test('waits for promises between its steps', async () => {
    const host = steppedHost();
    const seen: string[] = [];
    const pause = (ms: number) => new Promise<void>((resolve) => void host.clock.after(ms, resolve));
    const program = async () => {
      await pause(5);
      seen.push(`at ${host.clock.now()}`);
      await pause(7);
      seen.push(`at ${host.clock.now()}`);
    };
    const ended = program();
    await host.scheduler.settle();
    await ended;
    expect(seen).toEqual(['at 5', 'at 12']);
  });

  test('says so when it never comes to rest', () => {
    const host = steppedHost();
    const again = (): void => {
      host.clock.after(1, again);
    };
    again();
    expect(() => host.scheduler.runUntilIdle(100)).toThrow('not idle');
  });
});

describe('refusals', () => {
  test('come by chance, with an errno, and leave nothing behind', () => {
    const host = steppedHost({ seed: 3, faults: { ...ODDS, refusal: 0.3 } });
    const gntshr = host.platformFor(0).openGntshr();
    const gnttab = host.platformFor(0).openGnttab();
    const before = host.extents;
    const codes = new Set<string>();
    for (let round = 0; round < 100; round += 1) {
      try {
        const shared = gntshr.sharePages(0, 1, 'rw');
        try {
          gnttab.mapGrantRef(0, shared.refs[0]!, 'rw').unmap();
        } finally {
          shared.unmap();
        }
      } catch (error) {
        expect(error).toBeInstanceOf(OsError);
        codes.add((error as OsError).code);
      }
    }
    expect([...codes].sort()).toEqual(['ENOMEM', 'ENOSPC']);
    expect(host.extents).toBe(before);
  });
});
