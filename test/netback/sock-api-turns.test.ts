// A peer that is as quick as can be, in either direction, leaves the rest of the program its turns.
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { LoopbackDriver } from '../../netback/xensock/front/loopback.ts';
import { Sockets } from '../../netback/xensock/front/sockets.ts';

/** Takes whatever is sent, and has always something to receive. */
class Bottomless extends LoopbackDriver {
  sent = 0;
  override async connect(): Promise<number> {
    return 0;
  }
  override send(_: object, bytes: Uint8Array): number {
    this.sent += bytes.length;
    return bytes.length;
  }
  override recv(_: object, into: Uint8Array): number {
    return into.length;
  }
}

const driver = new Bottomless();
const sockets = new Sockets();
sockets.register(driver);

it('a write without end', async () => {
  const socket = sockets.connect(80, '127.0.0.1');
  socket.pause();
  await once(socket, 'connect');
  let writing = true;
  const write = (): void => {
    while (writing && socket.write(new Uint8Array(1 << 20)));
  };
  socket.on('drain', write);
  write();
  while (driver.sent < 16 << 20) await turn();
  const before = driver.sent;
  await turn();
  expect(driver.sent - before).toBeLessThan(16 << 20);
  writing = false;
  const one = new Uint8Array(100 << 20);
  let turns = 0;
  let done = false;
  const count = (): void => {
    turns++;
    if (!done) setImmediate(count);
  };
  count();
  await new Promise((resolve) => socket.write(one, resolve));
  done = true;
  expect(turns).toBeGreaterThan(10);
  socket.destroy();
});

it('a read without end', async () => {
  const socket = sockets.connect(80, '127.0.0.1');
  let read = 0;
  socket.on('data', (chunk: Buffer) => {
    read += chunk.length;
  });
  await once(socket, 'connect');
  while (read < 16 << 20) await turn();
  const before = read;
  await turn();
  expect(read - before).toBeLessThan(8 << 20);
  socket.destroy();
});
