/**
 * Node's own HTTP server and client, and an npm client, over sockets of each of our drivers, and between a guest and this machine: files and their hashes,
 * connections that are kept, requests one behind the other without waiting, requests that are given up, a hundred at a time. The programs are what
 * they would be over a network.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import type net from 'node:net';
import { text } from 'node:stream/consumers';
import { Client, request as fetch } from 'undici';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loopbackSockets, type Opened, ourWays } from './sock-api.ts';

const file = Buffer.alloc(5_000_003);
for (let i = 0; i < file.length; i++) file[i] = (i * 7919) >>> 5;
const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

for (const way of ourWays)
  describe(way.name, () => {
    let opened: Opened;
    let server: net.Server;
    let web: http.Server;
    let host: string;
    let port: number;
    let aborted = 0;
    let connections = 0;
    beforeAll(async () => {
      opened = await way.open();
      host = opened.host;
    });
    afterAll(() => opened.stop());

    beforeEach(async () => {
      aborted = 0;
      connections = 0;
      web = http.createServer((request, response) => {
        request.once('close', () => {
          if (!request.complete || !response.writableFinished) aborted++;
        });
        if (request.url === '/file') response.end(file);
        else if (request.url === '/hash') {
          const hash = createHash('sha256');
          request.on('data', (chunk: Buffer) => hash.update(chunk));
          request.on('end', () => response.end(hash.digest('hex')));
        } else if (request.url === '/never') response.write('a beginning');
        else response.end(`${request.url} for ${request.socket.remoteFamily}`);
      });
      // HTTP's own servers let connections stay half open, too.
      server = opened.server.createServer({ allowHalfOpen: true }, (socket) => {
        connections++;
        web.emit('connection', socket);
      });
      await once(server.listen(0, opened.listenHost), 'listening');
      port = (server.address() as net.AddressInfo).port;
    });

    afterEach(async () => {
      web.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    });

    interface Answer {
      readonly status: number | undefined;
      readonly body: Buffer;
    }

    function get(path: string, options: http.RequestOptions = {}, body?: Uint8Array): Promise<Answer> {
      return new Promise((resolve, reject) => {
        const asked = http.request(
          { host, port, path, createConnection: opened.client.connect as never, ...options },
          (response) => {
            const chunks: Buffer[] = [];
            response.on('data', (chunk: Buffer) => chunks.push(chunk));
            response.on('error', reject);
            response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(chunks) }));
          },
        );
        asked.on('error', reject);
        asked.end(body);
      });
    }

    describe("Node's own client", () => {
      it('fetches a file of five megabytes', async () => {
        const { status, body } = await get('/file');
        expect({ status, sha: sha(body) }).toEqual({ status: 200, sha: sha(file) });
      });

      it('sends one', async () => {
        const { body } = await get('/hash', { method: 'POST' }, file);
        expect(body.toString()).toBe(sha(file));
      });

      it('keeps a connection, by an agent that is told how to connect', async () => {
        const agent = Object.assign(new http.Agent({ keepAlive: true, maxSockets: 1 }), {
          createConnection: opened.client.connect,
        });
        for (let i = 0; i < 5; i++)
          expect((await get(`/${i}`, { agent })).body.toString()).toBe(`/${i} for IPv4`);
        expect(connections).toBe(1);
        agent.destroy();
      });

      it('a hundred at a time', async () => {
        const paths = Array.from({ length: 100 }, (_, i) => `/${i}`);
        const answers = await Promise.all(paths.map((path) => get(path)));
        expect(answers.map(({ body }) => body.toString())).toEqual(paths.map((path) => `${path} for IPv4`));
        expect(connections).toBe(100);
      });

      it('a request that is given up is noticed by the server', async () => {
        const asked = http.get({
          host,
          port,
          path: '/never',
          createConnection: opened.client.connect as never,
        });
        asked.on('error', () => {});
        const [response] = (await once(asked, 'response')) as [http.IncomingMessage];
        response.on('error', () => {});
        response.destroy();
        await expect.poll(() => aborted).toBe(1);
      });

      it('nobody there: ECONNREFUSED, as Node tells it', async () => {
        const refused = get('/', { port: 9 });
        await expect(refused).rejects.toMatchObject({
          message: `connect ECONNREFUSED ${host}:9`,
          code: 'ECONNREFUSED',
          errno: -111,
          syscall: 'connect',
          address: host,
          port: 9,
        });
      });

      it('requests one behind the other on one connection are answered in order', async () => {
        const socket = opened.client.connect(port, host);
        const paths = Array.from({ length: 20 }, (_, i) => `/${i}`);
        const head = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
        socket.end(paths.map((path) => head(path)).join('') + head('/last', 'Connection: close\r\n'));
        let text = '';
        for await (const chunk of socket) text += chunk;
        expect([...text.matchAll(/^(\/\w+) for/gm)].map(([, path]) => path)).toEqual([...paths, '/last']);
      });
    });

    it('HTTP/2', async () => {
      const h2 = http2.createServer((request, response) => response.end(`two ${request.url}`));
      const listening = opened.server.createServer((socket) => h2.emit('connection', socket));
      await once(listening.listen(0, opened.listenHost), 'listening');
      const at = { host, port: (listening.address() as net.AddressInfo).port };
      const session = http2.connect('http://guest', { createConnection: () => opened.client.connect(at) });
      const answers = ['/a', '/b'].map((path) => text(session.request({ ':path': path })));
      expect(await Promise.all(answers)).toEqual(['two /a', 'two /b']);
      session.close();
      await new Promise<void>((resolve) => listening.close(() => resolve()));
    });

    describe('undici', () => {
      it('fetches a file, and keeps its connection', async () => {
        const client = new Client(`http://${host}:${port}`, {
          connect: (options, callback) => {
            const socket = opened.client.connect({ host: options.hostname, port: Number(options.port) });
            socket.once('error', (error) => callback(error, null));
            socket.once('connect', () => callback(null, socket as never));
          },
          pipelining: 4,
        });
        const fetched = ['/file', '/1', '/2'].map(async (path) => {
          const { body } = await fetch(`http://${host}:${port}${path}`, { dispatcher: client });
          return new Uint8Array(await body.arrayBuffer());
        });
        const bodies = await Promise.all(fetched);
        expect(sha(bodies[0]!)).toBe(sha(file));
        expect(Buffer.from(bodies[2]!).toString()).toBe('/2 for IPv4');
        expect(connections).toBe(1);
        await client.close();
      });
    });
  });

it('an HTTP server that is served keeps its own time, and lets go of idle connections when it is closed', async () => {
  const sockets = loopbackSockets();
  const web = http.createServer({ connectionsCheckingInterval: 20, headersTimeout: 50 }, (_, response) =>
    response.end('served'),
  );
  const server = sockets.serve(web);
  await once(server.listen(80), 'listening');
  const slow = sockets.connect(80);
  slow.write('GET / HTTP/1.1\r\n');
  expect(await text(slow)).toMatch(/^HTTP\/1.1 408 /);
  const agent = Object.assign(new http.Agent({ keepAlive: true }), { createConnection: sockets.connect });
  const answer = await new Promise<http.IncomingMessage>((resolve) => http.get({ agent }, resolve));
  expect(await text(answer)).toBe('served');
  await new Promise<void>((resolve) => server.close(() => resolve()));
});
