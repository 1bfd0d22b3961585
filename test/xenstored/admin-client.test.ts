// The typed client of xenstore-admin as its user has it: with the URL as printed, against our daemon, its types those of the document that is
// served, its events going on where a connection ended; and the same in the words of the manual.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../osdep/os/clock.ts';
import { Tokens } from '../../xenstored/admin/access.ts';
import { type App, buildApp, openapiDocument } from '../../xenstored/admin/app.ts';
import {
  type AdminClient,
  type AdminEvent,
  AdminProblem,
  adminClient,
} from '../../xenstored/admin/client/index.ts';
import { type Document, typesOf } from '../../xenstored/admin/client/types.ts';
import { storeOf } from '../../xenstored/admin/source.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { SimHost } from '../conformance/simhost.ts';
import { secret, writeSecret } from './admin-kit.ts';

let host: SimHost;
let store: Client;
let app: App;
let url: string;
let admin: AdminClient;

beforeAll(async () => {
  host = await SimHost.start([]);
  store = await connect({ path: host.socketPath });
  app = await buildApp({
    store: storeOf(store),
    tokens: new Tokens({ read: secret, write: writeSecret }),
    clock: systemClock,
    failed: (error) => console.error(error),
  });
  url = await app.listen({ host: '127.0.0.1', port: 0 });
  admin = adminClient(`${url}/#token=${writeSecret}`);
});
afterAll(async () => {
  await app?.close();
  await store?.close();
  await host?.stop();
});

test('what is checked in is what the document says', async () => {
  const file = fileURLToPath(new URL('../../xenstored/admin/client/api.ts', import.meta.url));
  const checkedIn = readFileSync(file, 'utf8');
  const opening = checkedIn.slice(0, checkedIn.indexOf('*/') + 3);
  const text = typesOf((await openapiDocument()) as Document, opening);
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const biome = [`${root}node_modules/.bin/biome`, 'format', '--stdin-file-path=api.ts'];
  const laidOut = execFileSync(process.execPath, biome, { cwd: root, input: text });
  expect(checkedIn === laidOut.toString(), 'npm run generate:admin-client').toBe(true);
});

test('reads and writes, with types', async () => {
  const path = '/client/demo';
  const put = await admin.PUT('/v1/node', {
    params: { query: { path }, header: { 'if-none-match': '*' } },
    body: { value: { text: 'one' } },
  });
  const etag: string | undefined = put.data?.etag;
  const { data, error } = await admin.GET('/v1/node', { params: { query: { path } } });
  expect(error).toBeUndefined();
  expect(data?.value.text).toBe('one');
  expect(data?.etag).toBe(etag);
  const { data: tree } = await admin.GET('/v1/tree', { params: { query: { path: '/client', depth: 1 } } });
  expect(tree?.nodes.map((node) => node.path)).toEqual(['/client', path]);
  const refused = await admin.DELETE('/v1/node', {
    params: { query: { path }, header: { 'if-match': '"x"' } },
  });
  expect(refused.error?.code).toBe('precondition_failed');
  expect(refused.error?.current?.value.text).toBe('one');
  const { data: done } = await admin.POST('/v1/transactions', {
    body: {
      operations: [
        { op: 'remove', path },
        { op: 'check', path: '/client', ifMatch: '*' },
      ],
    },
  });
  expect(done?.results.map(({ existed }) => existed)).toEqual([true, true]);
});

test('without a token it says so', async () => {
  const { error, response } = await adminClient(url).GET('/v1/session');
  expect([response.status, error?.code]).toEqual([401, 'unauthorized']);
  await expect(adminClient(url).events('/').next()).rejects.toThrow(AdminProblem);
  await expect(admin.events('relative').next()).rejects.toThrow(/^bad_path: /);
});

test("the manual's example works as it is printed, from the built package", async () => {
  const manual = readFileSync(new URL('../../xenstored/admin/README.md', import.meta.url), 'utf8');
  const example = /^```js\n([\s\S]*?)^```/m.exec(manual)![1]!;
  await store.write('/local/domain/7/name', 'seven');
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const args = ['--input-type=module', '--eval', example, 'example', `${url}/#token=${secret}`];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const said = async (wanted: string): Promise<void> => {
    for (let line = await lines.next(); line.value !== wanted; line = await lines.next())
      expect(line.done).toBe(false);
  };
  await said('/local/domain/7 ');
  // Until it listens for changes: what was before is not told.
  const writing = setInterval(() => void store.write('/local/domain/7/state', 'up'), 50);
  await said('/local/domain/7/state up 0');
  clearInterval(writing);
  child.kill();
  await once(child, 'exit');
});

test('it has nothing in it that a browser has not', async () => {
  const entry = fileURLToPath(new URL('../../xenstored/admin/client/index.ts', import.meta.url));
  const bundle = await rolldown({ input: entry, platform: 'browser', external: /^node:/ });
  const { output } = await bundle.generate();
  await bundle.close();
  expect(output.map(({ type }) => type)).toEqual(['chunk']);
  expect(output[0].imports).toEqual([]);
});

/** Until one that tells of this path, or to look again. */
async function until(events: AsyncGenerator<AdminEvent, void>, path: string): Promise<AdminEvent> {
  for (;;) {
    const { value } = await events.next();
    if (value === undefined) throw new Error('the events ended');
    if (value.type === 'resync' || value.changes.some((change) => change.path === path)) return value;
  }
}

test('changes arrive with their nodes, whatever happens to connections', async () => {
  const { proxy, cut } = await cuttable(url);
  const stop = new AbortController();
  const through = adminClient(`http://127.0.0.1:${(proxy.address() as AddressInfo).port}/#token=${secret}`);
  const events = through.events('/live', { nodes: true, signal: stop.signal });
  // From there on nothing is missed.
  expect((await events.next()).value).toMatchObject({ type: 'resync' });
  await store.write('/live/a', '1');
  const event = await until(events, '/live/a');
  const node = expect.objectContaining({ value: { text: '1', base64: 'MQ==' } });
  expect(event).toMatchObject({
    id: expect.any(String),
    changes: expect.arrayContaining([expect.objectContaining({ path: '/live/a', node })]),
  });
  for (let round = 0; round < 3; round++) {
    cut();
    await store.write(`/live/cut${round}`, '3');
    await until(events, `/live/cut${round}`);
  }
  stop.abort();
  for (let next = await events.next(); !next.done; next = await events.next());
  proxy.closeAllConnections();
  await new Promise((resolve) => proxy.close(resolve));
});

/** A way to the service whose connections can be cut. */
async function cuttable(target: string): Promise<{ proxy: Server; cut: () => void }> {
  const { host } = new URL(target);
  const proxy = createServer(async (request, reply) => {
    try {
      const answer = await fetch(`${target}${request.url}`, {
        headers: { ...(request.headers as Record<string, string>), host },
      });
      reply.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
      for await (const piece of answer.body!) reply.write(piece);
      reply.end();
    } catch {
      reply.destroy();
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return { proxy, cut: () => proxy.closeAllConnections() };
}
