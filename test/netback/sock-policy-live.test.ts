// A policy at work on a whole host: what it refuses and allows, as a guest sees it and as the machine does; limits on what is moved, and on rings; and other
// rules while connections stand.
import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  ADDRESS_BYTES,
  decodeAddress,
  Family,
  formatAddress,
  type InetAddress,
  SocketType,
} from '../../netback/xensock/core/address.ts';
import type { PolicyText } from '../../netback/xensock/core/policytext.ts';
import { Command } from '../../netback/xensock/core/pvcalls.ts';
import { policyOf } from '../../netback/xensock/io/policyfile.ts';
import { put } from '../../netback/xensock/io/sockaddr.ts';
import { Errno } from '../../osdep/errno.ts';
import { at, machine, rules, SockHost } from './sock-io-host.ts';
import { addressed, type RawSockGuest } from './sock-rawguest.ts';

const map = { connect: { '10.0.0.1': '127.0.0.1' }, listen: { '0.0.0.0': '127.0.0.1' } };

let host: SockHost;
const servers: Server[] = [];
const sockets: Socket[] = [];

beforeEach(async () => {
  host = await SockHost.start();
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
  await host.stop();
});

function hold(policy: PolicyText['default']): Promise<void> {
  host.rules = policyOf({ default: { map, ...policy } }, 'test').policy.of(1, undefined);
  return host.backend!.sockets.rulesChanged();
}

