// xenstore-admin as its user sees it: what each resource answers, who is turned away and how, and that a store of any size costs it only
// so much. The store is a small fake.
import { type AddressInfo, connect } from 'node:net';
import { expect, test } from 'vitest';
import { errorCodes } from '../../xenstored/admin/errors.ts';
import { decodeText, encodeValue } from '../../xenstored/admin/value.ts';
import { secret, startApp } from './admin-kit.ts';

test('a node: value, permissions, children', async () => {
  const { ask, store } = await startApp();
  store.write('/local/domain/0/name', 'Domain-0');
  expect((await ask('GET', '/v1/node?path=/local/domain/0/name')).body).toEqual({
    path: '/local/domain/0/name',
    value: { text: 'Domain-0', base64: 'RG9tYWluLTA=' },
    permissions: [{ domid: 0, letter: 'n' }],
    children: [],
    etag: expect.stringMatching(/^[\w-]{27}$/),
  });
  expect((await ask('GET', '/v1/node?path=/local')).body).toMatchObject({ children: ['domain'] });
  expect((await ask('GET', '/v1/node?path=/')).body).toMatchObject({ children: ['local'] });
});

test('a value of any bytes survives, there and back', () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  const { text, base64 } = encodeValue(bytes);
  expect(Buffer.from(base64, 'base64')).toEqual(Buffer.from(bytes));
  expect(text).toMatch(/^[\x20-\x7e]*$/);
  expect(Buffer.from(decodeText(text, 'value'))).toEqual(Buffer.from(bytes));
  expect(encodeValue(Buffer.from('a\\b\n\t\r\0é')).text).toBe('a\\\\b\\n\\t\\r\\x00\\xc3\\xa9');
});

test('what has not changed is not sent again, and HEAD asks without a body', async () => {
  const { ask, store } = await startApp();
  store.write('/a', 'one');
  const { headers } = await ask('GET', '/v1/node?path=/a');
  const again = () => ask('GET', '/v1/node?path=/a', { headers: { 'if-none-match': String(headers.etag) } });
  expect(await again()).toMatchObject({ status: 304, text: '' });
  expect(await ask('HEAD', '/v1/node?path=/a')).toMatchObject({
    status: 200,
    text: '',
    headers: { etag: headers.etag },
  });
  for (const change of ['value', 'child', 'back']) {
    store.write(change === 'child' ? '/a/below' : '/a', change === 'value' ? 'two' : 'one');
    expect((await again()).status).toBe(200);
  }
});

test('a subtree in its order, as deep and as large as asked, and the rest page by page', async () => {
  const { ask, store } = await startApp();
  for (const domid of [10, 2, 0]) store.write(`/local/domain/${domid}/name`, `d${domid}`);
  const paths = async (query: string): Promise<{ paths: string[]; truncated: unknown; next: unknown }> => {
    const { body } = await ask('GET', `/v1/tree?${query}`);
    return { paths: body!.nodes!.map(({ path }) => path), truncated: body!.truncated, next: body!.next };
  };
  const all = [
    '/local',
    '/local/domain',
    ...[0, 2, 10].flatMap((d) => [`/local/domain/${d}`, `/local/domain/${d}/name`]),
  ];
  expect(await paths('path=/local')).toEqual({ paths: all, truncated: 'no', next: undefined });
  expect((await paths('path=/local&depth=1')).paths).toEqual(['/local', '/local/domain']);
  expect(await paths('path=/local&limit=3')).toEqual({
    paths: all.slice(0, 3),
    truncated: 'nodes',
    next: '/local/domain/0',
  });
  // The next page begins where the last ended, though that is gone and others came.
  store.nodes.delete('/local/domain/0');
  store.nodes.delete('/local/domain/0/name');
  store.write('/local/domain/1/name', 'd1');
  expect((await paths('path=/local&after=/local/domain/0')).paths).toEqual([
    '/local/domain/1',
    '/local/domain/1/name',
    ...all.slice(4),
  ]);
});

test('a subtree that has not changed is not sent again', async () => {
  const { ask, store } = await startApp();
  store.write('/a/b', 'one');
  const { headers } = await ask('GET', '/v1/tree?path=/a');
  const again = () => ask('GET', '/v1/tree?path=/a', { headers: { 'if-none-match': String(headers.etag) } });
  expect(await again()).toMatchObject({ status: 304, text: '' });
  store.write('/a/b', 'two');
  await expect.poll(async () => (await again()).status).toBe(200);
});

