// Sockets of a guest on the machine's own network, against Node's servers and clients: whatever is sent arrives, in both directions, through rings of
// every order, and every way to end a connection is told as TCP does.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodeAddress } from '../../netback/xensock/core/address.ts';
import { Command, Shut } from '../../netback/xensock/core/pvcalls.ts';
import { Errno } from '../../osdep/errno.ts';
import { at, machine, machine6, Silence, SockHost } from './sock-io-host.ts';
import type { RawRing, RawSockGuest } from './sock-rawguest.ts';

let host: SockHost;
const servers: Server[] = [];
const clients: Socket[] = [];

beforeEach(async () => {
  host = await SockHost.start();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  for (const server of servers.splice(0)) server.close();
  await host.stop();
});

/** A server of this machine. Answers its port. */
async function serve(onSocket: (socket: Socket) => void, address = '127.0.0.1'): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    clients.push(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  servers.push(server);
  server.listen(0, address);
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

/** A client of this machine. */
async function dial(port: number, address = '127.0.0.1'): Promise<Socket> {
  const socket = createConnection({ port, host: address, allowHalfOpen: true });
  clients.push(socket);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
  });
}

const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

async function everything(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of socket.iterator({ destroyOnReturn: false })) parts.push(part);
  return Buffer.concat(parts);
}

/** A guest that speaks the extension. */
const extended = (): Promise<RawSockGuest> => host.guest({ 'feature-xensock': '1' });

/** One socket that listens, and the port that it got. */
async function listening(guest: RawSockGuest, ip = '0.0.0.0', backlog = 16): Promise<number> {
  expect(await guest.serve(1, at(ip, 0), backlog)).toBe(0);
  return (await guest.name(1)).port;
}

/** A connection to a server of this machine, both ends. */
async function joined(order = 1): Promise<{ guest: RawSockGuest; ring: RawRing; peer: Socket }> {
  let there: (socket: Socket) => void = () => {};
  const peer = new Promise<Socket>((resolve) => {
    there = resolve;
  });
  const port = await serve((socket) => there(socket));
  const guest = await extended();
  const { ret, ring } = await guest.dial(1, machine(port), guest.ring(order));
  expect(ret).toBe(0);
  return { guest, ring, peer: await peer };
}

