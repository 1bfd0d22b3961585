// Who takes over from a backend that is gone: sockets that listen do so again at the same port, and whoever waits at them is answered by the next one;
// connections under way are made again, those that stood are reset, as by a host that crashed. Nobody's device is anything but connected meanwhile.
import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { setImmediate as soon } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Command } from '../../netback/xensock/core/pvcalls.ts';
import { Errno } from '../../osdep/errno.ts';
import { at, machine, SockHost } from './sock-io-host.ts';
import { Noise } from './sock-noise.ts';
import { addressed, type RawSockGuest } from './sock-rawguest.ts';

let host: SockHost;
let guest: RawSockGuest;
let guests: number;
const servers: Server[] = [];
const clients: Socket[] = [];

beforeEach(async () => {
  host = await SockHost.start();
  guest = await host.guest({ 'feature-xensock': '1' });
  guests = 1;
});

afterEach(async () => {
  expect(await host.dom0.readText(`${guest.back}/state`)).toBe('4');
  for (const client of clients.splice(0)) client.destroy();
  for (const server of servers.splice(0)) server.close();
  await host.stop();
});

/** One backend goes, and another one comes. */
async function change(meanwhile: () => Promise<void> = async () => {}): Promise<void> {
  await host.stopBackend();
  await meanwhile();
  const { length } = taken();
  await host.startBackend();
  while (taken().length < length + guests) await soon();
}

function taken(): readonly string[] {
  return host.log.filter((line) => line.includes('taken over'));
}

async function serve(port = 0): Promise<{ readonly port: number; readonly sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => {});
    clients.push(socket);
    sockets.push(socket);
    socket.write('hello');
  });
  servers.push(server);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as { port: number }).port, sockets };
}

/** A client of this machine; what becomes of its connection later is no matter. */
function call(port: number): Socket {
  const socket = createConnection(port, '127.0.0.1');
  socket.on('error', () => {});
  clients.push(socket);
  return socket;
}

/** What a client of this machine hears at a port. */
async function hear(port: number): Promise<string> {
  const socket = call(port);
  const [text] = await once(socket, 'data');
  return String(text);
}

/** Socket 1 listens. Answers the port that it got. */
async function listening(): Promise<number> {
  expect(await guest.serve(1, at('0.0.0.0', 0))).toBe(0);
  return nameOf(1);
}

async function nameOf(id: number): Promise<number> {
  return (await guest.name(id)).port;
}

test('who listens and waits is reached through the next one, also by guests', async () => {
  const port = await listening();
  const rings = [guest.ring(), guest.ring()];
  const accepts = rings.map((ring, i) => guest.accept(1, 10 + i, ring));
  const poll = guest.ret(1, { command: Command.POLL });
  await change();
  const heard = hear(port);
  expect(await accepts[0]).toBe(0);
  rings[0]!.put(Buffer.from('through the next'));
  expect(await heard).toBe('through the next');
  expect(await nameOf(1)).toBe(port);
  const inside = await guest.dial(2, at('127.0.0.1', port));
  expect([inside.ret, await accepts[1]]).toEqual([0, 0]);
  inside.ring.put(Buffer.from('from inside'));
  expect(Buffer.from(await rings[1]!.receive(11)).toString()).toBe('from inside');
  call(port);
  expect(await poll).toBe(0);
});

test('again and again, with sockets in every state', async () => {
  const port = await listening();
  const { port: theirs } = await serve();
  expect(await guest.socket(2)).toBe(0);
  expect(await guest.socket(3)).toBe(0);
  expect(await guest.ret(3, { command: Command.BIND, ...addressed(at('127.0.0.1', 5000)) })).toBe(0);
  for (let round = 0; round < 5; round++) {
    const ring = guest.ring();
    const accepted = guest.accept(1, 100 + round, ring);
    const out = await guest.dial(200 + round, machine(theirs));
    expect(out.ret).toBe(0);
    await change();
    await guest.until(() => out.ring.inError !== 0);
    const heard = hear(port);
    expect(await accepted).toBe(0);
    ring.put(Buffer.from(`round ${round}`));
    expect(await heard).toBe(`round ${round}`);
    await change();
    await guest.until(() => ring.outError !== 0);
  }
  expect(await guest.socket(2), 'its id is taken').toBe(-Errno.EEXIST);
  expect(await guest.ret(3, { command: Command.LISTEN, backlog: 1 })).toBe(0);
  expect((await guest.dial(4, at('127.0.0.1', 5000))).ret).toBe(0);
});

