// Search and secrets: what is found and what is not, page by page; whose value nobody sees without the right to; and that no way around leads
// to it.
import { expect, test } from 'vitest';
import { search } from '../../xenstored/admin/search.ts';
import { secretsOf } from '../../xenstored/admin/secrets.ts';
import { comparePaths } from '../../xenstored/admin/walk.ts';
import { FakeClock, FakeStore, startApp } from './admin-kit.ts';

const found = async (ask: Awaited<ReturnType<typeof startApp>>['ask'], query: string): Promise<unknown> =>
  (await ask('GET', `/v1/search?${query}`)).body!.nodes!.map(({ path }) => path);

test('nodes are found by their names and by their values', async () => {
  const { ask, store } = await startApp();
  store.write('/local/domain/1/name', 'Web server');
  store.write('/local/domain/1/device/vbd/51712/state', '4');
  store.write('/vm/web/uuid', 'x');
  expect(await found(ask, 'q=WEB')).toEqual(['/local/domain/1/name', '/vm/web']);
  expect(await found(ask, 'q=web&in=value')).toEqual(['/local/domain/1/name']);
  expect(await found(ask, 'q=web&in=path')).toEqual(['/vm/web']);
  expect(await found(ask, 'q=device/vbd')).toEqual(['/local/domain/1/device/vbd']);
  expect(await found(ask, 'q=web&under=/local')).toEqual(['/local/domain/1/name']);
  expect(await found(ask, 'q=none')).toEqual([]);
  expect(await ask('GET', '/v1/search?q=a&under=/none')).toMatchObject({ status: 404 });
  for (const query of ['', 'q=', 'q=a&in=name', 'q=a&limit=0', 'q=a&under=/vm&after=/local'])
    expect(await ask('GET', `/v1/search?${query}`)).toMatchObject({ status: 400 });
});

test('page by page everything is found once', async () => {
  const { ask, store } = await startApp();
  for (let n = 0; n < 25; n++) store.write(`/data/${n}/hit`, '');
  const all: string[] = [];
  for (let query: string | undefined = 'q=hit&limit=10'; query !== undefined; ) {
    const { body } = await ask('GET', `/v1/search?${query}`);
    all.push(...body!.nodes!.map(({ path }) => path));
    query = body!.next === undefined ? undefined : `q=hit&limit=10&after=${body!.next}`;
  }
  expect(all).toEqual(Array.from({ length: 25 }, (_, n) => `/data/${n}/hit`));
});

test('a search has its bounds', async () => {
  const { ask, store, clock } = await startApp();
  for (let n = 0; n < 3_000; n++) store.nodes.set(`/${n}`, { value: Buffer.alloc(0), permissions: [] });
  const read = store.live.directory;
  // Each node takes a millisecond.
  Object.defineProperty(store, 'live', {
    value: {
      ...store.live,
      directory: (path: string) => {
        clock.time++;
        return path === '/' ? read(path) : Promise.resolve([]);
      },
    },
  });
  const { body } = await ask('GET', '/v1/search?q=none');
  expect(body).toMatchObject({ nodes: [], next: expect.stringMatching(/^\/\d+$/) });
});

