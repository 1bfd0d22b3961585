/** What one domain can cost the others: a share of the hypervisor's time, of its memory and descriptors, and no more. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { close as closeDescriptor, connectBlocking } from '../../osdep/os/sock.ts';
import { Kind } from '../../osdep/sim/protocol.ts';
import { hypervisorPaths } from '../../osdep/sim/start.ts';
import { RawDomain, Rig } from './sim-process-kit.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await Rig.start();
});
afterAll(async () => {
  await rig.stop();
});

/** Requests of the control domain that are answered meanwhile. */
function served(count: number): void {
  const ctrl = rig.control.openCtrl();
  for (let i = 0; i < count; i++) expect(ctrl.getDomainInfo(0)?.domid).toBe(0);
  ctrl.close();
}

test('requests that are short to send and long to do do not keep the others waiting', async () => {
  const guest = await rig.guest(
    `const share = () => encodeFrame(Kind.CALL, { op: 'gntallocShare', args: { domid: 0, count: 8192, peerWritable: true } }, 'plain');
     const unmap = (map) => encodeFrame(Kind.CALL, { op: 'unmap', args: { map } }, 'plain');
     sock.sendAll(socket, share());
     let end = 0;
     while (end < 8 || end < 8 + inbox.readUInt32LE(0)) end += fdpass.receiveWithDescriptors(socket, inbox, end, []);
     const { value } = decodeBody(inbox.subarray(8, end));
     sock.sendAll(socket, unmap(value.map));
     receive();
     // An extent and a map have a number each, so that the next ones are known before they are told.
     const burst = Buffer.concat(Array.from({ length: 110 }, (_, at) => [share(), unmap(value.map + 2 * (at + 1))]).flat().concat([
       encodeFrame(Kind.CALL, { op: 'writeConsole', args: { text: 'all done' } }, 'plain'),
     ]));
     sock.sendAll(socket, burst);
     say('on it');
     for (const fds = []; fdpass.receiveWithDescriptors(socket, inbox, 0, fds) > 0; ) for (const fd of fds.splice(0)) ffi.close(fd);`,
    rig.createDomain().token,
    'raw',
  );
  expect(await guest.hears()).toBe('on it');
  served(5);
  const ctrl = rig.control.openCtrl();
  expect(ctrl.readconsolering(0, 'keep').text).not.toContain('all done');
  ctrl.close();
  await guest.kill();
});

test('a short text cannot name the same bytes again and again', () => {
  const domain = new RawDomain(rig);
  const blob = Buffer.alloc(100_000);
  // The codec names a value's bytes once each; here it is told of them a thousand times more.
  const again = Array.from({ length: 1000 }, () => ({ $bytes: [0, blob.length] }));
  domain.tell(Kind.CALL, { op: 'gntdevCopy', args: { ops: [], blob, again } });
  expect(domain.receive()).toBe('closed');
  domain.close();
  served(1);
  expect(rig.log).toMatch(new RegExp(`domain ${domain.domid} crashed: .*more bytes than the body has`));
});

test('a process without room for another descriptor is told so, and lives on', async () => {
  const guest = await rig.guest(
    `const share = platform.openGntshr();
     share.sharePages(0, 1, 'rw');
     const evtchn = platform.openEvtchn();
     const limits = new BigUint64Array(2);
     ffi.prlimit(0, 7, null, limits);
     const limit = (soft) => ffi.prlimit(0, 7, BigUint64Array.of(soft, limits[1]), null);
     limit(3n);
     const full = [tryTo(() => share.sharePages(0, 1, 'rw').pages), tryTo(() => platform.openEvtchn().fd > 0)];
     limit(limits[0]);
     say([...full, share.sharePages(0, 1, 'rw').pages, evtchn.bindUnboundPort(0)]);`,
  );
  expect(await guest.hears()).toEqual(['EMFILE', 'EMFILE', 1, 1]);
  await guest.kill();
});

test('connections that never say who they are do not keep a domain out, nor do all those of another', () => {
  const strangers = Array.from({ length: 1100 }, () => connectBlocking(hypervisorPaths(rig.run).socket));
  const crowd = rig.createDomain();
  const attached = Array.from({ length: 256 }, () => rig.platform(crowd.token));
  expect(() => rig.platform(crowd.token)).toThrow(expect.objectContaining({ code: 'EMFILE' }));
  expect(rig.domain().openEvtchn().bindUnboundPort(0)).toBe(1);
  attached[0]!.close();
  for (const fd of strangers) closeDescriptor(fd);
});