test('a connection that stood does not look as if it had ended in order', async () => {
  const { port, sockets } = await serve();
  const { ring } = await guest.dial(1, machine(port));
  expect(Buffer.from(await ring.receive(5)).toString()).toBe('hello');
  ring.put(Buffer.from('half a sentence'));
  await once(sockets[0]!, 'data');
  const end = once(sockets[0]!, 'end').then(
    () => 'an end',
    (error: NodeJS.ErrnoException) => error.code,
  );
  await change();
  expect(await end).toBe('ECONNRESET');
});

test('connections that stood are reset, after what has come; their ids are free when they are released', async () => {
  const { port } = await serve();
  const { ret, ring } = await guest.dial(1, machine(port));
  expect(ret).toBe(0);
  await guest.until(() => ring.there === 5);
  await change();
  await guest.until(() => ring.inError !== 0 && ring.outError !== 0);
  expect([ring.inError, ring.outError]).toEqual([-Errno.ECONNRESET, -Errno.ECONNRESET]);
  expect(Buffer.from(ring.get()).toString()).toBe('hello');
  expect(await guest.socket(1)).toBe(-Errno.EEXIST);
  expect(await guest.release(1)).toBe(0);
  expect((await guest.dial(1, machine(port))).ret).toBe(0);
});

test('connections of guests among themselves are reset at both ends', async () => {
  const other = await host.guest({ 'feature-xensock': '1' });
  guests += 1;
  expect(await other.serve(1, at('127.0.0.1', 5000))).toBe(0);
  const theirs = other.ring();
  const accepted = other.accept(1, 2, theirs);
  const { ring } = await guest.dial(1, at('127.0.0.1', 5000));
  expect(await accepted).toBe(0);
  await change();
  await guest.until(() => ring.inError !== 0 && ring.outError !== 0);
  await other.until(() => theirs.inError !== 0 && theirs.outError !== 0);
  const errors = [ring.inError, ring.outError, theirs.inError, theirs.outError];
  expect(errors, 'and no end that looks like one').toEqual(Array(4).fill(-Errno.ECONNRESET));
});

test('a connection under way is made by the next one, into an empty ring', async () => {
  const { port, sockets } = await serve();
  const ring = guest.ring();
  await host.stopBackend();
  expect(await Promise.race([guest.socket(5), Promise.resolve('nobody answers')])).toBe('nobody answers');
  const connect = {
    command: Command.CONNECT,
    ...addressed(machine(port)),
    flags: 0,
    ...ring.ringed,
  } as const;
  const asked = guest.ret(5, connect);
  await host.startBackend();
  expect(await asked).toBe(0);
  expect(Buffer.from(await ring.receive(5)).toString()).toBe('hello');
  expect(sockets.length).toBe(1);
});

test('a port that somebody else has taken meanwhile: who waits there hears it, and may try again', async () => {
  const port = await listening();
  const accepted = guest.accept(1, 10);
  const poll = guest.ret(1, { command: Command.POLL });
  await change(async () => {
    await serve(port);
  });
  expect([await accepted, await poll]).toEqual([-Errno.EADDRINUSE, -Errno.EADDRINUSE]);
  expect(await guest.accept(1, 11)).toBe(-Errno.EADDRINUSE);
  await guest.release(1);
  await new Promise((resolve) => servers.pop()!.close(resolve));
  expect(await guest.serve(1, at('0.0.0.0', port))).toBe(0);
});

test('what the policy forbids by then is not made again', async () => {
  const port = await listening();
  const accepted = guest.accept(1, 10);
  host.rules = { ...host.rules, otherwise: 'deny' };
  await change();
  expect(await accepted).toBe(-Errno.EACCES);
  await expect(hear(port)).rejects.toThrow('ECONNREFUSED');
});

test('a guest that has let go of its rings meanwhile disturbs nobody', async () => {
  const { port } = await serve();
  const one = await guest.dial(1, machine(port));
  const two = await guest.dial(2, machine(port));
  await change(async () => one.ring.drop());
  await guest.until(() => two.ring.inError !== 0);
  expect(await guest.release(1)).toBe(0);
});

test.each([1, 2, 3])('whatever is asked for meanwhile, each request is answered once (%d)', async (seed) => {
  const { port } = await serve();
  const noise = new Noise(guest, seed, port);
  for (let round = 0; round < 300; round++) {
    noise.round();
    if (round % 50 === 49) await change();
    await soon();
  }
  while (noise.waiting >= 32) await soon();
  expect(noise.answeredTwice).toEqual([]);
  await change();
  // Whatever still waits, waits at one of its sockets.
  for (let id = 1; id <= 6; id++) expect(await guest.release(id)).toBe(0);
  while (noise.waiting > -6) await soon();
  expect(noise.answeredTwice).toEqual([]);
});
