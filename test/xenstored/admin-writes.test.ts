// What xenstore-admin changes, and what it does not: conditions, lists of operations that are done whole or not at all, control commands, who
// may, and what the audit log has of it. The store is a small fake; admin-daemons.test.ts has real ones.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { auditTo } from '../../xenstored/admin/audit.ts';
import { errorCodes } from '../../xenstored/admin/errors.ts';
import { FakeClock, type FakeStore, type Method, startApp } from './admin-kit.ts';

const text = (value: string) => ({ value: { text: value } });
const textOf = (store: FakeStore, path: string) => store.nodes.get(path)?.value.toString();

test('a value is written, and the reply has the node with its new ETag', async () => {
  const { ask, store } = await startApp();
  const made = await ask('PUT', '/v1/node?path=/a/b', { body: text('one\\n') });
  expect(made).toMatchObject({ status: 201, body: { path: '/a/b', value: { text: 'one\\n' } } });
  expect(made.headers.etag).toBe(`"${made.body!.etag}"`);
  expect(textOf(store, '/a/b')).toBe('one\n');
  const bytes = Buffer.from([0, 255, 10]);
  const again = await ask('PUT', '/v1/node?path=/a/b', {
    body: { value: { base64: bytes.toString('base64') }, permissions: [{ domid: 3, letter: 'r' }] },
  });
  expect(again).toMatchObject({ status: 200, body: { permissions: [{ domid: 3, letter: 'r' }] } });
  expect(store.nodes.get('/a/b')?.value).toEqual(bytes);
  expect(again.headers.etag).not.toBe(made.headers.etag);
});

test('only if it is as the asker saw it last', async () => {
  const { ask, store } = await startApp();
  store.write('/a', 'one');
  const etag = String((await ask('GET', '/v1/node?path=/a')).headers.etag);
  const put = (headers: Record<string, string>, path = '/a') =>
    ask('PUT', `/v1/node?path=${path}`, { body: text('two'), headers });
  store.write('/a/below', '');
  expect(await put({ 'if-match': etag })).toMatchObject({
    status: 412,
    body: {
      code: 'precondition_failed',
      current: { path: '/a', value: { text: 'one' }, children: ['below'] },
    },
  });
  expect(await put({ 'if-none-match': '*' })).toMatchObject({ status: 412 });
  expect(await put({ 'if-match': '*' }, '/none')).toMatchObject({ status: 412, body: { current: null } });
  expect(textOf(store, '/a')).toBe('one');
  const now = String((await ask('GET', '/v1/node?path=/a')).headers.etag);
  expect((await put({ 'if-match': `"other", ${now}` })).status).toBe(200);
  expect((await put({ 'if-none-match': '*' }, '/new')).status).toBe(201);
});

test('a node is removed with all below it, once', async () => {
  const { ask, store } = await startApp();
  store.write('/a/b/c', '1');
  expect(await ask('DELETE', '/v1/node?path=/a', { headers: { 'if-match': '"wrong"' } })).toMatchObject({
    status: 412,
  });
  expect(await ask('DELETE', '/v1/node?path=/a')).toMatchObject({ status: 204, text: '' });
  expect([...store.nodes.keys()]).toEqual(['/']);
  expect(await ask('DELETE', '/v1/node?path=/a')).toMatchObject({
    status: 404,
    body: { code: 'no_such_node' },
  });
});

test('permissions are set on what is there', async () => {
  const { ask, store } = await startApp();
  store.write('/a', '1');
  const permissions = [
    { domid: 0, letter: 'n' },
    { domid: 7, letter: 'b' },
  ];
  expect((await ask('PUT', '/v1/permissions?path=/a', { body: { permissions } })).body).toMatchObject({
    permissions,
  });
  expect(store.nodes.get('/a')!.permissions).toEqual(permissions);
  expect(await ask('PUT', '/v1/permissions?path=/none', { body: { permissions } })).toMatchObject({
    status: 404,
  });
  for (const wrong of [
    [],
    [{ domid: 0 }],
    [{ domid: -1, letter: 'n' }],
    [{ domid: 0, letter: 'x' }],
    [{ domid: '0', letter: 'n' }],
  ])
    expect(await ask('PUT', '/v1/permissions?path=/a', { body: { permissions: wrong } })).toMatchObject({
      status: 400,
    });
});

