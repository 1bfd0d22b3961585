// Emulated devices: an ioreq server between a guest's port I/O and an emulator in another domain.
import { describe, expect, test } from 'vitest';
import { IoreqState } from '../../../osdep/devicemodel.ts';
import { type Evtchn, Virq } from '../../../osdep/evtchn.ts';
import { Resource } from '../../../osdep/foreignmemory.ts';
import type { Mapping } from '../../../osdep/mapping.ts';
import { type Bench, refuses, type TestDomain } from '../osdep.ts';

const STATE = 30;
const PORT = 0x3f8;
const EMULATED = { hvm: true, hap: true } as const;

interface Emulator {
  readonly id: number;
  readonly slot: DataView;
  readonly evtchn: Evtchn;
  readonly port: number;
  readonly page: Mapping;
}

/** A device model of the guest that emulates eight ports from PORT on. */
function emulate(model: TestDomain, guest: TestDomain): Emulator {
  const dm = model.platform.openDevicemodel();
  const id = dm.createIoreqServer(guest.domid, 'off');
  const resource = { domid: guest.domid, type: Resource.IOREQ_SERVER, id, frame: 1, count: 1 };
  const page = model.platform.openForeignmemory().mapResource(resource, 'rw');
  const slot = new DataView(page.bytes.buffer, page.bytes.byteOffset, 32);
  dm.mapIoRange(guest.domid, id, { type: 'port', start: PORT, end: PORT + 7 });
  dm.setIoreqServerState(guest.domid, id, 'enabled');
  const evtchn = model.platform.openEvtchn();
  const port = evtchn.bindInterdomain(guest.domid, slot.getUint32(24, true));
  return { id, slot, evtchn, port, page };
}

async function asked(bench: Bench, emulator: Emulator): Promise<void> {
  await bench.machine.until(() => {
    const port = emulator.evtchn.pending();
    if (port !== undefined) {
      emulator.evtchn.unmask(port);
    }
    return (emulator.slot.getUint8(STATE) & 15) === IoreqState.READY;
  });
}

function setState(emulator: Emulator, state: number): void {
  emulator.slot.setUint8(STATE, (emulator.slot.getUint8(STATE) & 0xf0) | state);
}

