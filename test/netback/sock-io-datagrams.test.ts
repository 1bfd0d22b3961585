// Datagram sockets of a guest on the machine's own network, against Node's: each datagram arrives whole, by itself and with who sent it, also over the wrap of
// small rings; answers come from whom the guest has written to; what cannot be a record ends the socket, and the policy is asked for each address.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  ADDRESS_BYTES,
  decodeAddress,
  encodeAddress,
  formatAddress,
  type InetAddress,
} from '../../netback/xensock/core/address.ts';
import { Command, Datagram } from '../../netback/xensock/core/pvcalls.ts';
import { Errno } from '../../osdep/errno.ts';
import { at, machine, rules, SockHost } from './sock-io-host.ts';
import { addressed, type RawRing, type RawSockGuest } from './sock-rawguest.ts';

let host: SockHost;
let guest: RawSockGuest;
const peers: Socket[] = [];

beforeEach(async () => {
  host = await SockHost.start();
  guest = await host.guest({ 'feature-xensock': '1' });
});

afterEach(async () => {
  for (const peer of peers.splice(0)) peer.close();
  await host.stop();
});

/** A socket of this machine that sends back what it gets. */
async function echo(address = '127.0.0.1'): Promise<number> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  peers.push(socket);
  socket.on('message', (bytes, { port, address: from }) => socket.send(bytes, port, from));
  socket.bind(0, address);
  await once(socket, 'listening');
  return socket.address().port;
}

async function socket(id: number, order = 1, family = 2): Promise<RawRing> {
  const ring = guest.ring(order);
  expect(await guest.socket(id, family, 2)).toBe(0);
  expect(await guest.ret(id, { command: Command.ATTACH, ...ring.ringed })).toBe(0);
  return ring;
}

function record(bytes: Uint8Array, to?: InetAddress): Buffer {
  const whole = Buffer.alloc(Datagram.HEADER_BYTES + Math.ceil(bytes.length / 8) * 8);
  whole.writeUInt32LE(bytes.length, Datagram.LENGTH);
  const address = new Uint8Array(ADDRESS_BYTES);
  if (to !== undefined) whole.writeUInt32LE(encodeAddress(to, address), Datagram.ADDRESS_LENGTH);
  whole.set(address, Datagram.ADDRESS);
  whole.set(bytes, Datagram.HEADER_BYTES);
  return whole;
}

interface Received {
  readonly bytes: Buffer;
  readonly from: string;
  readonly flags: number;
}

/** The only one that is there. */
async function receive(ring: RawRing): Promise<Received> {
  await guest.until(() => ring.there > 0 || ring.inError !== 0);
  const there = Buffer.from(ring.get());
  const length = there.readUInt32LE(Datagram.LENGTH);
  expect(there.length).toBe(Datagram.HEADER_BYTES + Math.ceil(length / 8) * 8);
  const bytes = there.subarray(Datagram.HEADER_BYTES, Datagram.HEADER_BYTES + length);
  const from = decodeAddress(
    there.subarray(Datagram.ADDRESS, Datagram.FLAGS),
    there.readUInt32LE(Datagram.ADDRESS_LENGTH),
  )!;
  return { bytes, from: formatAddress(from), flags: there.readUInt32LE(Datagram.FLAGS) };
}

async function ask(ring: RawRing, bytes: Uint8Array, to?: InetAddress): Promise<Received> {
  await ring.send(record(bytes, to));
  return receive(ring);
}

test.each([
  ['10.0.0.1', '127.0.0.1', 2],
  ['fd00::1', '::1', 10],
])('to %s they arrive, and their answers, by the name that the guest knows', async (ip, real, family) => {
  const port = await echo(real);
  const ring = await socket(1, 1, family);
  for (const length of [0, 1, 7, 8, 1000, 1333, 1999, 2000]) {
    const bytes = Buffer.alloc(length, length);
    const { bytes: back, from, flags } = await ask(ring, bytes, at(ip, port));
    expect([back.equals(bytes), from, flags]).toEqual([true, formatAddress(at(ip, port)), 0]);
  }
});

test('the longest goes through a ring that has room for it', async () => {
  const port = await echo();
  const ring = await socket(1, 6);
  const bytes = Buffer.alloc(65_507, 3);
  expect((await ask(ring, bytes, machine(port))).bytes.equals(bytes)).toBe(true);
});

test('one that is too long for the ring is cut, and says so', async () => {
  const ring = await socket(1);
  expect(await guest.ret(1, { command: Command.BIND, ...addressed(at('0.0.0.0', 0)) })).toBe(0);
  const { port } = await guest.name(1);
  const peer = createSocket('udp4');
  peers.push(peer);
  peer.send(Buffer.alloc(5000, 5), port, '127.0.0.1');
  const { bytes, flags } = await receive(ring);
  expect([bytes.length, flags]).toEqual([4096 - Datagram.HEADER_BYTES, 1]);
});

test('a connected socket needs no address, and may have another peer', async () => {
  const [first, second] = [await echo(), await echo()];
  const ring = await socket(1);
  for (const to of [machine(first), machine(second)]) {
    const call = { command: Command.CONNECT, ...addressed(to), flags: 0, ref: 0, evtchn: 0 };
    expect(await guest.ret(1, call)).toBe(0);
    expect((await ask(ring, Buffer.from('hello'))).bytes.toString()).toBe('hello');
  }
});

test('between guests they go from ring to ring', async () => {
  const [a, b] = [await socket(1), await socket(2)];
  expect(await guest.ret(2, { command: Command.BIND, ...addressed(at('127.0.0.1', 5353)) })).toBe(0);
  await a.send(record(Buffer.from('to a guest'), at('127.0.0.1', 5353)));
  const { bytes, from } = await receive(b);
  expect([bytes.toString(), from.startsWith('127.0.0.1:')]).toEqual(['to a guest', true]);
});

test('what the policy forbids is not sent, and what comes after it is', async () => {
  host.rules = rules({ rules: [] });
  const port = await echo();
  const ring = await socket(1);
  const forbidden = at('224.0.0.1', port);
  await ring.send(record(Buffer.from('to all'), forbidden));
  expect((await ask(ring, Buffer.from('to one'), machine(port))).bytes.toString()).toBe('to one');
});

test.each([
  ['longer than the ring', 5000],
  ['of more bytes than there are numbers for', 0xffff_ffff],
])('a record %s ends the socket', async (_, length) => {
  const ring = await socket(1);
  const bad = record(Buffer.alloc(8), machine(9));
  bad.writeUInt32LE(length, Datagram.LENGTH);
  ring.put(bad);
  await guest.until(() => ring.inError !== 0);
  expect([ring.inError, ring.outError]).toEqual([-Errno.EINVAL, -Errno.EINVAL]);
});