test('a list of operations is done in its order, or not at all', async () => {
  const { ask, store } = await startApp();
  store.write('/old/x', '1');
  const post = (operations: unknown) => ask('POST', '/v1/transactions', { body: { operations } });
  const done = await post([
    { op: 'check', path: '/new', ifNoneMatch: '*' },
    { op: 'write', path: '/new/a', ...text('1') },
    { op: 'mkdir', path: '/new/dir', permissions: [{ domid: 5, letter: 'n' }] },
    { op: 'remove', path: '/old' },
    { op: 'remove', path: '/never' },
    { op: 'write', path: '/new/a', ...text('2') },
  ]);
  expect(done.status).toBe(200);
  expect(done.body!.results!.map(({ existed, node }) => [existed, node?.value.text])).toEqual([
    [false, ''],
    [false, '2'],
    [false, ''],
    [true, undefined],
    [false, undefined],
    [true, '2'],
  ]);
  const before = [...store.nodes.keys()];
  const rows: [unknown[], number, string, number?][] = [
    [
      [
        { op: 'remove', path: '/new' },
        { op: 'check', path: '/new', ifMatch: '*' },
      ],
      412,
      'precondition_failed',
      1,
    ],
    [
      [
        { op: 'write', path: '/y', ...text('') },
        { op: 'setPermissions', path: '/none', permissions: [{ domid: 0, letter: 'n' }] },
      ],
      404,
      'no_such_node',
      1,
    ],
    [
      [
        { op: 'mkdir', path: '/y' },
        { op: 'write', path: 'bad', ...text('') },
      ],
      400,
      'bad_path',
      1,
    ],
    [
      [
        { op: 'mkdir', path: '/y' },
        { op: 'write', path: '/z', value: { text: '\\q' } },
      ],
      400,
      'bad_request',
      1,
    ],
  ];
  for (const [operations, status, code, operation] of rows)
    expect(await post(operations)).toMatchObject({ status, body: { code, operation } });
  expect([...store.nodes.keys()]).toEqual(before);
});

test('what comes in between is a conflict in the end, or none', async () => {
  const { ask, store } = await startApp();
  let others = 2;
  store.meanwhile = () => {
    if (others-- > 0)
      store.nodes = new Map(store.nodes).set('/other', { value: Buffer.from(`${others}`), permissions: [] });
  };
  expect((await ask('PUT', '/v1/node?path=/mine', { body: text('1') })).status).toBe(201);
  others = Number.POSITIVE_INFINITY;
  expect(await ask('PUT', '/v1/node?path=/mine', { body: text('2') })).toMatchObject({
    status: 409,
    body: { code: 'conflict' },
  });
  expect(textOf(store, '/mine')).toBe('1');
});

test('hostile and mistaken bodies are refused, each with where it is wrong', async () => {
  const { ask, store } = await startApp();
  const before = [...store.nodes];
  const rows: [string, unknown, string][] = [
    ['/v1/node?path=/a', {}, 'body.value'],
    ['/v1/node?path=/a', { value: 'text' }, 'body.value'],
    ['/v1/node?path=/a', { value: { text: 5 } }, 'body.value'],
    ['/v1/node?path=/a', { value: { text: 'a', base64: 'YQ==' } }, 'body.value'],
    ['/v1/node?path=/a', { value: { base64: 'Y' } }, 'body.value.base64'],
    ['/v1/node?path=/a', { value: { text: 'a\\' } }, 'body.value.text'],
    ['/v1/node?path=/a', { value: { text: '\ud800' } }, 'body.value.text'],
    ['/v1/node?path=/a', { value: { text: '' }, etag: 'x' }, 'body.etag'],
    ['/v1/node?path=/a&force=1', { value: { text: '' } }, 'query.force'],
  ];
  for (const [url, body, where] of rows)
    expect({ body, ...(await ask('PUT', url, { body })).body }).toMatchObject({
      body,
      code: 'bad_request',
      where: expect.stringContaining(where),
    });
  const lists: [unknown, string][] = [
    [[], 'body.operations'],
    [[{ op: 'format', path: '/' }], 'body.operations.0'],
    [[{ op: 'mkdir' }], 'body.operations.0.path'],
    [
      [
        { op: 'mkdir', path: '/a' },
        { op: 'remove', path: '/a', value: { text: '' } },
      ],
      'body.operations.1.value',
    ],
    [Array.from({ length: 1001 }, () => ({ op: 'check', path: '/' })), 'body.operations'],
  ];
  for (const [operations, where] of lists)
    expect(await ask('POST', '/v1/transactions', { body: { operations } })).toMatchObject({
      status: 400,
      body: { where },
    });
  const raw: [string, string, number, string][] = [
    ['{"value":', 'application/json', 400, 'bad_request'],
    ['', 'application/json', 400, 'bad_request'],
    ['[]', 'application/json', 400, 'bad_request'],
    ['{"__proto__":{"value":1}}', 'application/json', 400, 'bad_request'],
    ['a=1', 'application/x-www-form-urlencoded', 415, 'unsupported_media_type'],
    [`{"value":{"text":"${'x'.repeat(2 << 20)}"}}`, 'application/json', 413, 'too_large'],
  ];
  for (const [body, type, status, code] of raw)
    expect(await ask('PUT', '/v1/node?path=/a', { body, headers: { 'content-type': type } })).toMatchObject({
      status,
      body: { code },
    });
  expect([...store.nodes]).toEqual(before);
});

