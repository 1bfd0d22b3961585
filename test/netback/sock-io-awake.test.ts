// What must neither stop nor be stopped: a stream whose peer marks places in it, guests' bytes beside another guest's storms and floods.
import { expect, test, vi } from 'vitest';
import { encodeAddress } from '../../netback/xensock/core/address.ts';
import { Command, Datagram, Index } from '../../netback/xensock/core/pvcalls.ts';
import { Descriptors } from '../../netback/xensock/io/descriptors.ts';
import { SocketDevice } from '../../netback/xensock/io/device.ts';
import { Drains } from '../../netback/xensock/io/drain.ts';
import { LocalHub } from '../../netback/xensock/io/localhub.ts';
import { UdpPort } from '../../netback/xensock/io/udp.ts';
import { Errno } from '../../osdep/errno.ts';
import * as ffi from '../../osdep/os/ffi.ts';
import * as inet from '../../osdep/os/inet.ts';
import { Poller } from '../../osdep/os/poll.ts';
import { at, machine, SockHost } from './sock-io-host.ts';
import { addressed } from './sock-rawguest.ts';

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

test('a datagram socket that is released keeps nobody waiting for all that its ring might have', async () => {
  const host = await SockHost.start();
  const guest = await host.guest({ 'feature-xensock': '1' });
  const ring = guest.ring(9);
  expect(await guest.socket(1, 2, 2)).toBe(0);
  expect(await guest.ret(1, { command: Command.ATTACH, ...ring.ringed })).toBe(0);
  const nowhere = addressed(machine(9));
  const record = Buffer.alloc(Datagram.HEADER_BYTES);
  record.writeUInt32LE(nowhere.addressLength, Datagram.ADDRESS_LENGTH);
  record.set(nowhere.address, Datagram.ADDRESS);
  const count = Math.floor(ring.size / record.length);
  for (let i = 0; i < count; i++) ring.pages.bytes.set(record, ring.size + i * record.length);
  const send = vi.spyOn(UdpPort.prototype, 'send').mockReturnValue(0);
  // It has not rung for them.
  ring.index.store(Index.OUT_PROD, count * record.length);
  expect(await guest.release(1)).toBe(0);
  expect(count).toBeGreaterThan(20_000);
  expect(send.mock.calls.length).toBeGreaterThan(500);
  expect(send.mock.calls.length).toBeLessThan(2000);
  vi.restoreAllMocks();
  await host.stop();
});

test('of turns a guest has one share for all of its sockets, of whatever kind', async () => {
  const host = await SockHost.start();
  const guest = await host.guest({ 'feature-xensock': '1' });
  const stir = vi.spyOn(LocalHub.prototype, 'stir');
  for (const id of [1, 2]) {
    expect(await guest.socket(id, 2, 2)).toBe(0);
    expect(await guest.ret(id, { command: Command.ATTACH, ...guest.ring().ringed })).toBe(0);
  }
  expect(await guest.serve(3, at('127.0.0.1', 7000))).toBe(0);
  expect((await guest.dial(4, at('127.0.0.1', 7000))).ret).toBe(0);
  const movers = new Set(stir.mock.calls.map(([mover]) => mover));
  const streams = [...movers].filter((mover) => !(mover instanceof SocketDevice));
  expect(streams.length).toBeGreaterThan(2);
  expect(new Set(streams.map(({ payer }) => payer)).size).toBe(1);
  expect(streams[0]!.payer).toBeDefined();
  vi.restoreAllMocks();
  await host.stop();
});

test('what one guest leaves behind when it releases its sockets takes a limited number of descriptors', () => {
  const poller = new Poller();
  const descriptors = new Descriptors(3000);
  const drains = new Drains({ poller, descriptors, clock: { after: () => () => {} } });
  let pages = 0;
  const guest = (): { take(count: number): boolean; giveBack(count: number): void } => ({
    take(count) {
      pages += count;
      return true;
    },
    giveBack(count) {
      pages -= count;
    },
  });
  const hoard = guest();
  const leave = (budget: ReturnType<typeof guest>): void => {
    expect(descriptors.take()).toBe(true);
    drains.add(inet.open(2, 1), new Uint8Array(10), budget);
  };
  for (let i = 0; i < 1100; i++) leave(hoard);
  expect(pages).toBe(1024);
  leave(guest());
  expect(pages).toBe(1025);
  drains.close();
  expect(pages).toBe(0);
  leave(hoard);
  expect(pages).toBe(1);
  drains.close();
  poller.close();
});
