// Raw hypercalls with arguments laid out by Xen's own headers, and answers read through them.
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { Hypercall } from '../../osdep/call.ts';
import { steppedHost } from '../../osdep/sim/local.ts';
import { compileAgainstXen } from './pages/compile.ts';

const compiled = compileAgainstXen('structs.c');
if ('missing' in compiled) {
  console.warn(`structures of Xen's headers: skipped, ${compiled.missing}`);
}
const program = 'program' in compiled ? compiled.program : '';

const SELF = 0x7ff0;
const DOMCTL = 0x18;
const SYSCTL = 0x16;

function made(name: string, ...values: (number | bigint)[]): Uint8Array {
  return execFileSync(program, ['make', name, ...values.map(String)]);
}

function shown(name: string, bytes: Uint8Array): string {
  return execFileSync(program, ['show', name], { input: bytes }).toString().trim();
}

function machine() {
  const host = steppedHost();
  const control = host.platformFor(0);
  const ctrl = control.openCtrl();
  const domid = ctrl.createDomain({ handle: 'ab000000-0000-0000-0000-0000000000cd', maxVcpus: 3 });
  ctrl.unpause(domid);
  const call = control.openCall();
  /** Performs a call on a structure made from values, and shows the fields that were answered. */
  const ask = (op: number, cmd: number | undefined, name: string, ...values: (number | bigint)[]): string => {
    const bytes = made(name, ...values);
    const buffer = call.allocBuffer(bytes.length);
    buffer.bytes.set(bytes);
    const args = op === Hypercall.GRANT_TABLE_OP ? [cmd ?? 0, buffer, 1] : [cmd ?? 0, buffer];
    call.hypercall(op, cmd === undefined ? [buffer] : args);
    return shown(name, buffer.bytes);
  };
  return { host, control, ctrl, domid, guest: host.platformFor(domid), call, ask };
}

describe.skipIf('missing' in compiled)("structures are those of Xen's headers", () => {
  test('event channels', () => {
    const { ask, domid, guest } = machine();
    expect(ask(Hypercall.EVENT_CHANNEL_OP, 6, 'alloc', SELF, domid)).toBe('1');
    expect(ask(Hypercall.EVENT_CHANNEL_OP, 5, 'status', SELF, 1)).toBe(`1 ${domid} 0`);
    const port = guest.openEvtchn().bindInterdomain(0, 1);
    expect(ask(Hypercall.EVENT_CHANNEL_OP, 5, 'status', SELF, 1)).toBe(`2 ${domid} ${port}`);
    expect(ask(Hypercall.EVENT_CHANNEL_OP, 5, 'status', domid, port)).toBe('2 0 1');
  });

  test('grants', () => {
    const { ask, ctrl, domid, guest, control } = machine();
    const shared = guest.openGntshr().sharePages(0, 1, 'rw');
    const [ref] = shared.refs;
    shared.bytes.set([1, 2, 3, 4], 100);
    expect(ask(Hypercall.GRANT_TABLE_OP, 0, 'map', domid, ref!, 2)).toBe('0 0');
    expect(ask(Hypercall.GRANT_TABLE_OP, 0, 'map', domid, 400, 2)).toMatch(/^-1 /);
    expect(ask(Hypercall.GRANT_TABLE_OP, 1, 'unmap', 0)).toBe('0');
    expect(ask(Hypercall.GRANT_TABLE_OP, 1, 'unmap', 0)).toBe('-4');
    ctrl.populatePhysmap(0, [50]);
    expect(ask(Hypercall.GRANT_TABLE_OP, 5, 'copy', ref!, domid, 101, 50, 7, 3)).toBe('0');
    expect([...control.guest.mapOwn([50]).bytes.slice(6, 11)]).toEqual([0, 2, 3, 4, 0]);
    expect(ask(Hypercall.GRANT_TABLE_OP, 5, 'copy', ref!, domid, 4000, 50, 0, 97)).toBe('-10');
    expect(ask(Hypercall.GRANT_TABLE_OP, 6, 'query', domid)).toBe('1 64 0');
  });

  test('domains', () => {
    const { ask, ctrl, domid, call } = machine();
    ctrl.setMaxMem(domid, 40);
    ctrl.populatePhysmap(domid, [1, 2]);
    const hvmHapBlocked = (2 | 256 | 16).toString(16);
    const info = `${domid} 0x${hvmHapBlocked} 2 10 3 2 abcd`;
    expect(ask(Hypercall.DOMCTL, undefined, 'domctl', 5, DOMCTL, domid)).toBe(info);
    const list = call.allocBuffer(112 * 4);
    expect(ask(Hypercall.SYSCTL, undefined, 'list', SYSCTL, 1, 4, list.address)).toBe('1');
    expect(shown('info', list.bytes)).toBe(info);
    const { freePages } = ctrl.physinfo();
    expect(ask(Hypercall.SYSCTL, undefined, 'physinfo', SYSCTL)).toBe(`1 1000000 1048576 ${freePages}`);
  });

  test('memory and parameters', () => {
    const { ctrl, domid, call, ask } = machine();
    const extents = call.allocBuffer(16);
    new BigUint64Array(extents.bytes.buffer, extents.bytes.byteOffset, 2).set([64n, 128n]);
    const bytes = made('reservation', domid, 2, 4, extents.address);
    const reservation = call.allocBuffer(bytes.length);
    reservation.bytes.set(bytes);
    expect(call.hypercall(Hypercall.MEMORY_OP, [6, reservation])).toBe(2);
    expect(ctrl.maximumGpfn(domid)).toBe(128 + 15);
    expect(ask(Hypercall.HVM_OP, 0, 'param', domid, 1, 64)).toBe('64');
    expect(ask(Hypercall.HVM_OP, 1, 'param', domid, 1, 0)).toBe('64');
  });

  test('device models', () => {
    const { control, domid } = machine();
    const dm = control.openDevicemodel();
    const first = new Uint8Array(made('server', 0));
    const second = new Uint8Array(made('server', 2));
    dm.op(domid, [first]);
    dm.op(domid, [second]);
    expect([shown('server', first), shown('server', second)]).toEqual(['0', '1']);
    dm.op(domid, [new Uint8Array(made('range', 1, 0, 0x60, 0x6f))]);
    dm.unmapIoRange(domid, 1, { type: 'port', start: 0x60, end: 0x6f });
  });
});