test('the read token changes nothing, and what it tried is on record', async () => {
  const { ask, store, audited } = await startApp();
  const before = [...store.nodes];
  for (const role of ['read', 'none'] as const) {
    const code = role === 'read' ? 'write_token_needed' : 'unauthorized';
    expect(await ask('PUT', '/v1/node?path=/a', { role, body: text('') })).toMatchObject({ body: { code } });
    expect(await ask('DELETE', '/v1/node?path=/a', { role })).toMatchObject({ body: { code } });
    expect(await ask('POST', '/v1/transactions', { role, body: {} })).toMatchObject({ body: { code } });
    expect(await ask('POST', '/v1/control', { role, body: { command: 'check' } })).toMatchObject({
      body: { code },
    });
  }
  expect([...store.nodes]).toEqual(before);
  expect(store.commands).toEqual([]);
  expect(audited).toHaveLength(8);
  expect(audited[0]).toMatchObject({
    role: 'read',
    token: expect.stringMatching(/^[0-9a-f]{8}$/),
    address: '127.0.0.1',
    action: 'putNode',
    what: { path: '/a' },
    status: 403,
    code: 'write_token_needed',
  });
});

test('nobody fills the audit log who may change nothing: without a token, as another site, with the read token', async () => {
  const { ask, audited } = await startApp();
  const elsewhere = { origin: 'http://evil.example', 'content-type': 'text/plain' };
  for (let tries = 0; tries < 100; tries++) {
    await ask('DELETE', '/v1/node?path=/a', { role: 'none' });
    await ask('GET', '/docs?secrets=show', { role: 'none' });
    await ask('POST', '/v1/transactions', { role: 'none', headers: elsewhere });
    await ask('PUT', '/v1/node?path=/a', { role: 'none', headers: { host: 'evil.example' } });
    await ask('PUT', '/v1/node?path=/a', { role: 'read', body: {} });
    await ask('GET', '/v1/node?path=/&secrets=show', { role: 'read' });
  }
  expect(audited.length).toBeLessThan(100);
  expect(new Set(audited.map(({ code }) => code))).toEqual(
    new Set(['unauthorized', 'forbidden_origin', 'write_token_needed']),
  );
  expect((await ask('GET', '/v1/node?path=/', { role: 'read' })).status).toBe(200);
});

test('secrets are not kept by a browser', async () => {
  const { ask } = await startApp();
  for (const url of ['/v1/node?path=/', '/v1/tree?path=/', '/v1/search?q=x']) {
    expect((await ask('GET', `${url}&secrets=show`)).headers['cache-control']).toBe('no-store');
  }
  expect((await ask('GET', '/v1/node?path=/')).headers['cache-control']).toBe('no-cache');
});

