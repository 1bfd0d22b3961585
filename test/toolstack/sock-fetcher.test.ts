// A guest that fetches, with its npm client over sockets that are handed to it: here Node's own, to a server of Node's own. A store that holds what it says.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { runFetcher } from '../../toolstack/guest/fetcher.ts';
import type { Client } from '../../xenstored/client/index.ts';

const body = randomBytes(300_000);
const wanted = `200, 300000 bytes, sha256 ${createHash('sha256').update(body).digest('hex')}`;

/** Runs it until what it says of its first errand is as wanted; each turn follows the last at once. */
async function untilSaid(
  url: string,
  dial: (host: string, port: number) => Promise<ReturnType<typeof connect>>,
  said: (text: string) => boolean,
): Promise<string> {
  return await new Promise((resolve, reject) => {
    let over = false;
    const store = {
      directory: async () => ['0'],
      readText: async () => `1 ${url}`,
      write: async (path: string, text: string) => {
        expect(path).toBe('data/fetch/0');
        over = said(text);
        if (over) resolve(text);
      },
    } as unknown as Client;
    const clock = {
      now: () => 0,
      wallNow: () => 0,
      after: (_: number, then: () => void) => {
        if (!over) setImmediate(then);
        return () => {};
      },
    };
    void runFetcher({ store, clock, print: () => {}, dial }).catch(reject);
  });
}

async function serve(server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

test('what came is told, with its checksum; one connection serves many times', async () => {
  let connections = 0;
  const server = createServer((_, response) => response.end(body)).on('connection', () => connections++);
  const port = await serve(server);
  const dial = async (host: string, to: number): Promise<ReturnType<typeof connect>> => {
    expect([host, to]).toEqual(['192.0.2.1', 80]);
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return socket;
  };
  const text = await untilSaid('http://192.0.2.1/a', dial, (said) => said.startsWith('3 fetched'));
  expect(text).toBe(`3 fetched, 0 failed; ${wanted}`);
  expect(connections).toBe(1);
});

test('a connection that is reset, and one that is refused: told, and tried again', async () => {
  let turn = 0;
  const server = createServer((request, response) => {
    if (++turn > 1) return response.end(body);
    response.write('some of it');
    request.socket.resetAndDestroy();
    return response;
  });
  const port = await serve(server);
  const refused = Object.assign(new Error('nobody is there'), { code: 'ECONNREFUSED' });
  let dialled = 0;
  const dial = async (): Promise<ReturnType<typeof connect>> => {
    if (++dialled === 1) throw refused;
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return socket;
  };
  const heard: string[] = [];
  const text = await untilSaid('http://192.0.2.1/', dial, (said) => {
    heard.push(said);
    return said.startsWith('1 fetched');
  });
  expect(heard[0]).toBe('0 fetched, 1 failed, the last: ECONNREFUSED');
  expect(heard[1]).toMatch(/^0 fetched, 2 failed, the last: /);
  expect(text).toBe(`1 fetched, 2 failed; ${wanted}`);
});
