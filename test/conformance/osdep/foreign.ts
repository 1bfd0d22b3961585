// Foreign memory: frames of another domain by number, resources of the hypervisor, and who may have them.
import { describe, expect, test } from 'vitest';
import { HvmParam } from '../../../osdep/ctrl.ts';
import { Resource } from '../../../osdep/foreignmemory.ts';
import { ReservedGrant } from '../../../osdep/gnttab.ts';
import { type Bench, refuses, type TestDomain } from '../osdep.ts';

const GFN = 0xfeff0;

async function withMemory(bench: Bench, gfns: readonly number[]): Promise<TestDomain> {
  const guest = await bench.machine.newDomain();
  bench.control.platform.openCtrl().populatePhysmap(guest.domid, gfns);
  return guest;
}

export function foreignSuite(bench: Bench): void {
  describe('foreignmemory', () => {
    test('the control domain maps what a guest has, and the guest sees what it writes', async () => {
      const guest = await withMemory(bench, [GFN, GFN + 1]);
      const mapped = bench.control.platform.openForeignmemory().map(guest.domid, 'rw', [GFN, GFN + 1]);
      expect(mapped.bytes.length).toBe(2 * 4096);
      mapped.bytes.set([1, 2, 3], 4096);
      expect([...guest.platform.guest.mapOwn([GFN + 1]).bytes.slice(0, 3)]).toEqual([1, 2, 3]);
      mapped.unmap();
      expect(mapped.bytes.length).toBe(0);
    });

    test('a guest maps nobody', async () => {
      const guest = await withMemory(bench, [GFN]);
      const other = await bench.machine.newDomain();
      const foreign = other.platform.openForeignmemory();
      refuses('EPERM', () => foreign.map(guest.domid, 'r', [GFN]));
      refuses('EPERM', () => foreign.map(0, 'r', [1]));
      refuses('ESRCH', () => foreign.map(4321, 'r', [GFN]));
    });

    test('a device model maps its target, and no other', async () => {
      const guest = await withMemory(bench, [GFN]);
      const other = await withMemory(bench, [GFN]);
      const model = await bench.machine.newDomain();
      bench.control.platform.openCtrl().setTarget(model.domid, guest.domid);
      const foreign = model.platform.openForeignmemory();
      expect(foreign.map(guest.domid, 'rw', [GFN]).pages).toBe(1);
      refuses('EPERM', () => foreign.map(other.domid, 'r', [GFN]));
    });

    test('frames that are not there: all or nothing, or an errno for each', async () => {
      const guest = await withMemory(bench, [GFN, GFN + 2]);
      const foreign = bench.control.platform.openForeignmemory();
      const gfns = [GFN, GFN + 1, GFN + 2];
      refuses('EINVAL', () => foreign.map(guest.domid, 'r', gfns));
      const { mapping, errors } = foreign.mapPartial(guest.domid, 'rw', gfns);
      expect(errors).toEqual([0, 22, 0]);
      mapping.page(2).set([9]);
      expect(guest.platform.guest.mapOwn([GFN + 2]).bytes[0]).toBe(9);
      mapping.unmap();
    });

    test('a restricted handle maps one domain only', async () => {
      const guest = await withMemory(bench, [GFN]);
      const other = await withMemory(bench, [GFN]);
      const foreign = bench.control.platform.openForeignmemory();
      foreign.restrict(guest.domid);
      foreign.restrict(guest.domid);
      refuses('EINVAL', () => foreign.restrict(other.domid));
      refuses('EPERM', () => foreign.map(other.domid, 'r', [GFN]));
      refuses('EPERM', () =>
        foreign.mapResource(
          { domid: other.domid, type: Resource.GRANT_TABLE, id: 0, frame: 0, count: 1 },
          'r',
        ),
      );
      expect(foreign.map(guest.domid, 'r', [GFN]).pages).toBe(1);
    });

    test("a guest's grant table is a resource, and grows on demand up to its limit", async () => {
      const guest = await bench.machine.newDomain({ maxGrantFrames: 4 });
      const foreign = bench.control.platform.openForeignmemory();
      const table = { domid: guest.domid, type: Resource.GRANT_TABLE, id: 0, frame: 0, count: 4 };
      const mapped = foreign.mapResource(table, 'rw');
      expect(mapped.pages).toBe(4);
      mapped.page(0).set([1, 2, 3, 4]);
      expect([...guest.platform.guest.mapGrantTable(1).bytes.slice(0, 4)]).toEqual([1, 2, 3, 4]);
      refuses('EINVAL', () => foreign.mapResource({ ...table, count: 5 }, 'rw'));
      refuses('EINVAL', () => foreign.mapResource({ ...table, type: 7 }, 'rw'));
      refuses('EINVAL', () => foreign.mapResource({ ...table, frame: 2 ** 32, count: 1 }, 'rw'));
      refuses('EPERM', () => foreign.mapResource({ ...table, domid: 0 }, 'rw'));
      refuses('ESRCH', () => foreign.mapResource({ ...table, domid: 4321 }, 'rw'));
      expect(foreign.resourceSize(guest.domid, Resource.GRANT_TABLE, 0)).toBe(4 * 4096);
    });

    test('what a foreign map holds keeps a dead domain a zombie', async () => {
      const guest = await withMemory(bench, [GFN]);
      const mapped = bench.control.platform.openForeignmemory().map(guest.domid, 'rw', [GFN]);
      const ctrl = bench.control.platform.openCtrl();
      ctrl.destroyDomain(guest.domid);
      expect(ctrl.getDomainInfo(guest.domid)?.dying).toBe(true);
      mapped.bytes[0] = 1;
      mapped.unmap();
      expect(ctrl.getDomainInfo(guest.domid)).toBeUndefined();
    });
  });

  describe('what a guest starts with', () => {
    test('its store ring, granted to the domain that serves it', async () => {
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

    test('parameters that only a toolstack sets, and some but once', async () => {
      const guest = await bench.machine.newDomain();
      const own = guest.platform.openCtrl();
      const ctrl = bench.control.platform.openCtrl();
      refuses('EPERM', () => own.hvmParamSet(guest.domid, HvmParam.STORE_PFN, 1));
      own.hvmParamSet(guest.domid, HvmParam.STORE_EVTCHN, 5);
      expect(ctrl.hvmParamGet(guest.domid, HvmParam.STORE_EVTCHN)).toBe(5);
      ctrl.hvmParamSet(guest.domid, HvmParam.IOREQ_PFN, 7);
      ctrl.hvmParamSet(guest.domid, HvmParam.IOREQ_PFN, 7);
      refuses('EEXIST', () => ctrl.hvmParamSet(guest.domid, HvmParam.IOREQ_PFN, 8));
      refuses('EINVAL', () => ctrl.hvmParamGet(guest.domid, 39));
      refuses('EINVAL', () => ctrl.hvmParamSet(guest.domid, 13, 1));
      refuses('EPERM', () => own.hvmParamGet(0, HvmParam.STORE_PFN));
    });
  });
}