test('a reply stays small however much the store holds', async () => {
  const { ask, store } = await startApp();
  for (let node = 0; node < 600; node++)
    store.nodes.set(`/${node}`, { value: Buffer.alloc(4000, 255), permissions: [{ domid: 0, letter: 'n' }] });
  const reply = await ask('GET', '/v1/tree?path=/&limit=10000');
  expect(reply.body!.truncated).toBe('bytes');
  expect(reply.text.length).toBeLessThan(8 << 20);
});

test('without the token nothing is told', async () => {
  const { ask } = await startApp();
  for (const authorization of [
    '',
    'Bearer',
    'Bearer wrong',
    `Basic ${secret}`,
    `Bearer ${secret}x`,
    secret,
  ]) {
    expect(await ask('GET', '/v1/node?path=/', { role: 'none', headers: { authorization } })).toMatchObject({
      status: 401,
      headers: { 'www-authenticate': 'Bearer' },
      body: { code: 'unauthorized' },
    });
  }
});

test('no browser takes a reply for a page, or keeps it', async () => {
  const { ask, store } = await startApp();
  store.write('/a', '<script>alert(1)</script>');
  for (const url of ['/v1/node?path=/a', '/v1/tree?path=/a', '/v1/node?path=<script>', '/nowhere']) {
    const { headers } = await ask('GET', url);
    expect(headers['content-type']).toMatch(/^application\/(problem\+)?json/);
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'content-security-policy': expect.stringContaining("default-src 'none'"),
      'cache-control': expect.stringMatching(/^no-(store|cache)$/),
    });
  }
});

test('whoever tries tokens is stopped, and whoever has one is not', async () => {
  const { ask, clock } = await startApp();
  const guess = () =>
    ask('GET', '/v1/node?path=/', { role: 'none', headers: { authorization: 'Bearer guess' } });
  const answers = new Set<unknown>();
  for (let tries = 0; tries < 40; tries++) answers.add((await guess()).body!.code);
  expect([...answers]).toEqual(['unauthorized', 'rate_limited']);
  expect((await ask('GET', '/v1/node?path=/', { role: 'read' })).status).toBe(200);
  clock.advance(60_000);
  expect((await guess()).body!.code).toBe('unauthorized');
});

test('another site cannot make a browser ask', async () => {
  const { ask } = await startApp({ hosts: ['store.example'] });
  const refused = [
    { host: 'evil.example' },
    { host: 'localhost.evil.example:80' },
    { origin: 'http://evil.example' },
    { origin: 'https://127.0.0.1:7380' },
    { origin: 'null' },
  ];
  for (const headers of refused as Record<string, string>[]) {
    expect(await ask('GET', '/v1/node?path=/', { headers })).toMatchObject({
      status: 403,
      body: { code: 'forbidden_origin' },
    });
  }
  for (const host of ['localhost', 'LOCALHOST:1', '127.0.0.1', '[::1]:7380', 'store.example:80'])
    expect((await ask('GET', '/v1/node?path=/', { headers: { host } })).status).toBe(200);
});

test('every wrong request has its own clear answer', async () => {
  const { ask } = await startApp();
  const rows: [string, number, string, string?][] = [
    ['/v1/node', 400, 'bad_request', 'query.path'],
    ['/v1/node?path=/&more=1', 400, 'bad_request', 'query.more'],
    ['/v1/tree?path=/&depth=-1', 400, 'bad_request', 'query.depth'],
    ['/v1/tree?path=/&depth=abc', 400, 'bad_request', 'query.depth'],
    ['/v1/tree?path=/&limit=1000000', 400, 'bad_request', 'query.limit'],
    ['/v1/tree?path=/a&after=/b', 400, 'bad_request', 'query.after'],
    [`/v1/node?path=/${'a'.repeat(4000)}`, 400, 'bad_request', 'query.path'],
    ['/v1/node?path=relative', 400, 'bad_path'],
    ['/v1/node?path=/a//b', 400, 'bad_path'],
    ['/v1/node?path=/a/', 400, 'bad_path'],
    ['/v1/node?path=/a%00b', 400, 'bad_path'],
    ['/v1/events?path=@releaseDomain', 400, 'bad_path'],
    ['/v1/node?path=/none', 404, 'no_such_node'],
    ['/v2/node?path=/', 404, 'not_found'],
    ['/v1/node/extra', 404, 'not_found'],
  ];
  for (const [url, status, code, where] of rows) {
    const { body, headers } = await ask('GET', url);
    expect({ url, ...body }).toMatchObject({ url, status, code, type: `urn:stubdom0:error:${code}` });
    expect({ url, where: body!.where }).toEqual({ url, where });
    expect(headers['content-type']).toMatch(/^application\/problem\+json\b/);
  }
});

