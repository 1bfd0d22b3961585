/**
 * The sockets' API as its users have it: the README's examples run as they stand, from the packed package, by Node's own test runner; and its types, as the
 * places expect them that sockets are handed to.
 */
import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { typeErrors, unpack } from '../testkit/packed.ts';

const readme = fileURLToPath(new URL('../../netback/xensock/front/README.md', import.meta.url));
const examples = [...readFileSync(readme, 'utf8').matchAll(/```js\n(import assert[\s\S]*?)```/g)];

let folder: string;
beforeAll(async () => {
  folder = await unpack();
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("the README's examples pass", async () => {
  const names = examples.map((_, index) => `example${index}.node.js`);
  for (const [index, name] of names.entries()) writeFileSync(join(folder, name), examples[index]![1]!);
  const args = ['--test', '--test-reporter=tap', ...names];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder });
  expect(stdout).toMatch(/^# pass 2$/m);
}, 120_000);

it('it is typed', async () => {
  const source = `
import dns from 'node:dns';
import http from 'node:http';
import type { Duplex } from 'node:stream';
import { LoopbackDriver, type Server, type Socket, type SocketDriver, Sockets, type SocketAddress } from 'stubdom0/xensock';
const sockets = new Sockets({ lookup: dns.lookup });
const leave: () => void = sockets.register(new LoopbackDriver());
sockets.routes.add('10.0.0.0/8', 'loopback');
const { connect, createServer } = sockets;
http.get({ host: 'localhost', port: 80, createConnection: connect });
export const agent: http.Agent = Object.assign(new http.Agent(), { createConnection: connect });
const socket: Socket = connect({ host: '127.0.0.1', port: 80, timeout: 1000 }, () => leave());
export const duplex: Duplex = socket.setNoDelay().setKeepAlive(true);
export const server: Server = createServer((peer) => peer.pipe(peer)).listen(80, '127.0.0.1', 5, () => {});
interface Vsock extends SocketAddress { readonly family: 40; readonly cid: number }
export const join = (driver: SocketDriver<object, Vsock>): (() => void) => sockets.register(driver);
sockets.createSocket('udp4', (message, { address, size }) => message.length === size && address).send('hello', 53);
// @ts-expect-error: a port is a number
connect({}, 80);
// @ts-expect-error: there is no such event's argument
sockets.createServer((peer: string) => peer);
`;
  expect(await typeErrors(folder, source)).toBe('');
}, 120_000);