export function deviceSuite(bench: Bench): void {
  describe('devicemodel', () => {
    bench.guestTest("a guest's port I/O reaches the emulator and gets its answer", async () => {
      const guest = await bench.machine.newDomain(EMULATED);
      const model = await bench.machine.newDomain();
      bench.control.platform.openCtrl().setTarget(model.domid, guest.domid);
      const emulator = emulate(model, guest);
      const evtchn = guest.platform.openEvtchn();
      const done = evtchn.bindVirq(Virq.ARCH_0);

      const read = {
        vcpu: 0,
        type: 'port',
        direction: 'read',
        address: PORT + 5,
        size: 1,
        value: 0,
      } as const;
      expect(guest.platform.guest.io(read)).toBeUndefined();
      refuses('EBUSY', () => guest.platform.guest.io(read));
      refuses('EAGAIN', () => guest.platform.guest.ioResult(0));
      await asked(bench, emulator);
      expect(emulator.slot.getBigUint64(0, true)).toBe(BigInt(PORT + 5));
      expect(emulator.slot.getUint32(20, true)).toBe(1);
      expect(emulator.slot.getUint8(STATE) & 0x20).toBe(0x20);
      setState(emulator, IoreqState.INPROCESS);
      emulator.evtchn.notify(emulator.port);
      refuses('EAGAIN', () => guest.platform.guest.ioResult(0));
      emulator.slot.setBigUint64(8, 0x1260n, true);
      setState(emulator, IoreqState.RESP_READY);
      emulator.evtchn.notify(emulator.port);
      await bench.machine.until(() => evtchn.pending() === done);
      evtchn.unmask(done);
      expect(guest.platform.guest.ioResult(0), 'one byte was asked for').toBe(0x60);
      refuses('ENOENT', () => guest.platform.guest.ioResult(0));

      guest.platform.guest.io({ ...read, direction: 'write', address: PORT, value: 65 });
      await asked(bench, emulator);
      expect(emulator.slot.getUint32(8, true)).toBe(65);
      setState(emulator, IoreqState.RESP_READY);
      emulator.evtchn.notify(emulator.port);
      await bench.machine.until(() => evtchn.pending() === done);
      expect(guest.platform.guest.ioResult(0)).toBe(0);
    });

    bench.guestTest('where nobody emulates, reads find all ones at once', async () => {
      const guest = await bench.machine.newDomain(EMULATED);
      const { guest: cpu } = guest.platform;
      const read = { vcpu: 0, type: 'port', direction: 'read', address: 0x70, size: 2, value: 0 } as const;
      expect(cpu.io(read)).toBe(0xffff);
      const emulator = emulate(bench.control, guest);
      expect(cpu.io({ ...read, address: PORT + 7 }), 'reaches beyond the range').toBe(0xffff);
      bench.control.platform.openDevicemodel().setIoreqServerState(guest.domid, emulator.id, 'disabled');
      expect(cpu.io({ ...read, address: PORT }), 'a server that is switched off').toBe(0xffff);
      refuses('EINVAL', () => cpu.io({ ...read, vcpu: 5 }));
      refuses('EINVAL', () => cpu.io({ ...read, size: 3 }));
    });

    bench.guestTest('an emulator that dies leaves its guest with all ones, not waiting', async () => {
      const guest = await bench.machine.newDomain(EMULATED);
      const model = await bench.machine.newDomain();
      bench.control.platform.openCtrl().setTarget(model.domid, guest.domid);
      emulate(model, guest);
      const evtchn = guest.platform.openEvtchn();
      const done = evtchn.bindVirq(Virq.ARCH_0);
      guest.platform.guest.io({ vcpu: 0, type: 'port', direction: 'read', address: PORT, size: 4, value: 0 });
      await bench.machine.kill(model.domid);
      await bench.machine.until(() => evtchn.pending() === done);
      expect(guest.platform.guest.ioResult(0)).toBe(0xffff_ffff);
    });

    bench.guestTest(
      'an emulator that answers nonsense costs the guest its life, and nobody else',
      async () => {
        const guest = await bench.machine.newDomain(EMULATED);
        const other = await bench.machine.newDomain();
        const emulator = emulate(bench.control, guest);
        guest.platform.guest.io({
          vcpu: 0,
          type: 'port',
          direction: 'read',
          address: PORT,
          size: 4,
          value: 0,
        });
        await asked(bench, emulator);
        setState(emulator, 9);
        emulator.evtchn.notify(emulator.port);
        const ctrl = bench.control.platform.openCtrl();
        await bench.machine.until(() => ctrl.getDomainInfo(guest.domid)?.dying !== false);
        emulator.page.unmap();
        await bench.machine.until(() => ctrl.getDomainInfo(guest.domid) === undefined);
        expect(ctrl.getDomainInfo(other.domid)?.dying).toBe(false);
      },
    );

    test('servers and ranges have their rules', () => {
      const domid = bench.empty({ maxVcpus: 2 });
      const dm = bench.control.platform.openDevicemodel();
      const id = dm.createIoreqServer(domid, 'atomic');
      expect(dm.getIoreqServerInfo(domid, id, 'none').bufioreqPort).toBeGreaterThan(0);
      const range = { type: 'memory', start: 0x1000, end: 0x1fff } as const;
      dm.mapIoRange(domid, id, range);
      refuses('EEXIST', () => dm.mapIoRange(domid, id, { ...range, start: 0x1800, end: 0x2000 }));
      refuses('EINVAL', () => dm.mapIoRange(domid, id, { ...range, start: 9, end: 8 }));
      refuses('ENOENT', () => dm.unmapIoRange(domid, id, { ...range, end: 0x2000 }));
      dm.mapIoRange(domid, id, { ...range, start: 0x2000, end: 0x2fff });
      dm.unmapIoRange(domid, id, { ...range, start: 0x1800, end: 0x27ff });
      refuses('ENOENT', () => dm.unmapIoRange(domid, id, range));
      dm.unmapIoRange(domid, id, { ...range, end: 0x17ff });
      const address = { segment: 0, bus: 1, device: 2, fn: 3 };
      dm.mapPcidev(domid, id, address);
      dm.unmapPcidev(domid, id, address);
      refuses('ENOENT', () => dm.unmapPcidev(domid, id, address));
      refuses('ENOENT', () => dm.getIoreqServerInfo(domid, id + 1, 'none'));
      expect(dm.nrVcpus(domid)).toBe(2);
      dm.destroyIoreqServer(domid, id);
      refuses('ENOENT', () => dm.destroyIoreqServer(domid, id));
      for (let servers = 0; servers < 8; servers += 1) {
        dm.createIoreqServer(domid, 'off');
      }
      refuses('ENOSPC', () => dm.createIoreqServer(domid, 'off'));
    });

    test('a restricted handle is the model of one domain', () => {
      const [one, other] = [bench.empty(), bench.empty()];
      const dm = bench.control.platform.openDevicemodel();
      dm.restrict(one);
      dm.createIoreqServer(one, 'off');
      refuses('EPERM', () => dm.createIoreqServer(other, 'off'));
      refuses('EINVAL', () => dm.restrict(other));
    });

    bench.guestTest('only the model of a domain is its model', async () => {
      const [a, b] = await bench.guests();
      refuses('EPERM', () => a.platform.openDevicemodel().createIoreqServer(b.domid, 'off'));
      refuses('EPERM', () => a.platform.openDevicemodel().shutdown(b.domid, 0));
      refuses('ESRCH', () => a.platform.openDevicemodel().createIoreqServer(4321, 'off'));
    });

    test('interrupts, pages and memory types are taken', () => {
      const domid = bench.empty({}, [16, 17, 18]);
      const ctrl = bench.control.platform.openCtrl();
      const dm = bench.control.platform.openDevicemodel();
      dm.setPciIntxLevel(domid, { segment: 0, bus: 0, device: 3, fn: 0 }, 0, 1);
      dm.setIsaIrqLevel(domid, 4, 1);
      refuses('EOPNOTSUPP', () => dm.setIrqLevel(domid, 40, 1));
      dm.setPciLinkRoute(domid, 1, 5);
      dm.injectMsi(domid, 0xfee00000, 33);
      dm.injectEvent(domid, { vcpu: 0, vector: 14, type: 3, errorCode: 2, insnLength: 0, extra: 0 });
      dm.setMemType(domid, 1, 16, 3);
      refuses('EINVAL', () => dm.setMemType(domid, 1, 16, 4));
      dm.pinMemoryCacheattr(domid, 0, 0xfff, 0);
      expect(dm.trackDirtyVram(domid, 16, 3)[0]! & 0b111, 'all, when it begins').toBe(0b111);
      dm.modifiedMemory(domid, 17, 1);
      expect(dm.trackDirtyVram(domid, 16, 3).length).toBe(1);
      expect([...dm.trackDirtyVram(domid, 16, 3)]).toEqual([0]);
      dm.relocateMemory(domid, 1, 18, 40);
      expect(ctrl.maximumGpfn(domid)).toBe(40);
    });

    test('a raw operation is the same as its wrapper', () => {
      const domid = bench.empty({ maxVcpus: 4 });
      const op = new Uint8Array(32);
      new DataView(op.buffer).setUint32(0, 20, true);
      bench.control.platform.openDevicemodel().op(domid, [op]);
      expect(new DataView(op.buffer).getUint32(8, true)).toBe(4);
      op[4] = 1;
      refuses('EINVAL', () => bench.control.platform.openDevicemodel().op(domid, [op]));
    });
  });
}
