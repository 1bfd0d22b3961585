/**
 * Sockets of ours are held against Node's own: each test runs over `net` and TCP, over our API and each of its drivers, and between a guest and a program
 * of this machine. Then what is ours alone.
 */
import { once } from 'node:events';
import type net from 'node:net';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { LoopbackDriver } from '../../netback/xensock/front/loopback.ts';
import { Sockets } from '../../netback/xensock/front/sockets.ts';
import { Errno } from '../../osdep/errno.ts';
import { loopbackSockets, nodeWay, type Opened, ourWays, xensockGuest } from './sock-api.ts';

for (const way of [nodeWay, ...ourWays])
  describe(way.name, () => {
    let opened: Opened;
    beforeAll(async () => {
      opened = await way.open();
    });
    afterAll(() => opened.stop());
    const servers: net.Server[] = [];
    const sockets: net.Socket[] = [];
    // Nobody listens any more to what becomes of them: a connection that its backend's end resets would be an error of nobody's.
    afterEach(async () => {
      for (const server of servers.splice(0)) if (server.listening) server.close();
      for (const socket of sockets.splice(0)) socket.destroy();
    });
    const createServer = (
      onConnection?: (socket: net.Socket) => void,
      options: net.ServerOpts = {},
    ): net.Server => {
      const server = opened.server.createServer(options, onConnection);
      servers.push(server);
      return server.on('connection', (socket) => sockets.push(socket));
    };
    const kept = (socket: net.Socket): net.Socket => {
      sockets.push(socket);
      return socket;
    };
    const connect = (options: Partial<net.TcpNetConnectOpts> & { readonly port: number }): net.Socket =>
      kept(opened.client.connect({ host: opened.host, ...options }));
    const listening = async (
      onConnection?: (socket: net.Socket) => void,
      options: net.ServerOpts = {},
    ): Promise<[net.Server, number]> => {
      const server = createServer(onConnection, options);
      // A client that is given up may reset what the server had accepted of it: that fails the test that looks at it.
      server.on('connection', (socket) => socket.on('error', () => {}));
      await once(server.listen(0, opened.listenHost), 'listening');
      return [server, (server.address() as net.AddressInfo).port];
    };
    const pair = async (
      options: Partial<net.TcpNetConnectOpts> = {},
      serving: net.ServerOpts = {},
    ): Promise<[net.Socket, net.Socket, net.Server]> => {
      const [server, port] = await listening(undefined, serving);
      const coming = once(server, 'connection');
      const client = connect({ port, ...options });
      await once(client, 'connect');
      return [client, (await coming)[0] as net.Socket, server];
    };
    const closed = (socket: net.Socket): Promise<boolean> =>
      new Promise((resolve) => socket.once('close', resolve));

    it.runIf(way.sameSide)('both ends know who they are', async () => {
      const [client, served, server] = await pair();
      const { port } = server.address() as net.AddressInfo;
      expect(server.address()).toEqual({ address: '127.0.0.1', family: 'IPv4', port });
      expect([client.remoteAddress, client.remotePort, client.remoteFamily]).toEqual([
        '127.0.0.1',
        port,
        'IPv4',
      ]);
      expect([served.localAddress, served.localPort, served.localFamily]).toEqual([
        '127.0.0.1',
        port,
        'IPv4',
      ]);
      expect(served.remotePort).toBe(client.localPort);
      expect(client.address()).toEqual({ address: '127.0.0.1', family: 'IPv4', port: client.localPort });
      expect([client.connecting, client.pending, client.readyState]).toEqual([false, false, 'open']);
      client.destroy();
      await closed(served);
    });

    it('bytes are counted, and the callbacks of writes and end come', async () => {
      const [client, served] = await pair();
      const heard = text(served);
      const events: string[] = [];
      client.write('one', () => events.push('written'));
      client.cork();
      client.write('two');
      client.write(Buffer.from('three'));
      client.uncork();
      client.end(() => events.push('ended'));
      expect(client.bytesWritten).toBe(11);
      expect(await heard).toBe('onetwothree');
      await closed(client);
      expect(events).toEqual(['written', 'ended']);
      expect([client.bytesWritten, served.bytesRead]).toEqual([11, 11]);
    });

    it('what is written before the connection stands is sent', async () => {
      const [, port] = await listening((socket) => socket.pipe(socket));
      const client = connect({ port });
      expect([client.connecting, client.readyState]).toEqual([true, 'opening']);
      client.end('early');
      expect(await text(client)).toBe('early');
    });

    it('a stream ends its side when the peer does, unless it may stay half open', async () => {
      for (const allowHalfOpen of [false, true]) {
        const [client, served] = await pair({}, { allowHalfOpen });
        client.end();
        served.resume();
        await once(served, 'end');
        await new Promise((resolve) => setImmediate(resolve));
        expect(served.writable).toBe(allowHalfOpen);
        if (allowHalfOpen) served.end('answered later');
        expect(await text(client)).toBe(allowHalfOpen ? 'answered later' : '');
        if (!client.closed) await closed(client);
      }
    });

    it('a consumer that stops stops the writer, and memory does not grow', async () => {
      const [client, served] = await pair({}, { pauseOnConnect: true });
      const block = Buffer.alloc(65_536, 7);
      let written = 0;
      let stopped = false;
      const write = (): void => {
        while (!stopped && client.write(block)) written += block.length;
        written += block.length;
      };
      client.on('drain', write);
      write();
      let before = -1;
      while (before !== written) {
        before = written;
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
      // Kernel buffers of loopback TCP grow to some megabytes; ours to some hundred KiB.
      expect(written).toBeLessThan(16 << 20);
      stopped = true;
      client.off('drain', write).end();
      let read = 0;
      for await (const chunk of served) read += (chunk as Buffer).length;
      expect(read).toBe(written);
    });

    it('a slow consumer gets all, in order, however the chunks are', async () => {
      const sizes = fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 30 });
      const run = fc.asyncProperty(sizes, fc.boolean(), async (lengths, slow) => {
        const [client, served, server] = await pair();
        server.close();
        const sent = lengths.map((length, index) => Buffer.alloc(length, index + 1));
        const got: Buffer[] = [];
        const sink = new Writable({
          highWaterMark: 1000,
          write(chunk: Buffer, _encoding, done) {
            got.push(chunk);
            if (slow) setImmediate(done);
            else done();
          },
        });
        const reading = pipeline(served, sink);
        for (const chunk of sent) if (!client.write(chunk)) await once(client, 'drain');
        client.end();
        await reading;
        expect(Buffer.concat(got).equals(Buffer.concat(sent))).toBe(true);
      });
      await fc.assert(run, { numRuns: 20, seed: 2 });
    });

    it('onread: bytes come in memory of the program, which may pause', async () => {
      const [, port] = await listening((socket) => socket.end(Buffer.alloc(10_000, 5)));
      const buffer = Buffer.alloc(1000);
      const counts: number[] = [];
      const events: string[] = [];
      let pause: () => void = () => {};
      const paused = new Promise<void>((resolve) => {
        pause = resolve;
      });
      const callback = (count: number, into: Uint8Array): boolean => {
        expect(into).toBe(buffer);
        expect(into.subarray(0, count).every((byte) => byte === 5)).toBe(true);
        counts.push(count);
        if (counts.length === 3) pause();
        return counts.length !== 3;
      };
      const client = connect({ port, onread: { buffer, callback } });
      client.on('data', () => events.push('data')).once('end', () => events.push('end'));
      await paused;
      for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect(counts.length).toBe(3);
      client.resume();
      await closed(client);
      expect(counts.reduce((sum, count) => sum + count)).toBe(10_000);
      expect([client.bytesRead, ...events]).toEqual([10_000, 'end']);
    });

    it('nobody listens', async () => {
      const [server, port] = await listening();
      await new Promise((resolve) => server.close(resolve));
      const client = connect({ port });
      const end = closed(client);
      const [error] = await once(client, 'error');
      expect(error).toMatchObject({
        code: 'ECONNREFUSED',
        errno: -111,
        syscall: 'connect',
        address: opened.host,
        port,
      });
      expect((error as Error).message).toBe(`connect ECONNREFUSED ${opened.host}:${port}`);
      expect(await end).toBe(true);
      expect(client.destroyed).toBe(true);
    });

    it('reset: the other hears ECONNRESET', async () => {
      const [client, served] = await pair();
      served.resume();
      const failed = once(served, 'error');
      client.resetAndDestroy();
      expect((await failed)[0]).toMatchObject({
        code: 'ECONNRESET',
        syscall: 'read',
        message: 'read ECONNRESET',
      });
    });

    it('a write after the end fails, and so does one on a closed socket', async () => {
      const [client, served] = await pair();
      served.resume();
      client.end();
      const failed = once(client, 'error');
      client.write('late');
      expect((await failed)[0]).toMatchObject({ code: 'ERR_STREAM_WRITE_AFTER_END' });
      const late = new Promise((resolve) => client.write('later', resolve));
      expect(await late).toBeInstanceOf(Error);
    });

    it('destroyed with an error: that is emitted, and close says so', async () => {
      const [client] = await pair();
      const error = new Error('enough');
      const end = closed(client);
      client.destroy(error);
      expect((await once(client, 'error'))[0]).toBe(error);
      expect(await end).toBe(true);
    });

    it('destroyed while it connects: nothing but close', async () => {
      const [, port] = await listening();
      const client = connect({ port });
      const events: string[] = [];
      for (const event of ['connect', 'error', 'end']) client.on(event, () => events.push(event));
      client.destroy();
      await closed(client);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(events).toEqual([]);
    });

    it('what a listener throws is no error of the connection', async () => {
      const [, port] = await listening();
      const client = connect({ port });
      const thrown = new Promise((resolve) => process.once('uncaughtException', resolve));
      const before = process.listeners('uncaughtException').slice(0, -1);
      for (const listener of before) process.off('uncaughtException', listener);
      const mistake = new Error('a mistake of the program');
      client.once('connect', () => {
        throw mistake;
      });
      expect(await thrown).toBe(mistake);
      for (const listener of before) process.on('uncaughtException', listener);
      expect(client.destroyed).toBe(false);
      client.destroy();
    });

    it('an abort signal ends it', async () => {
      const [, port] = await listening();
      const abort = new AbortController();
      const client = connect({ port, signal: abort.signal } as never);
      await once(client, 'connect');
      const failed = once(client, 'error');
      abort.abort();
      expect((await failed)[0]).toMatchObject({ name: 'AbortError' });
    });

    it('destroySoon: once all is written', async () => {
      const [client, served] = await pair();
      const heard = text(served);
      const much = 'x'.repeat(3_000_000);
      client.write(much);
      (client as net.Socket & { destroySoon(): void }).destroySoon();
      expect((await heard).length).toBe(much.length);
      // Of a guest's the other domain is asked first.
      if (!client.destroyed) await once(client, 'close');
    });

    it('idle for a time: timeout, and nothing else', async () => {
      const [client] = await pair();
      let times = 0;
      client.setTimeout(40, () => times++);
      expect(client.timeout).toBe(40);
      await once(client, 'timeout');
      expect(times).toBe(1);
      expect(client.destroyed).toBe(false);
      client.setTimeout(0);
      client.destroy();
    });

    it('methods that change little can be chained', async () => {
      const [client] = await pair({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 1000 });
      expect(client.setNoDelay().setKeepAlive(true, 5000).ref().unref().ref()).toBe(client);
      client.destroy();
    });

    it('text, when an encoding is set', async () => {
      const [client, served] = await pair();
      served.setEncoding('utf8');
      const snowman = Buffer.from('\u2603');
      client.write(snowman.subarray(0, 1));
      client.end(snowman.subarray(1));
      const chunks: unknown[] = [];
      for await (const chunk of served) chunks.push(chunk);
      expect(chunks.join('')).toBe('\u2603');
    });

    describe('servers', () => {
      it('a port that is taken: EADDRINUSE, as an error that says where', async () => {
        const [, port] = await listening();
        const second = createServer();
        const failed = once(second, 'error');
        second.listen(port, opened.listenHost);
        expect((await failed)[0]).toMatchObject({
          code: 'EADDRINUSE',
          errno: -98,
          syscall: 'listen',
          address: opened.listenHost,
          port,
        });
        expect(second.listening).toBe(false);
        await once(second.listen(0, opened.listenHost), 'listening');
        second.close();
      });

      it('close waits for connections; until then they work', async () => {
        const [client, served, server] = await pair();
        let done = false;
        const end = new Promise<void>((resolve) =>
          server.close(() => {
            done = true;
            resolve();
          }),
        );
        expect([server.listening, server.address()]).toEqual([false, null]);
        client.write('still');
        expect(String((await once(served, 'data'))[0])).toBe('still');
        expect(done).toBe(false);
        client.end();
        await end;
        const again = await new Promise<Error | undefined>((resolve) => server.close(resolve));
        expect(again).toMatchObject({ code: 'ERR_SERVER_NOT_RUNNING' });
      });

      it('the same port again, once it is closed', async () => {
        const [server, port] = await listening();
        await new Promise((resolve) => server.close(resolve));
        await once(server.listen(port, opened.listenHost), 'listening');
        expect((server.address() as net.AddressInfo).port).toBe(port);
      });

      it('connections are counted, and more than the most are dropped', async () => {
        const [server, port] = await listening((socket) => socket.resume());
        server.maxConnections = 1;
        const first = connect({ port });
        await once(first, 'connect');
        const dropping = once(server, 'drop');
        const second = connect({ port });
        second.resume().on('error', () => {});
        const [data] = await dropping;
        expect(data).toMatchObject({
          localPort: port,
          remoteAddress: expect.any(String),
          remoteFamily: 'IPv4',
        });
        if (!second.closed) await closed(second);
        const count = new Promise((resolve) => server.getConnections((_, number) => resolve(number)));
        expect(await count).toBe(1);
        first.destroy();
      });

      it('a listener for connections, and the ways to call listen', async () => {
        const server = createServer((socket) => socket.end('hi'));
        await new Promise<void>((resolve) =>
          server.listen({ port: 0, host: opened.listenHost, backlog: 5 }, resolve),
        );
        const { port } = server.address() as net.AddressInfo;
        const client = await new Promise<net.Socket>((resolve) => {
          const socket = kept(opened.client.connect(port, opened.host, () => resolve(socket)));
        });
        expect(await text(client)).toBe('hi');
        expect(() => server.listen(0)).toThrow(
          expect.objectContaining({ code: 'ERR_SERVER_ALREADY_LISTEN' }),
        );
        expect(() => connect({ port: 70_000 })).toThrow(
          expect.objectContaining({ code: 'ERR_SOCKET_BAD_PORT' }),
        );
      });

      it('hundreds of connections, and each hears its own', async () => {
        const [, port] = await listening((socket) => socket.pipe(socket));
        const clients = Array.from({ length: 300 }, async (_, i) => {
          const client = connect({ port });
          client.end(`${i}`);
          return text(client);
        });
        expect(await Promise.all(clients)).toEqual(clients.map((_, i) => `${i}`));
      });

      it('a name that a lookup knows, and one that nobody knows', async () => {
        const [, port] = await listening((socket) => socket.end('here'));
        const lookup: net.LookupFunction = (host, options, done) => {
          const unknown = Object.assign(new Error('who?'), { code: 'ENOTFOUND' });
          expect(options.all ?? false).toBe(false);
          setImmediate(() => (host === 'web.example' ? done(null, opened.host, 4) : done(unknown, '', 4)));
        };
        const client = kept(
          opened.client.connect({ port, host: 'web.example', lookup, autoSelectFamily: false }),
        );
        const looked = once(client, 'lookup');
        expect(await text(client)).toBe('here');
        expect(await looked).toEqual([null, opened.host, 4, 'web.example']);
        const failed = once(
          opened.client.connect({ port, host: 'other.example', lookup, autoSelectFamily: false }),
          'error',
        );
        expect((await failed)[0]).toMatchObject({ code: 'ENOTFOUND' });
      });
    });
  });