describe('a connection to a server', () => {
  test.each([
    [1, 0],
    [1, 1],
    [1, 300_000],
    [4, 1_000_000],
    [9, 6_000_000],
  ])('through a ring of order %i carries %i bytes there and back', async (order, count) => {
    const port = await serve((socket) => socket.pipe(socket));
    const guest = await host.guest();
    const { ret, ring } = await guest.dial(1, machine(port), guest.ring(order));
    expect(ret).toBe(0);
    const sent = randomBytes(count);
    const back = ring.receive(count);
    await ring.send(sent);
    expect(md5(await back)).toBe(md5(sent));
  });

  test('over IPv6, and by an IPv4 address that is written as IPv6', async () => {
    const guest = await extended();
    const port = await serve((socket) => socket.end('six'), '::1');
    const six = await guest.dial(1, machine6(port));
    expect([six.ret, Buffer.from(await six.ring.drain()).toString()]).toEqual([0, 'six']);
    const port4 = await serve((socket) => socket.end('four'));
    const four = await guest.dial(2, at('::ffff:10.0.0.1', port4));
    expect([four.ret, Buffer.from(await four.ring.drain()).toString()]).toEqual([0, 'four']);
  });

  test('that nobody listens for is refused, and the socket may try again', async () => {
    const guest = await host.guest();
    const nobody = createServer();
    nobody.listen(0, '127.0.0.1');
    await once(nobody, 'listening');
    const { port } = nobody.address() as { port: number };
    nobody.close();
    await once(nobody, 'close');
    const { ret, ring } = await guest.dial(1, machine(port));
    expect(ret).toBe(-Errno.ECONNREFUSED);
    const other = await serve((socket) => socket.end('hello'));
    const address = new Uint8Array(28);
    const addressLength = encodeAddress(machine(other), address);
    const call = { command: Command.CONNECT, address, addressLength, flags: 0, ...ring.ringed };
    expect(await guest.ret(1, call)).toBe(0);
    expect(Buffer.from(await ring.drain()).toString()).toBe('hello');
  });

  test('that takes its time keeps no other waiting, and may be given up', async () => {
    const silence = await Silence.begin();
    const guest = await host.guest();
    const slow = guest.dial(1, machine(silence.port));
    const fast = await serve((socket) => socket.end('fast'));
    const { ret, ring } = await guest.dial(2, machine(fast));
    expect([ret, Buffer.from(await ring.drain()).toString()]).toEqual([0, 'fast']);
    expect(await guest.release(1)).toBe(0);
    expect((await slow).ret).toBe(-Errno.EINTR);
    silence.end();
  });

  test('ends for receiving after the last byte, and may still be sent on', async () => {
    const { guest, ring, peer } = await joined();
    peer.end(Buffer.alloc(10_000, 1));
    expect((await ring.drain()).length).toBe(10_000);
    expect([ring.inError, ring.outError]).toEqual([-Errno.ENOTCONN, 0]);
    const heard = everything(peer);
    await ring.send(Buffer.alloc(10_000, 2));
    expect(ring.outError).toBe(0);
    await guest.release(1);
    expect((await heard).length).toBe(10_000);
  });

  test('that its peer resets is reset in both directions, after what had come', async () => {
    const { ring, guest, peer } = await joined();
    peer.write('last words');
    await guest.until(() => ring.there === 10);
    peer.resetAndDestroy();
    await guest.until(() => ring.inError !== 0 && ring.outError !== 0);
    expect([ring.inError, ring.outError]).toEqual([-Errno.ECONNRESET, -Errno.ECONNRESET]);
    expect(Buffer.from(ring.get()).toString()).toBe('last words');
  });

  test('is sent to its last byte when the guest lets go of it, however slow its peer is', async () => {
    const { guest, ring, peer } = await joined(9);
    peer.pause();
    const bytes = randomBytes(8 << 20);
    let sent = 0;
    // Until the kernel takes no more, and the ring is full.
    for (let idle = 0; idle < 20; idle++) {
      const put = ring.put(bytes.subarray(sent));
      sent += put;
      if (put > 0) idle = 0;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await guest.release(1)).toBe(0);
    expect(md5(await everything(peer))).toBe(md5(bytes.subarray(0, sent)));
  });

  test('is reset when the guest lets go of it with something unread', async () => {
    const { guest, ring, peer } = await joined();
    peer.write('unread');
    await guest.until(() => ring.there > 0);
    const error = once(peer, 'error').catch((reason: Error) => [reason]);
    peer.resume();
    await guest.release(1);
    const [reason] = await error;
    expect((reason as NodeJS.ErrnoException).code).toBe('ECONNRESET');
  });

  test('is ended for sending by the extension, after what is in the ring', async () => {
    const { guest, ring, peer } = await joined();
    const heard = everything(peer);
    ring.put(Buffer.alloc(3000, 7));
    expect(await guest.ret(1, { command: Command.SHUTDOWN, how: Shut.WRITE })).toBe(0);
    expect((await heard).length).toBe(3000);
    await guest.until(() => ring.outError !== 0);
    expect(ring.outError).toBe(-Errno.EPIPE);
    peer.end('answer');
    expect(Buffer.from(await ring.drain()).toString()).toBe('answer');
  });

  test('with impossible indices is broken off, and its neighbour is not', async () => {
    const { guest, ring, peer } = await joined();
    const port = await serve((socket) => socket.pipe(socket));
    const other = await guest.dial(2, machine(port));
    const reset = closed(peer);
    peer.resume();
    ring.index.store(68, 1_000_000);
    ring.ring();
    await guest.until(() => ring.inError !== 0 && ring.outError !== 0);
    expect([ring.inError, ring.outError]).toEqual([-Errno.EINVAL, -Errno.EINVAL]);
    await reset;
    const back = other.ring.receive(5);
    await other.ring.send(Buffer.from('hello'));
    expect(Buffer.from(await back).toString()).toBe('hello');
  });
});

