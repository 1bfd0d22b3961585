// Raw hypercalls: buffers, numbers, and the byte layouts that Xen's own tools use.
import { describe, expect, test } from 'vitest';
import { type Call, type CallBuffer, Hypercall } from '../../../osdep/call.ts';
import { Domid } from '../../../osdep/domid.ts';
import { Virq } from '../../../osdep/evtchn.ts';
import { GrantStatus } from '../../../osdep/gnttab.ts';
import { type Bench, refuses } from '../osdep.ts';

function view(buffer: CallBuffer): DataView {
  return new DataView(buffer.bytes.buffer, buffer.bytes.byteOffset, buffer.bytes.byteLength);
}

function domctl(
  call: Call,
  cmd: number,
  domid: number,
  version: number,
): { buffer: CallBuffer; run: () => number } {
  const buffer = call.allocBuffer(144);
  view(buffer).setUint32(0, cmd, true);
  view(buffer).setUint32(4, version, true);
  view(buffer).setUint16(8, domid, true);
  return { buffer, run: () => call.hypercall(Hypercall.DOMCTL, [buffer]) };
}

export function callSuite(bench: Bench): void {
  describe('call', () => {
    test('buffers are zeroed, apart, and gone when freed', () => {
      const call = bench.control.platform.openCall();
      const one = call.allocBuffer(10);
      const two = call.allocBufferPages(2);
      expect(one.bytes.length).toBeGreaterThanOrEqual(10);
      expect(two.bytes.length).toBe(8192);
      expect(two.bytes.every((byte) => byte === 0)).toBe(true);
      expect(one.address).not.toBe(two.address);
      call.freeBuffer(one);
      call.freeBufferPages(two);
      expect(two.bytes.length).toBe(0);
      refuses('ENOSYS', () => call.hypercall(38, []));
      call.close();
    });

    test('xen_version needs no privilege', async () => {
      const [anyone] = await bench.pair();
      const call = anyone.platform.openCall();
      const version = call.hypercall(Hypercall.XEN_VERSION, [0, 0]);
      expect(version >>> 16).toBe(4);
      const extra = call.allocBuffer(16);
      expect(call.hypercall(Hypercall.XEN_VERSION, [1, extra])).toBe(0);
      expect(extra.bytes[0]).toBe('.'.charCodeAt(0));
    });

    test('pointers that lead nowhere are EFAULT', () => {
      const call = bench.control.platform.openCall();
      refuses('EFAULT', () => call.hypercall(Hypercall.DOMCTL, [0x1234n]));
      refuses('EFAULT', () => call.hypercall(Hypercall.EVENT_CHANNEL_OP, [5, 0]));
    });

    test('domains are listed and described as in the structures of Xen', async () => {
      const domid = bench.empty({ handle: '01234567-89ab-cdef-0123-456789abcdef' });
      const call = bench.control.platform.openCall();
      const list = call.allocBuffer(112 * 10);
      const op = call.allocBuffer(136);
      view(op).setUint32(0, 6, true);
      view(op).setUint32(4, bench.supports.sysctl, true);
      view(op).setUint16(8, domid, true);
      view(op).setUint32(12, 10, true);
      view(op).setBigUint64(16, list.address, true);
      call.hypercall(Hypercall.SYSCTL, [op]);
      expect(view(op).getUint32(24, true)).toBe(1);
      expect(view(list).getUint16(0, true)).toBe(domid);
      expect([...list.bytes.slice(76, 80)]).toEqual([0x01, 0x23, 0x45, 0x67]);

      const one = domctl(call, 5, domid, bench.supports.domctl);
      one.run();
      expect([...one.buffer.bytes.slice(16, 128)]).toEqual([...list.bytes.slice(0, 112)]);
      refuses('ESRCH', domctl(call, 5, 4321, bench.supports.domctl).run);
    });

    test('an interface of another version is refused, the stable call has its own', async () => {
      const domid = bench.empty();
      const call = bench.control.platform.openCall();
      const { domctl: version, guests, states } = bench.supports;
      refuses('EACCES', domctl(call, 5, domid, version - 1).run);
      const state = domctl(call, 90, domid, 0);
      if (!states) {
        refuses('EACCES', state.run);
        return;
      }
      refuses('EACCES', domctl(call, 90, domid, version).run);
      state.run();
      expect(view(state.buffer).getUint16(16, true)).toBe(1);
      expect(view(state.buffer).getBigUint64(24, true)).not.toBe(0n);
      if (guests) {
        const [guest] = await bench.guests();
        refuses('EPERM', domctl(guest.platform.openCall(), 90, 4321, 0).run);
      }
    });

    test('a domain lives and dies by raw calls', () => {
      const call = bench.control.platform.openCall();
      const { domctl: version } = bench.supports;
      const create = domctl(call, 1, Domid.SELF, version);
      const arg = view(create.buffer);
      arg.setUint32(16 + 28, 1, true);
      arg.setUint32(16 + 32, 100, true);
      arg.setInt32(16 + 36, -1, true);
      arg.setInt32(16 + 40, -1, true);
      refuses('EINVAL', create.run);
      arg.setUint32(16 + 44, 1, true);
      create.run();
      const domid = arg.getUint16(8, true);
      const handler = domctl(call, 66, domid, version);
      view(handler.buffer).setUint32(16, Virq.CON_RING, true);
      handler.run();
      domctl(call, 4, domid, version).run();
      refuses('EINVAL', domctl(call, 4, domid, version).run);
      const info = domctl(call, 5, domid, version);
      info.run();
      expect(view(info.buffer).getUint32(20, true) & 8, 'paused').toBe(0);

      const shutdown = call.allocBuffer(8);
      view(shutdown).setUint16(0, domid, true);
      view(shutdown).setUint32(4, 1, true);
      call.hypercall(Hypercall.SCHED_OP, [4, shutdown]);
      info.run();
      expect(view(info.buffer).getUint32(20, true) & 4).toBe(4);
      expect((view(info.buffer).getUint32(20, true) >> 16) & 255).toBe(1);
      domctl(call, 2, domid, version).run();
      refuses('ESRCH', domctl(call, 2, domid, version).run);
    });

    test('memory and parameters', () => {
      const call = bench.control.platform.openCall();
      const domid = bench.empty();
      bench.control.platform.openCtrl().setMaxMem(domid, 2 * 4);
      const extents = call.allocBuffer(24);
      for (const [index, gfn] of [100n, 101n, 100n].entries()) {
        view(extents).setBigUint64(index * 8, gfn, true);
      }
      const reservation = call.allocBuffer(32);
      view(reservation).setBigUint64(0, extents.address, true);
      view(reservation).setBigUint64(8, 3n, true);
      view(reservation).setUint16(24, domid, true);
      expect(call.hypercall(Hypercall.MEMORY_OP, [6, reservation]), 'as many as were done').toBe(2);
      const param = call.allocBuffer(16);
      view(param).setUint16(0, domid, true);
      view(param).setUint32(4, 1, true);
      view(param).setBigUint64(8, 100n, true);
      call.hypercall(Hypercall.HVM_OP, [0, param]);
      view(param).setBigUint64(8, 0n, true);
      call.hypercall(Hypercall.HVM_OP, [1, param]);
      expect(view(param).getBigUint64(8, true)).toBe(100n);
    });

    test('ports, and their states', async () => {
      const [a, b] = await bench.pair();
      const call = a.platform.openCall();
      const alloc = call.allocBuffer(8);
      view(alloc).setUint16(0, Domid.SELF, true);
      view(alloc).setUint16(2, b.domid, true);
      call.hypercall(Hypercall.EVENT_CHANNEL_OP, [6, alloc]);
      const port = view(alloc).getUint32(4, true);
      const status = call.allocBuffer(24);
      view(status).setUint16(0, Domid.SELF, true);
      view(status).setUint32(4, port, true);
      call.hypercall(Hypercall.EVENT_CHANNEL_OP, [5, status]);
      expect(view(status).getUint32(8, true)).toBe(1);
      expect(view(status).getUint16(16, true)).toBe(b.domid);
      const send = call.allocBuffer(4);
      view(send).setUint32(0, port, true);
      expect(call.hypercall(Hypercall.EVENT_CHANNEL_OP, [4, send]), 'nobody hears it').toBe(0);
      call.hypercall(Hypercall.EVENT_CHANNEL_OP, [3, send]);
      refuses('EINVAL', () => call.hypercall(Hypercall.EVENT_CHANNEL_OP, [4, send]));
      refuses('EINVAL', () => call.hypercall(Hypercall.EVENT_CHANNEL_OP, [3, send]));
    });

    bench.guestTest('grant operations answer each for itself', async () => {
      const [a, b] = await bench.guests();
      const [ref] = a.platform.openGntshr().sharePages(b.domid, 1, 'r').refs;
      const call = b.platform.openCall();
      const ops = call.allocBuffer(64);
      const map = view(ops);
      for (const [index, flags] of [2, 2 | 4].entries()) {
        map.setUint32(index * 32 + 8, flags, true);
        map.setUint32(index * 32 + 12, ref!, true);
        map.setUint16(index * 32 + 16, a.domid, true);
      }
      expect(call.hypercall(Hypercall.GRANT_TABLE_OP, [0, ops, 2])).toBe(0);
      expect(map.getInt16(18, true)).toBe(GrantStatus.GENERAL_ERROR);
      expect(map.getInt16(32 + 18, true)).toBe(GrantStatus.OKAY);
      const handle = map.getUint32(32 + 20, true);
      const unmap = call.allocBuffer(24);
      view(unmap).setUint32(16, handle, true);
      call.hypercall(Hypercall.GRANT_TABLE_OP, [1, unmap, 1]);
      expect(view(unmap).getInt16(20, true)).toBe(GrantStatus.OKAY);
      call.hypercall(Hypercall.GRANT_TABLE_OP, [1, unmap, 1]);
      expect(view(unmap).getInt16(20, true)).toBe(GrantStatus.BAD_HANDLE);
    });

    test('a multicall does its calls one by one', async () => {
      const [anyone] = await bench.pair();
      const call = anyone.platform.openCall();
      const entries = call.allocBuffer(192);
      view(entries).setBigUint64(0, BigInt(Hypercall.XEN_VERSION), true);
      view(entries).setBigUint64(16, 7n, true);
      view(entries).setBigUint64(64, 38n, true);
      view(entries).setBigUint64(128, BigInt(Hypercall.XEN_VERSION), true);
      view(entries).setBigUint64(144, 7n, true);
      expect(call.hypercall(Hypercall.MULTICALL, [entries, 3])).toBe(0);
      expect([8, 72, 136].map((at) => view(entries).getBigInt64(at, true))).toEqual([4096n, -38n, 4096n]);
    });
  });
}