describe('ours alone', () => {
  it('localhost is known without a lookup, other names are not', async () => {
    const sockets = loopbackSockets();
    const server = sockets.createServer((socket) => socket.end('here'));
    await once(server.listen(80), 'listening');
    expect(server.address()).toEqual({ address: '0.0.0.0', family: 'IPv4', port: 80 });
    expect(await text(sockets.connect({ port: '80' }))).toBe('here');
    const failed = once(sockets.connect(80, 'web.example'), 'error');
    expect((await failed)[0]).toMatchObject({
      code: 'ENOTFOUND',
      syscall: 'getaddrinfo',
      hostname: 'web.example',
    });
    await server[Symbol.asyncDispose]();
  });

  it('a reset right behind some bytes: both are heard', async () => {
    const sockets = loopbackSockets();
    const server = sockets.createServer((socket) => {
      socket.write('last words');
      socket.resetAndDestroy();
    });
    await once(server.listen(80), 'listening');
    const client = sockets.connect(80);
    let heard = '';
    client.on('data', (chunk) => {
      heard += chunk;
    });
    expect((await once(client, 'error'))[0]).toMatchObject({ code: 'ECONNRESET', syscall: 'read' });
    expect(heard).toBe('last words');
    await server[Symbol.asyncDispose]();
  });

  it('without the extension, a connection that a server ends is closed', async () => {
    const { sockets, stop } = await xensockGuest({ extension: false });
    const server = sockets.createServer((socket) => socket.end('all there is'));
    await once(server.listen(7000, '127.0.0.1'), 'listening');
    expect(await text(sockets.connect(7000, '127.0.0.1'))).toBe('all there is');
    await server[Symbol.asyncDispose]();
    await stop();
  });

  it('a connection that is reset as soon as it stands: whoever awaited it hears of that', async () => {
    class Resetting extends LoopbackDriver {
      override recv(): number {
        return -Errno.ECONNRESET;
      }
    }
    const sockets = new Sockets();
    sockets.register(new Resetting());
    const server = sockets.createServer((socket) => socket.on('error', () => {}));
    await once(server.listen(7000, '127.0.0.1'), 'listening');
    const client = sockets.connect(7000, '127.0.0.1');
    client.write('early');
    await once(client, 'connect');
    expect((await once(client, 'error'))[0]).toMatchObject({ code: 'ECONNRESET', syscall: 'read' });
    await server[Symbol.asyncDispose]();
  });

  it('no driver: EAFNOSUPPORT', async () => {
    const sockets = new Sockets();
    const failed = once(sockets.connect(80, '127.0.0.1'), 'error');
    expect((await failed)[0]).toMatchObject({ code: 'EAFNOSUPPORT', syscall: 'connect' });
    expect(() => sockets.createSocket('udp4')).toThrow(expect.objectContaining({ code: 'EAFNOSUPPORT' }));
  });
});
