/**
 * A guest's program while its backend ends and another begins: connections end as with a crashed host, its server serves on without being told, what it asks
 * for meanwhile waits.
 */
import { once } from 'node:events';
import net from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { xensockGuest } from './sock-api.ts';

it('connections are reset, a server goes on, a connect waits', async () => {
  const { sockets, host, stop } = await xensockGuest();
  const server = sockets.createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  await once(server.listen(0), 'listening');
  const { port } = server.address()!;
  const within = sockets.connect(port, '127.0.0.1');
  const outside = net.connect(port, '127.0.0.1');
  await Promise.all([once(within, 'connect'), once(outside, 'connect')]);
  within.write('a word');
  expect(String((await once(within, 'data'))[0])).toBe('a word');
  const ends = [within, outside].map((socket) => once(socket, 'error'));
  await host.stopBackend();
  const late = sockets.connect(port, '127.0.0.1');
  const waits = Promise.race([once(late, 'connect').then(() => 'connected'), Promise.resolve('waits')]);
  expect(await waits).toBe('waits');
  await host.startBackend();
  for (const end of ends) expect((await end)[0]).toMatchObject({ code: 'ECONNRESET', syscall: 'read' });
  late.end('late');
  expect(await text(late)).toBe('late');
  const again = net.connect(port, '127.0.0.1');
  again.end('again');
  expect(await text(again)).toBe('again');
  expect(server.address()!.port).toBe(port);
  await server[Symbol.asyncDispose]();
  await stop();
});
