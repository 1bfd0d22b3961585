// Foreign memory: frames of another domain by number, resources of the hypervisor, and who may have them.
import { describe, expect, test } from 'vitest';
import { HvmParam } from '../../../osdep/ctrl.ts';
import { Resource } from '../../../osdep/foreignmemory.ts';
import { ReservedGrant } from '../../../osdep/gnttab.ts';
import { type Bench, refuses, type TestGuest } from '../osdep.ts';

const GFN = 0xfeff0;

async function withMemory(bench: Bench, gfns: readonly number[]): Promise<TestGuest> {
  const guest = await bench.machine.newDomain();
  const ctrl = bench.control.platform.openCtrl();
  ctrl.setMaxMem(guest.domid, 1024);
  ctrl.populatePhysmap(guest.domid, gfns);
  return guest;
}

export function foreignSuite(bench: Bench): void {
  describe('foreignmemory', () => {
    test('the control domain maps the frames of a domain, in the order it names them', () => {
      const domid = bench.empty({}, [GFN, GFN + 1]);
      const foreign = bench.control.platform.openForeignmemory();
      const mapped = foreign.map(domid, 'rw', [GFN, GFN + 1]);
      expect(mapped.pages).toBe(2);
      mapped.page(1).set([1, 2, 3]);
      const again = foreign.map(domid, 'r', [GFN + 1, GFN]);
      expect(again.writable).toBe(false);
      expect([...again.page(0).slice(0, 4)]).toEqual([1, 2, 3, 0]);
      expect([...again.page(1).slice(0, 4)]).toEqual([0, 0, 0, 0]);
      mapped.unmap();
      expect(mapped.page(1).length).toBe(0);
      refuses('EINVAL', () => foreign.map(domid, 'r', []));
      refuses('ESRCH', () => foreign.map(4321, 'r', [GFN]));
    });

    test('a closed handle maps nothing more, and what it mapped stays', () => {
      const domid = bench.empty({}, [GFN]);
      const foreign = bench.control.platform.openForeignmemory();
      const mapped = foreign.map(domid, 'rw', [GFN]);
      foreign.close();
      foreign.close();
      refuses('EBADF', () => foreign.map(domid, 'r', [GFN]));
      mapped.page(0).set([5]);
      expect(mapped.page(0)[0]).toBe(5);
      mapped.unmap();
      mapped.unmap();
    });

    bench.guestTest('a guest sees what the control domain writes', async () => {
      const guest = await withMemory(bench, [GFN, GFN + 1]);
      const mapped = bench.control.platform.openForeignmemory().map(guest.domid, 'rw', [GFN, GFN + 1]);
      mapped.page(1).set([1, 2, 3]);
      expect([...guest.platform.guest.mapOwn([GFN + 1]).bytes.slice(0, 3)]).toEqual([1, 2, 3]);
    });

    bench.guestTest('a guest maps nobody', async () => {
      const guest = await withMemory(bench, [GFN]);
      const other = await bench.machine.newDomain();
      const foreign = other.platform.openForeignmemory();
      refuses('EPERM', () => foreign.map(guest.domid, 'r', [GFN]));
      refuses('EPERM', () => foreign.map(0, 'r', [1]));
      refuses('ESRCH', () => foreign.map(4321, 'r', [GFN]));
    });

    bench.guestTest('a device model maps its target, and no other', async () => {
      const guest = await withMemory(bench, [GFN]);
      const other = await withMemory(bench, [GFN]);
      const model = await bench.machine.newDomain();
      bench.control.platform.openCtrl().setTarget(model.domid, guest.domid);
      const foreign = model.platform.openForeignmemory();
      expect(foreign.map(guest.domid, 'rw', [GFN]).pages).toBe(1);
      refuses('EPERM', () => foreign.map(other.domid, 'r', [GFN]));
    });

    test('frames that are not there: all or nothing, or an errno for each', () => {
      const domid = bench.empty({}, [GFN, GFN + 2]);
      const foreign = bench.control.platform.openForeignmemory();
      const gfns = [GFN, GFN + 1, GFN + 2];
      refuses('EINVAL', () => foreign.map(domid, 'r', gfns));
      const { mapping, errors } = foreign.mapPartial(domid, 'rw', gfns);
      expect(errors).toEqual([0, 22, 0]);
      mapping.page(2).set([9]);
      expect(foreign.map(domid, 'r', [GFN + 2]).bytes[0]).toBe(9);
      mapping.unmap();
    });

    test('a restricted handle maps one domain only', () => {
      const one = bench.empty({}, [GFN]);
      const other = bench.empty({}, [GFN]);
      const foreign = bench.control.platform.openForeignmemory();
      foreign.restrict(one);
      foreign.restrict(one);
      refuses('EINVAL', () => foreign.restrict(other));
      refuses('EPERM', () => foreign.map(other, 'r', [GFN]));
      refuses('EPERM', () =>
        foreign.mapResource({ domid: other, type: Resource.GRANT_TABLE, id: 0, frame: 0, count: 1 }, 'r'),
      );
      expect(foreign.map(one, 'r', [GFN]).pages).toBe(1);
    });

    bench.guestTest('a guest finds in its grant table what was written to the resource', async () => {
      const guest = await bench.machine.newDomain();
      const table = { domid: guest.domid, type: Resource.GRANT_TABLE, id: 0, frame: 0, count: 1 };
      bench.control.platform.openForeignmemory().mapResource(table, 'rw').page(0).set([1, 2, 3, 4]);
      expect([...guest.platform.guest.mapGrantTable(1).bytes.slice(0, 4)]).toEqual([1, 2, 3, 4]);
    });

    test("a domain's grant table is a resource, and grows on demand up to its limit", () => {
      const domid = bench.empty({ maxGrantFrames: 4 });
      const foreign = bench.control.platform.openForeignmemory();
      const table = { domid, type: Resource.GRANT_TABLE, id: 0, frame: 0, count: 4 };
      const mapped = foreign.mapResource(table, 'rw');
      expect(mapped.pages).toBe(4);
      mapped.page(3).set([1, 2, 3, 4]);
      const last = foreign.mapResource({ ...table, frame: 3, count: 1 }, 'r');
      expect([...last.bytes.slice(0, 4)]).toEqual([1, 2, 3, 4]);
      refuses('EINVAL', () => foreign.mapResource({ ...table, count: 5 }, 'rw'));
      refuses('EINVAL', () => foreign.mapResource({ ...table, frame: 2 ** 32, count: 1 }, 'rw'));
      refuses('EPERM', () => foreign.mapResource({ ...table, domid: 0 }, 'rw'));
      refuses('ESRCH', () => foreign.mapResource({ ...table, domid: 4321 }, 'rw'));
      expect(foreign.resourceSize(domid, Resource.GRANT_TABLE, 0)).toBe(4 * 4096);
    });

    test('what a foreign map holds keeps a dead domain a zombie', () => {
      const domid = bench.empty({}, [GFN]);
      const mapped = bench.control.platform.openForeignmemory().map(domid, 'rw', [GFN]);
      const ctrl = bench.control.platform.openCtrl();
      ctrl.destroyDomain(domid);
      expect(ctrl.getDomainInfo(domid)?.dying).toBe(true);
      mapped.bytes[0] = 1;
      mapped.unmap();
      expect(ctrl.getDomainInfo(domid)).toBeUndefined();
    });
  });

  describe('what a guest starts with', () => {
    test('pages of its own that are granted to whoever serves them, before it runs', () => {
      const domid = bench.empty({}, [GFN, GFN + 1]);
      bench.control.platform
        .openCtrl()
        .gnttabSeed(domid, { consoleGfn: GFN, consoleDomid: 0, xenstoreGfn: GFN + 1, xenstoreDomid: 0 });
      const gnttab = bench.control.platform.openGnttab();
      const served = gnttab.mapGrantRef(domid, ReservedGrant.XENSTORE, 'rw');
      served.bytes.set([42], 7);
      gnttab.mapGrantRef(domid, ReservedGrant.CONSOLE, 'rw').bytes.set([43], 7);
      const frames = bench.control.platform.openForeignmemory().map(domid, 'r', [GFN, GFN + 1]);
      expect([frames.page(0)[7], frames.page(1)[7]]).toEqual([43, 42]);
      refuses('EINVAL', () => gnttab.mapGrantRef(domid, 2, 'r'));
    });

    bench.guestTest('its store ring, granted to the domain that serves it', async () => {
      const guest = await bench.machine.newDomain();
      const daemon = await bench.machine.newDomain({ xenstore: true });
      const ctrl = bench.control.platform.openCtrl();
      refuses('ENOENT', () => guest.platform.store.ring());
      ctrl.populatePhysmap(guest.domid, [GFN]);
      ctrl.gnttabSeed(guest.domid, { xenstoreGfn: GFN, xenstoreDomid: daemon.domid });
      const port = ctrl.evtchnAllocUnbound(guest.domid, daemon.domid);
      ctrl.hvmParamSet(guest.domid, HvmParam.STORE_PFN, GFN);
      ctrl.hvmParamSet(guest.domid, HvmParam.STORE_EVTCHN, port);

      const ring = guest.platform.store.ring();
      const evtchn = guest.platform.openEvtchn();
      evtchn.bind(ring.port);
      const served = daemon.platform.openGnttab().mapGrantRef(guest.domid, ReservedGrant.XENSTORE, 'rw');
      const daemonEvtchn = daemon.platform.openEvtchn();
      const daemonPort = daemonEvtchn.bindInterdomain(guest.domid, port);
      ring.page.bytes[0] = 42;
      expect(served.bytes[0]).toBe(42);
      evtchn.notify(ring.port);
      await bench.machine.until(() => daemonEvtchn.pending() === daemonPort);
      expect(guest.platform.store.kernelRing()).toBeUndefined();
      refuses('ENOENT', () => guest.platform.console.ring());
      refuses('EINVAL', () => bench.control.platform.openGnttab().mapGrantRef(guest.domid, 1, 'r'));
    });

    test('parameters, some of which are set but once', () => {
      const domid = bench.empty();
      const ctrl = bench.control.platform.openCtrl();
      ctrl.hvmParamSet(domid, HvmParam.STORE_EVTCHN, 5);
      expect(ctrl.hvmParamGet(domid, HvmParam.STORE_EVTCHN)).toBe(5);
      ctrl.hvmParamSet(domid, HvmParam.IOREQ_PFN, 7);
      ctrl.hvmParamSet(domid, HvmParam.IOREQ_PFN, 7);
      refuses('EEXIST', () => ctrl.hvmParamSet(domid, HvmParam.IOREQ_PFN, 8));
      refuses('EINVAL', () => ctrl.hvmParamGet(domid, 39));
      refuses('EINVAL', () => ctrl.hvmParamSet(domid, 13, 1));
      refuses('ESRCH', () => ctrl.hvmParamGet(4321, HvmParam.STORE_PFN));
    });

    bench.guestTest('parameters that only a toolstack sets', async () => {
      const guest = await bench.machine.newDomain();
      const own = guest.platform.openCtrl();
      refuses('EPERM', () => own.hvmParamSet(guest.domid, HvmParam.STORE_PFN, 1));
      own.hvmParamSet(guest.domid, HvmParam.STORE_EVTCHN, 5);
      expect(own.hvmParamGet(guest.domid, HvmParam.STORE_EVTCHN)).toBe(5);
      refuses('EPERM', () => own.hvmParamGet(0, HvmParam.STORE_PFN));
    });
  });
}