test('a wrong method is told the right ones', async () => {
  const { ask } = await startApp();
  expect(await ask('PATCH', '/v1/tree?path=/')).toMatchObject({
    status: 405,
    headers: { allow: 'GET, HEAD' },
    body: { code: 'method_not_allowed' },
  });
});

test("the store's errors have codes, and what is inside stays inside", async () => {
  const { ask, store, mistakes } = await startApp();
  const rows = {
    EACCES: 'access_denied',
    EPERM: 'access_denied',
    ECONNREFUSED: 'store_unavailable',
    ENOSYS: 'not_offered',
    EIO: 'store_error',
    weird: 'internal',
  };
  for (const [failure, code] of Object.entries(rows) as [string, keyof typeof errorCodes][]) {
    store.failure = failure;
    for (const resource of ['node', 'tree']) {
      const reply = await ask('GET', `/v1/${resource}?path=/`);
      expect(reply).toMatchObject({ status: errorCodes[code].status, body: { code } });
      expect(reply.text).not.toContain('secret detail');
    }
  }
  expect(mistakes).toHaveLength(2);
});

test('what the store refuses to do has codes, too', async () => {
  const { ask, store } = await startApp();
  const rows = {
    EACCES: 'access_denied',
    EROFS: 'read_only_store',
    ENOSPC: 'quota_exceeded',
    EQUOTA: 'quota_exceeded',
    E2BIG: 'too_large',
    EINVAL: 'store_refused',
    EAGAIN: 'conflict',
  };
  for (const [failure, code] of Object.entries(rows) as [string, keyof typeof errorCodes][]) {
    store.failure = failure;
    const reply = await ask('PUT', '/v1/node?path=/a', { body: { value: { text: '' } } });
    expect(reply).toMatchObject({ status: errorCodes[code].status, body: { code } });
  }
});

test('what is no request, or too much of one, is answered and costs only itself', async () => {
  const { app, ask } = await startApp();
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const send = async (bytes: string): Promise<string> => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(bytes);
    let reply = '';
    for await (const piece of socket) reply += piece;
    return reply;
  };
  const rows: [string, string][] = [
    ['\x16\x03\x01 TLS?\r\n\r\n', 'bad_request'],
    [`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(10_000)}\r\n\r\n`, 'headers_too_large'],
    ['GET /v1/node?path=/ HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n', 'forbidden_origin'],
    ['GET http://evil/v1/session HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', ''],
  ];
  for (const [bytes, code] of rows) expect(await send(bytes)).toContain(code);
  expect((await ask('GET', '/v1/node?path=/')).status).toBe(200);
});

test('beyond the rate it says when to come back', async () => {
  const { ask } = await startApp({ limits: { reads: 5, writes: 2 } });
  const statuses = async (method: 'GET' | 'PUT', role: 'read' | 'write'): Promise<number[]> => {
    const all: number[] = [];
    for (let times = 0; times < 7; times++) all.push((await ask(method, '/v1/node?path=/', { role })).status);
    return all;
  };
  expect((await statuses('GET', 'read')).filter((status) => status === 200)).toHaveLength(5);
  // Another token has its own.
  expect((await statuses('GET', 'write')).filter((status) => status === 200)).toHaveLength(5);
  expect((await statuses('PUT', 'write')).filter((status) => status === 400)).toHaveLength(2);
  expect(await ask('GET', '/v1/node?path=/')).toMatchObject({
    status: 429,
    headers: { 'retry-after': expect.anything() },
    body: { code: 'rate_limited' },
  });
});

test('the OpenAPI document describes every resource, names only listed errors, and has a page without the network', async () => {
  const { ask } = await startApp();
  const { text } = await ask('GET', '/openapi.json', { role: 'none' });
  const document = JSON.parse(text) as { openapi: string; paths: Record<string, object> };
  expect(document.openapi).toMatch(/^3\.1/);
  for (const path of [
    'session',
    'node',
    'permissions',
    'transactions',
    'tree',
    'search',
    'control',
    'events',
  ])
    expect(Object.keys(document.paths)).toContain(`/v1/${path}`);
  for (const [, code] of text.matchAll(/([a-z]+(?:_[a-z]+)+): [A-Z]/g))
    expect(Object.keys(errorCodes)).toContain(code);
  const page = await ask('GET', '/docs/', { role: 'none' });
  expect(page.text).toContain('swagger');
  expect(page.headers['content-security-policy']).not.toMatch(/https?:/);
});
