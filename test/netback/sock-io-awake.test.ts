// What must neither stop nor be stopped: a stream whose peer marks places in it, guests' bytes beside another guest's storms and floods.
import { expect, test } from 'vitest';
import { encodeAddress } from '../../netback/xensock/core/address.ts';
import { Errno } from '../../osdep/errno.ts';
import * as ffi from '../../osdep/os/ffi.ts';
import * as inet from '../../osdep/os/inet.ts';
import { at, SockHost } from './sock-io-host.ts';

const MSG_OOB = 1;

test('what comes behind urgent data comes, too', async () => {
  const host = await SockHost.start();
  const guest = await host.guest({ 'feature-xensock': '1' });
  expect(await guest.serve(1, at('0.0.0.0', 0))).toBe(0);
  const { port } = await guest.name(1);
  const ring = guest.ring();
  const accepted = guest.accept(1, 2, ring);
  const fd = inet.open(2, 1);
  const name = new Uint8Array(inet.SOCKADDR_BYTES);
  expect([0, -Errno.EINPROGRESS]).toContain(
    inet.connect(fd, name, encodeAddress(at('127.0.0.1', port), name)),
  );
  expect(await accepted).toBe(0);
  for (const [text, flags] of [
    ['before, ', 0],
    ['!', MSG_OOB],
    ['behind', 0],
  ] as const)
    expect(ffi.send(fd, Buffer.from(text), text.length, flags)).toBe(text.length);
  expect(Buffer.from(await ring.receive(14)).toString()).toBe('before, behind');
  inet.close(fd);
  await host.stop();
});
