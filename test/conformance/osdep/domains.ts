// Domains: made, listed, paused, shut down, destroyed; and how those who watch them learn of it.
import { describe, expect, test } from 'vitest';
import { ShutdownReason } from '../../../osdep/ctrl.ts';
import { type Evtchn, Virq } from '../../../osdep/evtchn.ts';
import { DomainCaps, DomainState, type DomainStatus, type Manage } from '../../../osdep/manage.ts';
import { type Bench, refuses } from '../osdep.ts';

const UUID = '01234567-89ab-cdef-0123-456789abcdef';

function pollAll(manage: Manage): DomainStatus[] {
  const changed: DomainStatus[] = [];
  for (let next = manage.pollChangedDomain(); next !== undefined; next = manage.pollChangedDomain()) {
    changed.push(next);
  }
  return changed;
}

async function heard(bench: Bench, evtchn: Evtchn, port: number): Promise<void> {
  await bench.machine.until(() => evtchn.pending() === port);
  evtchn.unmask(port);
}

export function domainSuite(bench: Bench): void {
  describe('ctrl', () => {
    test('a new domain is paused, known by its id, and listed in order', () => {
      const ctrl = bench.control.platform.openCtrl();
      const domid = ctrl.createDomain({ handle: UUID, maxVcpus: 3, xenstore: true });
      ctrl.maxVcpus(domid, 3);
      const info = ctrl.getDomainInfo(domid);
      expect(info).toMatchObject({
        domid,
        paused: true,
        shutdown: false,
        dying: false,
        xenstore: true,
        handle: UUID,
        maxVcpuId: 2,
        totPages: 0,
      });
      const second = ctrl.createDomain({ domid: domid + 5 });
      expect(second).toBe(domid + 5);
      expect(ctrl.getDomainInfoList(domid, 10).map((entry) => entry.domid)).toEqual([domid, second]);
      expect(ctrl.getDomainInfoList(0, 1).map((entry) => entry.domid)).toEqual([0]);
      expect(ctrl.getDomainInfoList(domid + 1, 1).map((entry) => entry.domid)).toEqual([second]);
      refuses('EEXIST', () => ctrl.createDomain({ domid }));
      refuses('EINVAL', () => ctrl.createDomain({ handle: 'no uuid' }));
      expect(ctrl.getDomainInfo(4321)).toBeUndefined();
    });

    test('pauses are counted', () => {
      const ctrl = bench.control.platform.openCtrl();
      const domid = ctrl.createDomain({});
      ctrl.pause(domid);
      ctrl.unpause(domid);
      expect(ctrl.getDomainInfo(domid)?.paused).toBe(true);
      ctrl.unpause(domid);
      expect(ctrl.getDomainInfo(domid)?.paused).toBe(false);
      refuses('EINVAL', () => ctrl.unpause(domid));
      refuses('EINVAL', () => ctrl.pause(0));
      for (let pauses = 0; pauses < 255; pauses += 1) {
        ctrl.pause(domid);
      }
      refuses('EOVERFLOW', () => ctrl.pause(domid));
    });

    test('a domain shuts down for a reason, the first one given, and may be resumed', () => {
      const domid = bench.empty();
      const ctrl = bench.control.platform.openCtrl();
      expect(ctrl.getDomainInfo(domid)?.shutdown).toBe(false);
      ctrl.shutdown(domid, ShutdownReason.SUSPEND);
      ctrl.shutdown(domid, ShutdownReason.CRASH);
      expect(ctrl.getDomainInfo(domid)).toMatchObject({
        shutdown: true,
        shutdownReason: ShutdownReason.SUSPEND,
        dying: false,
      });
      ctrl.resume(domid);
      expect(ctrl.getDomainInfo(domid)).toMatchObject({ shutdown: false, dying: false });
      refuses('ESRCH', () => ctrl.shutdown(4321, ShutdownReason.CRASH));
    });

    bench.guestTest('a domain that shuts itself down has done so first', async () => {
      const guest = await bench.machine.newDomain();
      const ctrl = bench.control.platform.openCtrl();
      guest.platform.guest.shutdown(ShutdownReason.SUSPEND);
      ctrl.shutdown(guest.domid, ShutdownReason.CRASH);
      expect(ctrl.getDomainInfo(guest.domid)?.shutdownReason).toBe(ShutdownReason.SUSPEND);
    });

    test('what is destroyed and mapped by nobody is gone at once', () => {
      const domid = bench.empty({}, [1, 2, 3]);
      const ctrl = bench.control.platform.openCtrl();
      ctrl.destroyDomain(domid);
      expect(ctrl.getDomainInfo(domid)).toBeUndefined();
      refuses('ESRCH', () => ctrl.destroyDomain(domid));
      refuses('EINVAL', () => ctrl.destroyDomain(0));
    });

    bench.guestTest(
      'pages that it shared with nobody who maps them do not hold a destroyed domain',
      async () => {
        const guest = await bench.machine.newDomain();
        guest.platform.openGntshr().sharePages(0, 2, 'rw');
        const ctrl = bench.control.platform.openCtrl();
        ctrl.destroyDomain(guest.domid);
        expect(ctrl.getDomainInfo(guest.domid)).toBeUndefined();
      },
    );

    test('memory is given within limits, and taken back', () => {
      const ctrl = bench.control.platform.openCtrl();
      const domid = bench.empty();
      ctrl.setMaxMem(domid, 4 * 4);
      ctrl.populatePhysmap(domid, [10, 11, 12, 13]);
      expect(ctrl.getDomainInfo(domid)).toMatchObject({ totPages: 4, maxPages: 4 });
      expect(ctrl.maximumGpfn(domid)).toBe(13);
      refuses('ENOMEM', () => ctrl.populatePhysmap(domid, [14]));
      const free = ctrl.physinfo().freePages;
      ctrl.decreaseReservation(domid, [11, 12]);
      expect(ctrl.physinfo().freePages).toBe(free + 2);
      refuses('EINVAL', () => ctrl.decreaseReservation(domid, [11]));
      expect(ctrl.getDomainInfo(domid)?.totPages).toBe(2);
    });

    test('less memory than was asked for is none, for a domain of either kind', () => {
      const ctrl = bench.control.platform.openCtrl();
      for (const domid of [bench.empty(), ctrl.createDomain({})]) {
        ctrl.setMaxMem(domid, 3 * 4);
        ctrl.populatePhysmap(domid, [1, 2]);
        refuses('ENOMEM', () => ctrl.populatePhysmap(domid, [3, 4]));
        expect(ctrl.getDomainInfo(domid)?.totPages).toBe(2);
        ctrl.populatePhysmap(domid, [3]);
        refuses('ESRCH', () => ctrl.populatePhysmap(4321, [1]));
      }
    });

    bench.guestTest('a domain gives itself no memory beyond what it was allowed', async () => {
      const guest = await bench.machine.newDomain();
      const own = guest.platform.openCtrl();
      refuses('ENOMEM', () => own.populatePhysmap(guest.domid, [1]));
      bench.control.platform.openCtrl().setMaxMem(guest.domid, 4);
      own.populatePhysmap(guest.domid, [1]);
      refuses('ENOMEM', () => own.populatePhysmap(guest.domid, [2]));
    });

    test('the rest of what a toolstack sets and asks', () => {
      const ctrl = bench.control.platform.openCtrl();
      const domid = ctrl.createDomain({ maxGrantFrames: 7, maxVcpus: 2 });
      ctrl.setHandle(domid, UUID);
      ctrl.maxVcpus(domid, 2);
      expect(ctrl.getDomainInfo(domid)).toMatchObject({ handle: UUID, maxVcpuId: 1 });
      expect(ctrl.gnttabQuerySize(domid)).toEqual({ frames: 1, maxFrames: 7 });
      expect(ctrl.gnttabGetVersion(domid)).toBe(1);
      expect(ctrl.getGuestWidth(domid)).toBe(8);
      expect(ctrl.version().major).toBeGreaterThanOrEqual(4);
      expect(ctrl.physinfo().totalPages).toBeGreaterThan(0);
      refuses('EINVAL', () => ctrl.setHandle(domid, 'x'));
      refuses('ESRCH', () => ctrl.setTarget(domid, 4321));
    });

    test("the hypervisor's console is read from where one was", () => {
      const ctrl = bench.control.platform.openCtrl();
      const { index } = ctrl.readconsolering(0, 'keep');
      expect(ctrl.readconsolering(index, 'keep')).toEqual({ text: '', index });
    });

    bench.guestTest("the hypervisor's console has what domains print", async () => {
      const guest = await bench.machine.newDomain();
      const ctrl = bench.control.platform.openCtrl();
      const before = ctrl.readconsolering(0, 'keep').index;
      guest.platform.guest.print('a word from below');
      const { text } = ctrl.readconsolering(before, 'keep');
      expect(text).toContain('a word from below');
    });

    bench.guestTest('whoever is not in control is told so, and learns nothing', async () => {
      const [a, b] = await bench.guests();
      const ctrl = a.platform.openCtrl();
      const calls: (() => unknown)[] = [
        () => ctrl.createDomain({}),
        () => ctrl.destroyDomain(b.domid),
        () => ctrl.pause(b.domid),
        () => ctrl.unpause(b.domid),
        () => ctrl.shutdown(b.domid, 0),
        () => ctrl.resume(b.domid),
        () => ctrl.setMaxMem(b.domid, 4),
        () => ctrl.maxVcpus(b.domid, 1),
        () => ctrl.setHandle(b.domid, UUID),
        () => ctrl.setTarget(a.domid, b.domid),
        () => ctrl.setVirqHandler(a.domid, Virq.DOM_EXC),
        () => ctrl.getDomainInfo(b.domid),
        () => ctrl.getDomainInfoList(0, 10),
        () => ctrl.hvmParamSet(b.domid, 1, 1),
        () => ctrl.gnttabSeed(b.domid, {}),
        () => ctrl.populatePhysmap(b.domid, [1]),
        () => ctrl.physinfo(),
        () => ctrl.readconsolering(0, 'keep'),
        () => ctrl.destroyDomain(4321),
      ];
      for (const call of calls) {
        refuses('EPERM', call);
      }
    });

    bench.guestTest("the store's domain may look at domains, and no more", async () => {
      const daemon = await bench.machine.newDomain({ xenstore: true });
      const guest = await bench.machine.newDomain();
      const ctrl = daemon.platform.openCtrl();
      expect(ctrl.getDomainInfo(guest.domid)?.domid).toBe(guest.domid);
      expect(ctrl.getDomainInfo(4321)).toBeUndefined();
      refuses('EPERM', () => ctrl.getDomainInfoList(0, 100));
      expect(daemon.platform.openManage().getDomainInfo(guest.domid).state).toBe(DomainState.EXIST);
      refuses('EPERM', () => ctrl.destroyDomain(guest.domid));
      refuses('EPERM', () => ctrl.pause(guest.domid));
    });
  });

  describe('manage', () => {
    bench.guestTest('the watcher learns of every change, in the order of a life', async () => {
      const daemon = await bench.machine.newDomain({ xenstore: true });
      const guest = await bench.machine.newDomain();
      const ctrl = bench.control.platform.openCtrl();
      ctrl.setVirqHandler(daemon.domid, Virq.DOM_EXC);
      const evtchn = daemon.platform.openEvtchn();
      const port = evtchn.bindVirq(Virq.DOM_EXC);
      const manage = daemon.platform.openManage();

      const all = pollAll(manage);
      expect(all.map((status) => status.domid)).toEqual([0, daemon.domid, guest.domid]);
      expect(all[0]).toMatchObject({
        state: DomainState.EXIST,
        caps: DomainCaps.CONTROL | DomainCaps.HARDWARE,
      });
      expect(all[1]).toMatchObject({ caps: DomainCaps.XENSTORE });
      const { uniqueId } = all[2]!;
      expect(uniqueId).not.toBe(0n);
      expect(uniqueId).not.toBe(all[1]!.uniqueId);

      const mapped = bench.control.platform.openGnttab();
      const shared = guest.platform.openGntshr().sharePages(0, 1, 'rw');
      const held = mapped.mapGrantRef(guest.domid, shared.refs[0]!, 'r');
      guest.platform.guest.shutdown(ShutdownReason.POWEROFF);
      await heard(bench, evtchn, port);
      expect(pollAll(manage)).toEqual([
        { domid: guest.domid, state: DomainState.EXIST | DomainState.SHUTDOWN, caps: 0, uniqueId },
      ]);
      ctrl.destroyDomain(guest.domid);
      await heard(bench, evtchn, port);
      expect(pollAll(manage)).toEqual([
        {
          domid: guest.domid,
          state: DomainState.EXIST | DomainState.SHUTDOWN | DomainState.DEAD,
          caps: 0,
          uniqueId,
        },
      ]);
      held.unmap();
      await heard(bench, evtchn, port);
      expect(pollAll(manage)).toEqual([{ domid: guest.domid, state: 0, caps: 0, uniqueId: 0n }]);

      const again = ctrl.createDomain({ domid: guest.domid });
      expect(again).toBe(guest.domid);
      expect(manage.getDomainInfo(again).uniqueId).not.toBe(uniqueId);
    });

    bench.guestTest('a crash is heard of', async () => {
      const guest = await bench.machine.newDomain();
      const evtchn = bench.control.platform.openEvtchn();
      const port = evtchn.bindVirq(Virq.DOM_EXC);
      const manage = bench.control.platform.openManage();
      pollAll(manage);
      await bench.machine.kill(guest.domid);
      await heard(bench, evtchn, port);
      await bench.machine.until(
        () => bench.control.platform.openCtrl().getDomainInfo(guest.domid) === undefined,
      );
      expect(pollAll(manage).at(-1)).toMatchObject({ domid: guest.domid, state: 0 });
    });

    test('states are told by a hypervisor that knows them', () => {
      const manage = bench.control.platform.openManage();
      refuses('EINVAL', () => manage.getDomainInfo(0x7ff0));
      if (bench.supports.states) {
        expect(manage.getDomainInfo(bench.empty()).state).toBe(DomainState.EXIST);
        refuses('ESRCH', () => manage.getDomainInfo(4321));
      } else {
        refuses('EACCES', () => manage.getDomainInfo(0));
        refuses('EACCES', () => manage.pollChangedDomain());
      }
    });

    test('whoever binds the VIRQ hears of an end', async () => {
      const evtchn = bench.control.platform.openEvtchn();
      const port = evtchn.bindVirq(Virq.DOM_EXC);
      const ctrl = bench.control.platform.openCtrl();
      const domid = bench.empty();
      ctrl.shutdown(domid, ShutdownReason.POWEROFF);
      await heard(bench, evtchn, port);
      ctrl.destroyDomain(domid);
      await heard(bench, evtchn, port);
    });

    bench.guestTest('states are for those who may know them', async () => {
      const [a, b] = await bench.guests();
      refuses('EPERM', () => a.platform.openManage().getDomainInfo(b.domid));
      refuses('EPERM', () => a.platform.openManage().getDomainInfo(4321));
      refuses('EACCES', () => a.platform.openManage().pollChangedDomain());
      const manage = bench.control.platform.openManage();
      expect(manage.pollChangedDomain(), 'nobody has bound the VIRQ').toBeUndefined();
    });
  });
}