async function serve(onSocket: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

const extended = (): Promise<RawSockGuest> => host.guest({ 'feature-xensock': '1' });

describe('the limit of bytes in a second', () => {
  const RATE = 4_000_000;
  const BYTES = 1_200_000;

  test('holds up what a guest receives, and loses nothing', async () => {
    await hold({ limits: { bytesPerSecond: RATE } });
    const port = await serve((socket) => socket.end(Buffer.alloc(BYTES, 'x')));
    const guest = await extended();
    const { ret, ring } = await guest.dial(1, machine(port), guest.ring(5));
    expect(ret).toBe(0);
    const began = performance.now();
    const got = await ring.drain();
    // A tenth of a second's worth comes at once.
    expect(performance.now() - began).toBeGreaterThan((1000 * (BYTES - RATE / 10)) / RATE - 50);
    expect(got.length).toBe(BYTES);
    expect(got.every((byte) => byte === 'x'.charCodeAt(0))).toBe(true);
  });
});

test('the smallest limit is slow, and no standstill', async () => {
  const port = await serve((socket) => socket.end('ab'));
  const guest = await extended();
  await hold({ limits: { bytesPerSecond: 5 } });
  const { ring } = await guest.dial(1, machine(port), guest.ring());
  expect(Buffer.from(await ring.drain()).toString()).toBe('ab');
});

test('between guests the limit holds in both directions', async () => {
  await hold({ limits: { bytesPerSecond: 2_000_000 } });
  const [one, other] = [await extended(), await extended()];
  expect(await one.serve(1, at('127.0.0.1', 0))).toBe(0);
  const { port } = await one.name(1);
  const accepted = one.ring(5);
  const accept = one.accept(1, 2, accepted);
  const { ret, ring } = await other.dial(1, at('127.0.0.1', port), other.ring(5));
  expect([ret, await accept]).toEqual([0, 0]);
  const bytes = Buffer.alloc(600_000, 'y');
  const began = performance.now();
  const sending = ring.send(bytes);
  expect(Buffer.compare(Buffer.from(await accepted.receive(bytes.length)), bytes)).toBe(0);
  await sending;
  expect(performance.now() - began).toBeGreaterThan(150);
});

test('a ring that is larger than the limit is EINVAL, and the backend says how large one may be', async () => {
  await host.stopBackend();
  host.rules = policyOf({ default: { map, limits: { ringOrder: 4, pages: 40 } } }, 'test').policy.of(
    1,
    undefined,
  );
  await host.startBackend();
  const guest = await extended();
  expect(await guest.store.readText(`${guest.back}/max-page-order`)).toBe('4');
  const port = await serve(() => {});
  expect((await guest.dial(1, machine(port), guest.ring(5))).ret).toBe(-Errno.EINVAL);
  expect((await guest.dial(2, machine(port), guest.ring(4))).ret).toBe(0);
  expect((await guest.dial(3, machine(port), guest.ring(4))).ret).toBe(0);
  // 17 pages each.
  expect((await guest.dial(4, machine(port), guest.ring(4))).ret).toBe(-Errno.ENOMEM);
  expect((await guest.dial(5, machine(port), guest.ring(1))).ret).toBe(0);
});

test('what is refused is EACCES: by rule, by port, by closed localhost', async () => {
  await hold({
    localhost: false,
    rules: [
      { action: 'deny', direction: 'connect', address: '10.0.0.1', ports: 9 },
      { action: 'allow', direction: 'listen', ports: '8000-8999' },
      { action: 'deny', direction: 'listen' },
    ],
  });
  const guest = await extended();
  expect((await guest.dial(1, machine(9), guest.ring())).ret).toBe(-Errno.EACCES);
  expect((await guest.dial(2, at('127.0.0.1', 80), guest.ring())).ret).toBe(-Errno.EACCES);
  expect(await guest.serve(3, at('0.0.0.0', 80))).toBe(-Errno.EACCES);
  expect(await guest.serve(4, at('0.0.0.0', 9000))).toBe(-Errno.EACCES);
});

test('a socket for several places listens at all of them or at none', async () => {
  host.rules = rules({ localhost: undefined });
  await host.backend!.sockets.rulesChanged();
  const [one, other] = [await extended(), await extended()];
  const bind = async (guest: RawSockGuest, to: InetAddress): Promise<number> => {
    expect(await guest.socket(1, to.family)).toBe(0);
    return guest.ret(1, { command: Command.BIND, ...addressed(to) });
  };
  const listen = (guest: RawSockGuest): Promise<number> =>
    guest.ret(1, { command: Command.LISTEN, backlog: 4 });
  expect(await bind(one, at('0.0.0.0', 0))).toBe(0);
  const { port } = await one.name(1);
  expect(await bind(other, at('::', port))).toBe(0);
  expect(await listen(one)).toBe(0);
  expect(await listen(other)).toBe(-Errno.EADDRINUSE);
  const socket = createConnection({ port, host: '::1' });
  sockets.push(socket);
  await expect(once(socket, 'connect')).rejects.toThrow('ECONNREFUSED');
});

test('0.0.0.0 written as IPv6 is no more to the kernel than to the policy', () => {
  const bytes = new Uint8Array(ADDRESS_BYTES);
  const length = put(Family.INET6, at('0.0.0.0', 8080), bytes);
  expect(formatAddress(decodeAddress(bytes, length)!)).toBe('[::ffff:0:0]:8080');
});

test('a datagram socket that is for IPv6 alone is so when it is bound, or IPv4 would come by a rule of IPv6', async () => {
  const guest = await extended();
  const only6 = { level: 41, name: 26 } as const;
  const value = Uint8Array.of(1, 0, 0, 0);
  expect(await guest.socket(1, Family.INET6, SocketType.DGRAM)).toBe(0);
  expect(await guest.ret(1, { command: Command.SETSOCKOPT, ...only6, value })).toBe(0);
  expect(await guest.ret(1, { command: Command.BIND, ...addressed(at('::', 0)) })).toBe(0);
  expect((await guest.ask(1, { command: Command.GETSOCKOPT, ...only6 })).data).toEqual(value);
});

describe('other rules while connections stand', () => {
  test('reset what they forbid: the peer sees it, the guest sees it, a neighbour goes on', async () => {
    const peers: Socket[] = [];
    const port = await serve((socket) => peers.push(socket));
    const other = await serve((socket) => socket.pipe(socket));
    const guest = await extended();
    await hold({});
    const { ring } = await guest.dial(1, machine(port), guest.ring());
    const { ring: neighbour } = await guest.dial(2, machine(other), guest.ring());
    await guest.until(() => peers.length === 1);
    const reset = once(peers[0]!, 'error') as Promise<[NodeJS.ErrnoException]>;
    await hold({ rules: [{ action: 'deny', direction: 'connect', ports: port }] });
    expect((await reset)[0].code).toBe('ECONNRESET');
    await guest.until(() => ring.inError !== 0 && ring.outError !== 0);
    expect([ring.inError, ring.outError]).toEqual([-Errno.ECONNRESET, -Errno.ECONNRESET]);
    await neighbour.send(Buffer.from('still here'));
    expect(Buffer.from(await neighbour.receive(10)).toString()).toBe('still here');
    expect(await guest.release(1)).toBe(0);
    expect((await guest.dial(3, machine(port), guest.ring())).ret).toBe(-Errno.EACCES);
  });

  test('end what listens, and whoever waits there', async () => {
    await hold({});
    const guest = await extended();
    expect(await guest.serve(1, at('0.0.0.0', 0))).toBe(0);
    const { port } = await guest.name(1);
    const accept = guest.accept(1, 2);
    await hold({ rules: [{ action: 'deny', direction: 'listen' }] });
    expect(await accept).toBe(-Errno.EACCES);
    const socket = createConnection({ port, host: '127.0.0.1' });
    sockets.push(socket);
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNREFUSED');
    expect(await guest.release(1)).toBe(0);
  });
});
