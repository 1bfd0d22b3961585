// What belongs to a program rather than to a machine: the registry of handles, clock, chance.
import { describe, expect, test } from 'vitest';
import { type Bench, refuses } from '../osdep.ts';

export function toolSuite(bench: Bench): void {
  describe('toolcore', () => {
    test('restricting all leaves every open handle with one domain, closed ones alone', () => {
      const [one, other] = [bench.empty(), bench.empty()];
      const { platform } = bench.control;
      const closed = platform.openEvtchn();
      closed.close();
      const theirs = platform.openCtrl().evtchnAllocUnbound(one, 0);
      const before = platform.handles.size;
      const evtchn = platform.openEvtchn();
      const foreign = platform.openForeignmemory();
      const dm = platform.openDevicemodel();
      const call = platform.openCall();
      const ctrl = platform.openCtrl();
      const manage = platform.openManage();
      expect(platform.handles.size).toBe(before + 6);

      platform.handles.restrictAll(one);
      platform.handles.restrictAll(one);
      expect(evtchn.bindInterdomain(one, theirs)).toBeGreaterThan(0);
      refuses('EACCES', () => evtchn.bindInterdomain(other, 1));
      refuses('EPERM', () => foreign.map(other, 'r', [1]));
      dm.createIoreqServer(one, 'off');
      refuses('EPERM', () => dm.createIoreqServer(other, 'off'));
      refuses('ENOTTY', () => call.hypercall(17, [0, 0]));
      refuses('ENOTTY', () => ctrl.getDomainInfo(one));
      refuses('ENOTTY', () => manage.getDomainInfo(one));

      for (const handle of [evtchn, foreign, dm, call, ctrl, manage]) {
        handle.close();
      }
      expect(platform.handles.size).toBe(before);
    });
  });

  describe('clock and chance', () => {
    test('a timer fires once, not early, and not when cancelled', async () => {
      const { clock } = bench.control.platform;
      const start = clock.now();
      const fired: string[] = [];
      clock.after(60, () => fired.push('second'));
      clock.after(1, () => fired.push('first'));
      const cancel = clock.after(2, () => fired.push('never'));
      cancel();
      await bench.machine.until(() => fired.length === 2);
      expect(fired).toEqual(['first', 'second']);
      expect(clock.now() - start).toBeGreaterThanOrEqual(59);
    });

    test('numbers stay in their range', () => {
      const { random } = bench.control.platform;
      for (let round = 0; round < 100; round += 1) {
        expect(random.u32()).toBeLessThan(2 ** 32);
        expect(random.below(6)).toBeLessThan(6);
      }
      expect(random.bytes(9).length).toBe(9);
    });
  });
}