describe('a socket that listens', () => {
  test('accepts clients of this machine, as they come', async () => {
    const guest = await extended();
    const port = await listening(guest);
    const [first, second] = [guest.ring(), guest.ring()];
    const waits = guest.accept(1, 10, first);
    const one = await dial(port);
    expect(await waits).toBe(0);
    const two = await dial(port);
    expect(await guest.accept(1, 11, second)).toBe(0);
    one.write('from one');
    two.write('from two');
    expect(Buffer.from(await first.receive(8)).toString()).toBe('from one');
    expect(Buffer.from(await second.receive(8)).toString()).toBe('from two');
    const answer = once(one, 'data');
    await first.send(Buffer.from('to one'));
    expect(String(await answer)).toBe('to one');
    expect((await guest.name(10, 'peer')).port).toBe((one.address() as { port: number }).port);
  });

  test('tells of a connection that waits, once there is one', async () => {
    const guest = await extended();
    const port = await listening(guest);
    const poll = guest.ret(1, { command: Command.POLL });
    await dial(port);
    expect(await poll).toBe(0);
    expect(await guest.ret(1, { command: Command.POLL })).toBe(0);
    expect(await guest.accept(1, 10)).toBe(0);
    const again = guest.ret(1, { command: Command.POLL });
    await dial(port);
    expect(await again).toBe(0);
  });

  test('at all addresses of IPv6 is reached by IPv4, too, and by guests', async () => {
    const guest = await extended();
    expect(await guest.serve(1, at('::', 0))).toBe(0);
    const { port } = await guest.name(1);
    const [a, b, c] = [guest.ring(), guest.ring(), guest.ring()];
    const accepted = [guest.accept(1, 10, a), guest.accept(1, 11, b), guest.accept(1, 12, c)];
    const six = await dial(port, '::1');
    const four = await dial(port);
    const inside = await guest.dial(2, at('127.0.0.1', port));
    expect(inside.ret).toBe(0);
    expect(await Promise.all(accepted)).toEqual([0, 0, 0]);
    six.write('x');
    four.write('x');
    inside.ring.put(Buffer.from('x'));
    for (const ring of [a, b, c]) expect(Buffer.from(await ring.receive(1)).toString()).toBe('x');
  });

  test('is not reached any more once it is released, nor is what waited at it', async () => {
    const guest = await extended();
    const port = await listening(guest);
    const waiting = await dial(port);
    const ended = closed(waiting);
    waiting.resume();
    await guest.release(1);
    await ended;
    const late = createConnection(port, '127.0.0.1');
    const [reason] = await once(late, 'error');
    expect((reason as NodeJS.ErrnoException).code).toBe('ECONNREFUSED');
  });

  test('serves hundreds of connections at a time', async () => {
    const guest = await extended();
    const port = await listening(guest, '0.0.0.0', 1024);
    const rings: RawRing[] = [];
    for (let i = 0; i < 300; i++) {
      const ring = guest.ring();
      rings.push(ring);
      const accepted = guest.accept(1, 10 + i, ring);
      const peer = await dial(port);
      peer.pipe(peer);
      expect(await accepted).toBe(0);
    }
    for (const [i, ring] of rings.entries()) ring.put(Buffer.from(`number ${i}`));
    for (const [i, ring] of rings.entries()) {
      const expected = `number ${i}`;
      expect(Buffer.from(await ring.receive(expected.length)).toString()).toBe(expected);
    }
  });
});

describe('a frontend that closes', () => {
  test('ends its connections in order, and leaves nothing', async () => {
    const { guest, ring, peer } = await joined();
    const heard = everything(peer);
    ring.put(Buffer.from('still sent'));
    await guest.enter('5');
    expect((await heard).toString()).toBe('still sent');
    await guest.backend('5', '6');
    expect(host.log.filter((line) => line.includes('broken'))).toEqual([]);
  });
});
