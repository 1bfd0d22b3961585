/** IP sockets on plain descriptors, against Node's own: bytes move at addresses, in one part or two; datagrams with who sent them; errors are numbers. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Errno } from '../../osdep/errno.ts';
import { addressOf } from '../../osdep/os/ffi.ts';
import { FineTimer } from '../../osdep/os/finetimer.ts';
import * as inet from '../../osdep/os/inet.ts';
import { Poller, READABLE, WRITABLE } from '../../osdep/os/poll.ts';

let poller: Poller;
const open: number[] = [];
const memory = Buffer.alloc(4096);
const at = Number(addressOf(memory));

beforeEach(() => {
  poller = new Poller();
});
afterEach(() => {
  poller.close();
  for (const fd of open.splice(0)) inet.close(fd);
});

function keep(fd: number): number {
  expect(fd).toBeGreaterThan(0);
  open.push(fd);
  return fd;
}

function ready(fd: number, interest: number): Promise<void> {
  return new Promise((resolve) => {
    poller.add(fd, interest, () => {
      poller.remove(fd);
      resolve();
    });
  });
}

/** 127.0.0.1 and a port, struct sockaddr_in. */
function loopback(port: number): Buffer {
  const address = Buffer.alloc(16);
  address.writeUInt16LE(2, 0);
  address.writeUInt16BE(port, 2);
  address.set([127, 0, 0, 1], 4);
  return address;
}

function portOf(fd: number): number {
  const name = Buffer.alloc(inet.SOCKADDR_BYTES);
  expect(inet.name(fd, 'own', name)).toBe(16);
  return name.readUInt16BE(2);
}

function bound(type: number): number {
  const fd = keep(inet.open(2, type));
  expect(inet.bind(fd, loopback(0), 16)).toBe(0);
  return fd;
}

test('a stream that is accepted moves bytes in one part and in two, and tells its end', async () => {
  const listener = bound(1);
  expect(inet.listen(listener, 4)).toBe(0);
  expect(inet.accept(listener)).toBe(-Errno.EAGAIN);
  const client = createConnection(portOf(listener), '127.0.0.1');
  await ready(listener, READABLE);
  const fd = keep(inet.accept(listener));
  expect(inet.isLater(inet.recv(fd, at, 10))).toBe(true);
  client.write('abcdef');
  await ready(fd, READABLE);
  // The last two places of the memory, then its first ones.
  inet.aim(at + 4094, 2, at, 4);
  expect(inet.recvAimed(fd)).toBe(6);
  expect(memory.toString('latin1', 4094) + memory.toString('latin1', 0, 4)).toBe('abcdef');
  const heard = once(client, 'data');
  inet.aim(at + 4094, 2, at, 2);
  expect(inet.sendAimed(fd)).toBe(4);
  expect(String((await heard)[0])).toBe('abcd');
  client.end();
  await ready(fd, READABLE);
  expect(inet.recv(fd, at, 10)).toBe(0);
});

test('a connect is under way at first, and its outcome is asked for once', async () => {
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const fd = keep(inet.open(2, 1));
  expect([0, -Errno.EINPROGRESS]).toContain(inet.connect(fd, loopback(port), 16));
  await ready(fd, WRITABLE);
  expect(inet.pendingError(fd)).toBe(0);
  server.close();
  await once(server, 'close');
  const other = keep(inet.open(2, 1));
  let outcome = inet.connect(other, loopback(port), 16);
  if (outcome === -Errno.EINPROGRESS) {
    await ready(other, WRITABLE);
    outcome = -inet.pendingError(other);
  }
  expect(outcome).toBe(-Errno.ECONNREFUSED);
  expect(inet.pendingError(other)).toBe(0);
});

test('aborting a connection resets it', async () => {
  const listener = bound(1);
  inet.listen(listener, 4);
  const client = createConnection(portOf(listener), '127.0.0.1');
  await ready(listener, READABLE);
  const error = once(client, 'error');
  inet.abort(inet.accept(listener));
  expect((await error)[0]).toMatchObject({ code: 'ECONNRESET' });
});

test('a connection whose end was not said is reset, as by the end of a process; one that is closed in order is not', async () => {
  const listener = bound(1);
  inet.listen(listener, 4);
  // Those that are accepted have it from here.
  inet.endAbruptly(listener);
  for (const [close, heard] of [
    [inet.close, 'ECONNRESET'],
    [inet.closeInOrder, 'the end'],
  ] as const) {
    const client = createConnection(portOf(listener), '127.0.0.1').resume();
    const end = once(client, 'end').then(
      () => 'the end',
      (error) => error.code,
    );
    await ready(listener, READABLE);
    close(inet.accept(listener));
    expect(await end).toBe(heard);
  }
});

test('a datagram comes with its sender, and says that it was longer than there was room', async () => {
  const fd = bound(2);
  const peer = createSocket('udp4');
  peer.bind(0, '127.0.0.1');
  await once(peer, 'listening');
  peer.send('0123456789', portOf(fd), '127.0.0.1');
  await ready(fd, READABLE);
  expect(inet.peekLength(fd)).toBe(10);
  inet.aim(at, 4, at + 100, 2);
  expect(inet.recvFrom(fd)).toBe(6);
  expect(inet.received()).toEqual({ addressLength: 16, truncated: true });
  expect(Buffer.from(inet.peer).readUInt16BE(2)).toBe(peer.address().port);
  expect(memory.toString('latin1', 0, 4) + memory.toString('latin1', 100, 102)).toBe('012345');
  const heard = once(peer, 'message');
  inet.peer.set(loopback(peer.address().port));
  inet.aim(at, 4, at + 100, 2);
  expect(inet.sendTo(fd, 16)).toBe(6);
  expect(String((await heard)[0])).toBe('012345');
  peer.close();
});

test('options are set and read, and what is none is an error number', () => {
  const fd = keep(inet.open(10, 1));
  const { IPPROTO_TCP, TCP_NODELAY } = inet.Option;
  expect(inet.setNumber(fd, IPPROTO_TCP, TCP_NODELAY, 1)).toBe(0);
  expect(inet.getOption(fd, IPPROTO_TCP, TCP_NODELAY)).toEqual(Uint8Array.of(1, 0, 0, 0));
  expect(inet.setOption(fd, IPPROTO_TCP, TCP_NODELAY, new Uint8Array(4))).toBe(0);
  expect(inet.getOption(fd, IPPROTO_TCP, TCP_NODELAY)).toEqual(new Uint8Array(4));
  expect(inet.getOption(fd, 99, 1)).toBeGreaterThan(0);
  expect(inet.open(77, 1)).toBeLessThan(0);
});

test('a timer fires once for each time it is armed, and is quicker than a millisecond can be', async () => {
  let fired: () => void = () => {};
  const timer = new FineTimer(poller, () => fired());
  for (let i = 0; i < 3; i++) {
    const began = performance.now();
    const next = new Promise<void>((resolve) => {
      fired = resolve;
    });
    timer.arm(200);
    await next;
    expect(performance.now() - began).toBeGreaterThanOrEqual(0.2);
  }
  timer.close();
  timer.close();
});
