// Sockets of a guest on the machine's own network, against Node's servers and clients: whatever is sent arrives, in both directions, through rings of every order,
// and every way to end a connection is told as TCP does.
import { createHash, randomBytes } from 'node:crypto';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { machine, SockHost } from './sock-io-host.ts';

let host: SockHost;
const servers: Server[] = [];

beforeEach(async () => {
  host = await SockHost.start();
});

afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await host.stop();
});

/** A server of this machine. Answers its port. */
function serve(onSocket: (socket: Socket) => void, address = '127.0.0.1'): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, onSocket);
  servers.push(server);
  return new Promise((resolve) =>
    server.listen(0, address, () => resolve((server.address() as { port: number }).port)),
  );
}

const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

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
});
