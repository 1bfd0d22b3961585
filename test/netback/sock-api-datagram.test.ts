/** Datagrams of ours are held against Node's `dgram`: each test runs over both, and over each driver of ours. */
import type dgram from 'node:dgram';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Api, nodeWay, ourWays } from './sock-api.ts';

for (const way of [nodeWay, ...ourWays.filter(({ sameSide }) => sameSide)])
  describe(way.name, () => {
    let api: Api;
    let stop: () => Promise<void>;
    beforeAll(async () => {
      const opened = await way.open();
      api = opened.client;
      stop = opened.stop;
    });
    afterAll(() => stop());
    const opened: dgram.Socket[] = [];
    afterEach(() => {
      for (const socket of opened.splice(0)) socket.close();
    });
    const open = (type: dgram.SocketType = 'udp4'): dgram.Socket => {
      const socket = api.createSocket(type);
      opened.push(socket);
      return socket;
    };
    const bound = async (type: dgram.SocketType = 'udp4'): Promise<[dgram.Socket, number]> => {
      const socket = open(type);
      socket.bind(0, type === 'udp4' ? '127.0.0.1' : '::1');
      await once(socket, 'listening');
      return [socket, socket.address().port];
    };

    it('a message and who sent it', async () => {
      const [a, from] = await bound();
      const [b, to] = await bound();
      const heard = once(b, 'message');
      const sent = new Promise((resolve) => a.send('hello', to, '127.0.0.1', (...told) => resolve(told)));
      const [message, sender] = await heard;
      expect(String(message)).toBe('hello');
      expect(sender).toEqual({ address: '127.0.0.1', family: 'IPv4', port: from, size: 5 });
      expect(await sent).toEqual([null, 5]);
    });

    it('parts, pieces, and nothing at all', async () => {
      const a = open();
      const [b, to] = await bound();
      const heard: string[] = [];
      b.on('message', (message) => heard.push(String(message)));
      a.send([Buffer.from('one'), Buffer.from('two')], to);
      await expect.poll(() => heard).toEqual(['onetwo']);
      a.send(Buffer.from('0123456789'), 2, 3, to, '127.0.0.1');
      a.send('', to);
      await expect.poll(() => heard).toEqual(['onetwo', '234', '']);
    });

    it('large ones come whole, one after the other', async () => {
      const a = open();
      const [b, to] = await bound();
      for (let each = 1; each <= 4; each++) {
        const heard = once(b, 'message');
        a.send(Buffer.alloc(40_000, each), to, '127.0.0.1');
        const [message, { size }] = await heard;
        expect(size).toBe(40_000);
        expect(Buffer.alloc(40_000, each).equals(message)).toBe(true);
      }
    });

    it('the ways to say where, and with what to be told', async () => {
      const a = open();
      await new Promise<void>((resolve) => a.bind({ port: 0, address: '127.0.0.1' }, resolve));
      const b = open();
      await new Promise<void>((resolve) => b.bind(0, resolve));
      expect(b.address().address).toBe('0.0.0.0');
      await new Promise<void>((resolve) => b.connect(a.address().port, resolve));
      const heard: string[] = [];
      a.on('message', (message) => heard.push(String(message)));
      const sent = await new Promise((resolve) => b.send('0123456789', 2, 3, (...told) => resolve(told)));
      expect(sent).toEqual([null, 3]);
      b.send(['one', Buffer.from('two')]);
      await expect.poll(() => heard).toEqual(['234', 'onetwo']);
    });

    it('an abort ends it, unless it has ended', async () => {
      for (const closed of [false, true]) {
        const abort = new AbortController();
        const socket = api.createSocket({ type: 'udp4', signal: abort.signal });
        const end = once(socket, 'close');
        if (closed) socket.close();
        abort.abort();
        await end;
      }
    });

    it('sending binds, and answers come back', async () => {
      const a = open();
      const [b, to] = await bound();
      b.on('message', (message, { port, address }) => b.send(`${message}!`, port, address));
      const answer = once(a, 'message');
      a.send('ping', to, 'localhost');
      expect(String((await answer)[0])).toBe('ping!');
      expect(a.address().port).toBeGreaterThan(0);
    });

    it('connected', async () => {
      const [a] = await bound();
      const [b, to] = await bound();
      expect(() => a.remoteAddress()).toThrow(
        expect.objectContaining({ code: 'ERR_SOCKET_DGRAM_NOT_CONNECTED' }),
      );
      const connected = once(a, 'connect');
      a.connect(to, '127.0.0.1');
      await connected;
      const heard = once(b, 'message');
      a.send('to the peer');
      expect(String((await heard)[0])).toBe('to the peer');
      expect(a.remoteAddress()).toEqual({ address: '127.0.0.1', family: 'IPv4', port: to });
    });

    it('IPv6', async () => {
      const [a] = await bound('udp6');
      const [b, to] = await bound('udp6');
      const heard = once(b, 'message');
      a.send('six', to, '::1');
      expect((await heard)[1]).toMatchObject({ address: '::1', family: 'IPv6' });
    });

    it('what is wrong is told: a port that is taken, a message too long, a bad port', async () => {
      const [a, port] = await bound();
      const second = open();
      const failed = once(second, 'error');
      second.bind(port, '127.0.0.1');
      expect((await failed)[0]).toMatchObject({
        code: 'EADDRINUSE',
        syscall: 'bind',
        address: '127.0.0.1',
        port,
      });
      const long = new Promise((resolve) => a.send(new Uint8Array(70_000), port, '127.0.0.1', resolve));
      expect(await long).toMatchObject({ code: 'EMSGSIZE', syscall: 'send' });
      expect(() => a.send('x', 0, '127.0.0.1')).toThrow(
        expect.objectContaining({ code: 'ERR_SOCKET_BAD_PORT' }),
      );
      expect(() => a.bind(0)).toThrow(expect.objectContaining({ code: 'ERR_SOCKET_ALREADY_BOUND' }));
    });

    it('closed: no more messages, and a second time is an error', async () => {
      const socket = api.createSocket('udp4');
      await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
      await new Promise<void>((resolve) => socket.close(resolve));
      expect(() => socket.close()).toThrow(expect.objectContaining({ code: 'ERR_SOCKET_DGRAM_NOT_RUNNING' }));
    });
  });