test('the audit log has every change, and no secret', async () => {
  const lines: string[] = [];
  const { ask } = await startApp({
    audit: auditTo(
      (line) => lines.push(line),
      new FakeClock(),
      () => {},
    ),
  });
  await ask('PUT', '/v1/node?path=/name', { body: text('x'.repeat(100)) });
  await ask('PUT', '/v1/node?path=/vfb/0/vnc-passwd', { body: text('hunter2') });
  await ask('POST', '/v1/transactions', {
    body: {
      operations: [
        { op: 'write', path: '/token', ...text('hunter3') },
        { op: 'remove', path: '/name' },
      ],
    },
  });
  await ask('GET', '/v1/node?path=/token&secrets=show');
  await ask('GET', '/v1/node?path=/token');
  expect(lines.join('')).not.toContain('hunter');
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    {
      time: '1970-01-01T00:00:00.000Z',
      role: 'write',
      action: 'putNode',
      what: { op: 'write', path: '/name', value: 'x'.repeat(64), bytes: 100 },
      status: 201,
    },
    { action: 'putNode', what: { path: '/vfb/0/vnc-passwd', bytes: 7 } },
    {
      action: 'postTransaction',
      what: { operations: [{ op: 'write', bytes: 7 }, { op: 'remove' }] },
      status: 200,
    },
    { action: 'getNode', what: { path: '/token', secrets: 'show' }, status: 200 },
  ]);
});

test('nothing is changed that cannot be recorded', async () => {
  let full = true;
  const mistakes: unknown[] = [];
  const write = (): void => {
    if (full) throw new Error('ENOSPC');
  };
  const audit = auditTo(write, new FakeClock(), (error) => mistakes.push(error));
  const { ask, store } = await startApp({ audit });
  await ask('PUT', '/v1/node?path=/first', { body: text('') });
  expect(await ask('PUT', '/v1/node?path=/second', { body: text('') })).toMatchObject({
    status: 503,
    body: { code: 'audit_unavailable' },
  });
  expect(store.nodes.has('/second')).toBe(false);
  full = false;
  // The refusal itself could be recorded.
  await ask('PUT', '/v1/node?path=/second', { body: text('') });
  expect((await ask('PUT', '/v1/node?path=/third', { body: text('') })).status).toBe(201);
  expect(mistakes).toHaveLength(1);
});

test('control commands: those of the list, and those that a flag adds', async () => {
  const { ask, store } = await startApp({ control: ['memreport'] });
  const control = (command: string, ...args: string[]) =>
    ask('POST', '/v1/control', { body: { command, args } });
  expect(await control('quota', 'set', 'nodes', '2000')).toMatchObject({
    status: 200,
    body: { text: 'did quota' },
  });
  expect((await control('memreport')).status).toBe(200);
  for (const command of ['live-update', 'logfile', 'constructor', ''])
    expect((await control(command)).status).toBe(command === '' ? 400 : 403);
  expect(store.commands).toEqual([['quota', 'set', 'nodes', '2000'], ['memreport']]);
});

test('no body whatsoever is a mistake of ours', async () => {
  const { ask, mistakes } = await startApp();
  const near = fc.record(
    {
      operations: fc.oneof(
        fc.jsonValue(),
        fc.array(fc.oneof(fc.jsonValue(), fc.dictionary(word, fc.jsonValue()))),
      ),
      value: fc.oneof(fc.jsonValue(), fc.dictionary(word, fc.oneof(fc.string(), fc.jsonValue()))),
      permissions: fc.oneof(fc.jsonValue(), fc.array(fc.dictionary(word, fc.jsonValue()))),
      command: fc.jsonValue(),
      args: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(route, fc.oneof(near, fc.jsonValue()), async ([method, url], body) => {
      const { status, body: answer } = await ask(method, url, { body });
      expect([200, 201, 400, 403, 404, 412]).toContain(status);
      if (status >= 400) expect(Object.keys(errorCodes)).toContain(answer!.code);
    }),
    { numRuns: 150 },
  );
  expect(mistakes).toEqual([]);
});

const word = fc.constantFrom(
  'op',
  'path',
  'value',
  'text',
  'base64',
  'permissions',
  'domid',
  'letter',
  'ifMatch',
  'x',
);
const route = fc.constantFrom<[Method, string]>(
  ['PUT', '/v1/node?path=/a'],
  ['PUT', '/v1/permissions?path=/'],
  ['POST', '/v1/transactions'],
  ['POST', '/v1/control'],
);
