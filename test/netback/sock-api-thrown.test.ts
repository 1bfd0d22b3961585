// What a program's listeners throw is an uncaught exception of the program, which it may survive: then all other bytes and connections come as if nothing were.
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LoopbackDriver } from '../../netback/xensock/front/loopback.ts';
import { Sockets } from '../../netback/xensock/front/sockets.ts';
import { Errno } from '../../osdep/errno.ts';
import { loopbackSockets, xensockGuest } from './sock-api.ts';

const MISTAKE = 'a mistake of the program';
let thrown: string[];
let others: NodeJS.UncaughtExceptionListener[];
const survive = (error: Error): void => void thrown.push(error.message);
beforeEach(() => {
  thrown = [];
  others = process.listeners('uncaughtException');
  for (const listener of others) process.off('uncaughtException', listener);
  process.on('uncaughtException', survive);
});
afterEach(() => {
  process.off('uncaughtException', survive);
  for (const listener of others) process.on('uncaughtException', listener);
});

const ways: readonly [string, () => Promise<{ readonly sockets: Sockets; stop(): Promise<void> }>][] = [
  ['loopback', async () => ({ sockets: loopbackSockets(), stop: async () => {} })],
  ['XenSock', () => xensockGuest()],
];

describe.each(ways)('%s', (_, open) => {
  it('a listener for data', async () => {
    const { sockets, stop } = await open();
    const all: Promise<void>[] = [];
    const server = sockets.createServer((socket) => {
      let count = 0;
      const whole = new Promise<void>((resolve) => {
        socket.on('data', (chunk: Buffer) => {
          const first = count === 0;
          count += chunk.length;
          if (count === 100_000) resolve();
          if (first) throw new Error(MISTAKE);
        });
      });
      all.push(whole);
    });
    await once(server.listen(7000, '127.0.0.1'), 'listening');
    const clients = Array.from({ length: 10 }, () => sockets.connect(7000, '127.0.0.1'));
    await Promise.all(clients.map((client) => once(client, 'connect')));
    // They do not end, so that nothing but the bytes tells of bytes.
    for (const client of clients) client.write(Buffer.alloc(100_000));
    while (all.length < 10) await once(server, 'connection');
    await Promise.all(all);
    expect(thrown).toEqual(Array(10).fill(MISTAKE));
    for (const client of clients) client.destroy();
    await server[Symbol.asyncDispose]();
    await stop();
  });

  it('a listener for messages', async () => {
    const { sockets, stop } = await open();
    const to = sockets.createSocket('udp4');
    await once(to.bind(5353, '127.0.0.1'), 'listening');
    let count = 0;
    const all = new Promise<void>((resolve) => {
      to.on('message', () => {
        count++;
        if (count === 5) resolve();
        else throw new Error(MISTAKE);
      });
    });
    const from = sockets.createSocket('udp4');
    for (let i = 0; i < 5; i++) from.send('word', 5353, '127.0.0.1');
    await all;
    expect(thrown).toEqual(Array(4).fill(MISTAKE));
    await to[Symbol.asyncDispose]();
    await from[Symbol.asyncDispose]();
    await stop();
  });
});

it('the callback of a write, while others wait for their turn', async () => {
  class Taking extends LoopbackDriver {
    override async connect(): Promise<number> {
      return 0;
    }
    override send(_: object, bytes: Uint8Array): number {
      return bytes.length;
    }
    override recv(): number {
      return -Errno.EAGAIN;
    }
  }
  const sockets = new Sockets();
  sockets.register(new Taking());
  const clients = Array.from({ length: 6 }, () => sockets.connect(7000, '127.0.0.1'));
  await Promise.all(clients.map((client) => once(client, 'connect')));
  const written = clients.map(
    (client, i) =>
      new Promise<void>((resolve) =>
        client.write(Buffer.alloc(3 << 20), () => {
          resolve();
          // One of those for whom there was no turn at once.
          if (i === 2) throw new Error(MISTAKE);
        }),
      ),
  );
  await Promise.all(written);
  expect(thrown).toEqual([MISTAKE]);
  for (const client of clients) client.destroy();
});

it('an error that is one datagram its own keeps nobody from the next', async () => {
  const sockets = loopbackSockets();
  const one = sockets.createSocket('udp4');
  const other = sockets.createSocket('udp4');
  await once(one.bind(5000, '127.0.0.1'), 'listening');
  await once(other.bind(5001, '127.0.0.1'), 'listening');
  one.connect(5001, '127.0.0.1');
  await once(one, 'connect');
  // Both are there when it looks: that nobody was at the port, and a word of who is there since.
  await other[Symbol.asyncDispose]();
  one.send('to nobody');
  const again = sockets.createSocket('udp4');
  await once(again.bind(5001, '127.0.0.1'), 'listening');
  const failed = new Promise((resolve) => one.once('error', resolve));
  const heard = new Promise((resolve) => one.once('message', resolve));
  again.send('here', 5000, '127.0.0.1');
  const [error, message] = await Promise.all([failed, heard]);
  expect(error).toMatchObject({ code: 'ECONNREFUSED' });
  expect(String(message)).toBe('here');
  await one[Symbol.asyncDispose]();
  await again[Symbol.asyncDispose]();
  expect(thrown).toEqual([]);
});