test('a secret is shown to nobody but the writer who asks for it', async () => {
  const { ask, store, audited } = await startApp();
  const path = '/local/domain/0/backend/vfb/1/0/vnc-passwd';
  store.write(path, 'hunter2');
  store.write('/local/key/material', 'hunter2');
  const masked = { text: '', base64: '', masked: true };
  for (const role of ['read', 'write'] as const) {
    expect((await ask('GET', `/v1/node?path=${path}`, { role })).body).toMatchObject({ value: masked });
    for (const url of [
      '/v1/tree?path=/',
      '/v1/search?q=vnc',
      '/v1/search?q=hunter',
      '/v1/search?q=unter2&in=value',
    ])
      expect((await ask('GET', url, { role })).text).not.toMatch(/hunter|aHVudGVyMg/);
  }
  expect(await found(ask, 'q=hunter')).toEqual([]);
  expect(audited).toEqual([]);
  for (const url of [`/v1/node?path=${path}`, '/v1/tree?path=/', '/v1/search?q=hunter']) {
    const join = url.includes('?') ? '&' : '?';
    expect(await ask('GET', `${url}${join}secrets=show`, { role: 'read' })).toMatchObject({
      status: 403,
      body: { code: 'write_token_needed' },
    });
    expect((await ask('GET', `${url}${join}secrets=show`)).text).toContain('hunter2');
  }
  // Each refused once, and shown once.
  expect(audited.map(({ action, status }) => `${action} ${status}`)).toEqual(
    ['getNode', 'getTree', 'search'].flatMap((action) => [`${action} 403`, `${action} 200`]),
  );
  // Nor in what a change answers.
  const put = await ask('PUT', `/v1/node?path=${path}`, {
    body: { value: { text: 'hunter3' } },
    headers: { 'if-match': '"x"' },
  });
  expect(put).toMatchObject({ status: 412, body: { current: { value: masked } } });
  const post = await ask('POST', '/v1/transactions', {
    body: { operations: [{ op: 'write', path, value: { text: 'hunter3' } }] },
  });
  expect(post.text).not.toContain('hunter');
});

test('an ETag tells nothing of a secret', async () => {
  const { ask, store } = await startApp();
  store.write('/guess', 'hunter2');
  store.write('/secret', 'hunter2');
  const etags = [
    (await ask('GET', '/v1/node?path=/guess')).body!.etag,
    (await ask('GET', '/v1/node?path=/secret')).body!.etag,
  ];
  const other = await startApp({ store });
  etags.push((await other.ask('GET', '/v1/node?path=/secret')).body!.etag);
  expect(new Set(etags).size).toBe(3);
});

test('what counts as a secret', () => {
  const { isSecret } = secretsOf(['Pincode']);
  for (const path of [
    '/a/vnc-passwd',
    '/vm/x/vncpasswd',
    '/a/VNC-Password',
    '/a/api_key',
    '/a/secret/below',
    '/a/psk',
    '/a/my-pincode',
  ])
    expect([path, isSecret(path)]).toEqual([path, true]);
  for (const path of ['/a/keyboard', '/local/domain/0/name', '/a/public-key', '/a/ring-ref', '/pass'])
    expect([path, isSecret(path)]).toEqual([path, false]);
});

test('the order of paths is the order of the walk', () => {
  const sorted = ['/', '/0', '/0/z', '/2', '/10', '/10/a', '/10/a/b', '/10/b', '/a', '/a/1', '/a-b', '/b'];
  expect([...sorted].reverse().sort(comparePaths)).toEqual(sorted);
});

test('as many searches at a time as it makes, and no more', async () => {
  const store = new FakeStore();
  let go = (): void => {};
  const held = new Promise<void>((resolve) => {
    go = resolve;
  });
  const { live } = store;
  Object.defineProperty(store, 'live', {
    value: { ...live, directory: (path: string) => held.then(() => live.directory(path)) },
  });
  const { ask } = await startApp({ store });
  const searches = Array.from({ length: 5 }, () => ask('GET', '/v1/search?q=a'));
  expect((await Promise.race(searches)).body).toMatchObject({ code: 'too_many_searches' });
  go();
  expect((await Promise.all(searches)).map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 503]);
});

test('whoever goes away ends the search', async () => {
  const store = new FakeStore();
  for (let n = 0; n < 1_000; n++) store.nodes.set(`/${n}`, { value: Buffer.alloc(0), permissions: [] });
  const gone = new AbortController();
  let looked = 0;
  const view = {
    ...store.live,
    directory: async (path: string) => {
      if (++looked === 100) gone.abort();
      return path === '/' ? await store.live.directory('/') : [];
    },
  };
  const wanted = { text: 'x', in: 'path', under: '/', limit: 10, secrets: false } as const;
  const options = { secrets: secretsOf(), clock: new FakeClock(), signal: gone.signal };
  await expect(search(view, wanted, options)).rejects.toThrow();
  expect(looked).toBeLessThan(150);
});
