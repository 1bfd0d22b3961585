// The built daemon as a domain of a simulated machine across processes: a guest talks to it over its ring, and goes on when the daemon is
// killed and started again; who ends, ends alone.
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { HvmParam } from '../../osdep/ctrl.ts';
import { Virq } from '../../osdep/evtchn.ts';
import type { RemoteSimPlatform } from '../../osdep/sim/client.ts';
import { GuestRing, MemoryPage } from '../conformance/guestring.ts';
import { type Link, socketLink } from '../conformance/link.ts';
import { Rig } from '../osdep/sim-process-kit.ts';
import { ask, DaemonProcess, next, request } from './daemonprocess.ts';

const STORE_GFN = 7;

let rig: Rig;
let token: string;
let storeDomid: number;
let daemon: DaemonProcess;
let dom0: Link;

beforeEach(async () => {
  rig = await Rig.start();
  const ctrl = rig.control.openCtrl();
  storeDomid = ctrl.createDomain({ xenstore: true });
  ctrl.setVirqHandler(storeDomid, Virq.DOM_EXC);
  ctrl.unpause(storeDomid);
  token = rig.control.issueToken({ domid: storeDomid, restartable: true });
  ctrl.close();
  await start();
});
afterEach(async () => {
  daemon.child.kill('SIGKILL');
  await daemon.ended;
  await rig.stop();
});

async function start(): Promise<void> {
  daemon = new DaemonProcess(['-N', '--run', rig.run], { STUBDOM0_TOKEN: token });
  await daemon.says('xenstored is ready');
  dom0 = await socketLink(join(rig.run, 'xenstored/socket'));
}

interface Guest {
  readonly domid: number;
  readonly ring: GuestRing;
  readonly platform: RemoteSimPlatform;
}

/** A domain within this process, introduced. */
async function addGuest(): Promise<Guest> {
  const ctrl = rig.control.openCtrl();
  const domid = ctrl.createDomain({});
  ctrl.setMaxMem(domid, 64);
  ctrl.populatePhysmap(domid, [STORE_GFN]);
  const port = ctrl.evtchnAllocUnbound(domid, storeDomid);
  ctrl.gnttabSeed(domid, { xenstoreGfn: STORE_GFN, xenstoreDomid: storeDomid });
  ctrl.hvmParamSet(domid, HvmParam.STORE_PFN, STORE_GFN);
  ctrl.hvmParamSet(domid, HvmParam.STORE_EVTCHN, port);
  ctrl.unpause(domid);
  ctrl.close();
  const platform = rig.platform(rig.control.issueToken({ domid, restartable: false }));
  const { page } = platform.store.ring();
  const evtchn = platform.openEvtchn();
  evtchn.bind(port);
  const { buffer, byteOffset, byteLength } = page.bytes;
  const memory = new MemoryPage(Buffer.from(buffer, byteOffset, byteLength));
  const ring = new GuestRing(domid, memory, () => evtchn.notify(port));
  evtchn.onReadable(() => {
    for (let fired = evtchn.pending(); fired !== undefined; fired = evtchn.pending()) evtchn.unmask(fired);
    ring.signalled();
  });
  await ask(dom0, 'WRITE', `/local/domain/${domid}|`);
  await ask(dom0, 'SET_PERMS', `/local/domain/${domid}|n${domid}|`);
  expect(await ask(dom0, 'INTRODUCE', `${domid}|${STORE_GFN}|${port}|`)).toBe('OK|');
  return { domid, ring, platform };
}

test('a guest reads and writes over its ring; the socket speaks for the control domain', async () => {
  const { ring, domid } = await addGuest();
  const value = 'v'.repeat(1500);
  expect(await ask(ring, 'WRITE', `a|${value}`)).toBe('OK|');
  expect(await ask(dom0, 'READ', `/local/domain/${domid}/a|`)).toBe(value);
  expect(await ask(dom0, 'WRITE', 'name|Domain-0')).toBe('OK|');
  expect(await ask(dom0, 'READ', '/local/domain/0/name|')).toBe('Domain-0');
});

test('kill -9 of the daemon: started again, it answers what was asked meanwhile, and the watch is still there', async () => {
  const { ring, domid } = await addGuest();
  await ask(ring, 'WRITE', 'a|before');
  await ask(ring, 'WATCH', 'a|t|');
  expect(await next(ring)).toBe('EVENT a|t|');
  const half = request('WRITE', `b|${'b'.repeat(900)}`);
  ring.send(half.subarray(0, 700));
  await ask(dom0, 'READ', '/|');
  daemon.child.kill('SIGKILL');
  await daemon.ended;
  ring.send(half.subarray(700));
  ring.send(request('READ', 'a|'));
  await start();
  expect(await next(ring)).toBe('OK|');
  expect(await next(ring)).toBe('before');
  await ask(dom0, 'WRITE', `/local/domain/${domid}/a|after`);
  expect(await next(ring)).toBe('EVENT a|t|');
});

test('a guest whose process dies is released, and its nodes with it', async () => {
  const guest = await addGuest();
  const other = await addGuest();
  await ask(guest.ring, 'WRITE', 'a|x');
  await ask(dom0, 'WATCH', '@releaseDomain|t|');
  await next(dom0);
  guest.platform.close();
  // Once for the crash, once for the end.
  expect(await next(dom0)).toBe('EVENT @releaseDomain|t|');
  await expect.poll(() => ask(dom0, 'READ', `/local/domain/${guest.domid}/a|`)).toBe('!ENOENT');
  expect(await ask(other.ring, 'WRITE', 'a|x')).toBe('OK|');
});

test('without its hypervisor the daemon ends, with one line and 1', async () => {
  await rig.hypervisor.stop();
  expect(await daemon.ended).toMatchObject({ code: 1 });
  expect(daemon.stderr).toMatch(/ready\n.*hypervisor.*\n$/);
});
