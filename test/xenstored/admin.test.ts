// xenstore-admin as its user sees it: what each resource answers, who is turned away and how, and that a store of any size and a reader of
// any speed cost it only so much. The store is a small fake; time is an argument.
import { afterEach, expect, test } from 'vitest';
import type { Clock } from '../../osdep/clock.ts';
import { soundToken, Token } from '../../xenstored/admin/access.ts';
import { type App, buildApp } from '../../xenstored/admin/app.ts';
import { errorCodes } from '../../xenstored/admin/errors.ts';
import { BACKLOG_MAX, EventStream, HEARTBEAT_MS, STALL_MS } from '../../xenstored/admin/events.ts';
import type { Store, StoreView } from '../../xenstored/admin/store.ts';
import { encodeValue } from '../../xenstored/admin/value.ts';

const secret = 'a-token-of-some-length';

class FakeStore implements Store, StoreView {
  readonly nodes = new Map<string, Uint8Array>([['/', Buffer.alloc(0)]]);
  failure: string | undefined;
  readonly #listeners = new Set<(path: string) => void>();

  write(path: string, value: string | Uint8Array): void {
    for (let at = path.indexOf('/', 1); at > 0; at = path.indexOf('/', at + 1)) {
      if (!this.nodes.has(path.slice(0, at))) this.nodes.set(path.slice(0, at), Buffer.alloc(0));
    }
    this.nodes.set(path, Buffer.from(value as string));
    for (const listener of this.#listeners) listener(path);
  }
  async read(path: string): Promise<Uint8Array> {
    const value = this.nodes.get(path);
    if (this.failure || !value)
      throw Object.assign(new Error('secret detail'), { code: this.failure ?? 'ENOENT' });
    return value;
  }
  async directory(path: string): Promise<string[]> {
    const start = path === '/' ? '/' : `${path}/`;
    return [...this.nodes.keys()]
      .filter((other) => other !== '/' && other.startsWith(start) && !other.slice(start.length).includes('/'))
      .map((other) => other.slice(start.length));
  }
  async permissions(): Promise<{ domid: number; letter: 'n' }[]> {
    return [{ domid: 0, letter: 'n' }];
  }
  snapshot<T>(read: (view: StoreView) => Promise<T>): Promise<T> {
    return read(this);
  }
  async *changes(path: string, signal: AbortSignal): AsyncIterable<string> {
    if (this.failure) throw Object.assign(new Error('secret detail'), { code: this.failure });
    const queue = [path];
    let wake = (): void => {};
    const listener = (changed: string): void => {
      if (changed.startsWith(path)) queue.push(changed);
      wake();
    };
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => wake());
    while (!signal.aborted) {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) yield next;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    this.#listeners.delete(listener);
  }
}

class FakeClock implements Clock {
  time = 0;
  readonly #due: { at: number; callback: () => void }[] = [];
  now(): number {
    return this.time;
  }
  wallNow(): number {
    return this.time;
  }
  after(delayMs: number, callback: () => void): () => void {
    const entry = { at: this.time + delayMs, callback };
    this.#due.push(entry);
    return () => {
      const index = this.#due.indexOf(entry);
      if (index >= 0) this.#due.splice(index, 1);
    };
  }
  advance(ms: number): void {
    this.time += ms;
    for (const entry of this.#due.filter(({ at }) => at <= this.time)) {
      this.#due.splice(this.#due.indexOf(entry), 1);
      entry.callback();
    }
  }
  get waiting(): number {
    return this.#due.length;
  }
}

const apps: App[] = [];
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close();
});

async function start(
  store = new FakeStore(),
): Promise<{ app: App; store: FakeStore; clock: FakeClock; mistakes: unknown[] }> {
  const clock = new FakeClock();
  const mistakes: unknown[] = [];
  const app = await buildApp({
    store,
    clock,
    token: new Token(secret),
    failed: (error) => mistakes.push(error),
  });
  apps.push(app);
  return { app, store, clock, mistakes };
}

const authorized = { authorization: `Bearer ${secret}`, host: '127.0.0.1:7380' };

async function get(
  app: App,
  url: string,
  headers: Record<string, string> = authorized,
): Promise<{ status: number; body: unknown }> {
  const reply = await app.inject({ method: 'GET', url, headers });
  return { status: reply.statusCode, body: reply.json() };
}

test('a node: value, permissions, children', async () => {
  const { app, store } = await start();
  store.write('/local/domain/0/name', 'Domain-0');
  expect(await get(app, '/v1/node?path=/local/domain/0/name')).toEqual({
    status: 200,
    body: {
      path: '/local/domain/0/name',
      value: { text: 'Domain-0', base64: 'RG9tYWluLTA=' },
      permissions: [{ domid: 0, letter: 'n' }],
      children: [],
    },
  });
  expect(await get(app, '/v1/node?path=/local')).toMatchObject({ body: { children: ['domain'] } });
  expect(await get(app, '/v1/node?path=/')).toMatchObject({ body: { children: ['local'] } });
});

test('a value of any bytes survives', () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  const { text, base64 } = encodeValue(bytes);
  expect(Buffer.from(base64, 'base64')).toEqual(Buffer.from(bytes));
  // The text is as telling: undoing its escapes gives the same bytes.
  const names: Record<string, number> = { n: 10, r: 13, t: 9, '\\': 92 };
  const back = [...text.matchAll(/\\x([0-9a-f]{2})|\\(.)|(.)/g)].map(([, hex, name, plain]) =>
    hex ? Number.parseInt(hex, 16) : name ? names[name] : plain!.charCodeAt(0),
  );
  expect(back).toEqual([...bytes]);
});

test('a subtree: parents first, as deep and as large as asked', async () => {
  const { app, store } = await start();
  for (const domid of [0, 1, 2]) store.write(`/local/domain/${domid}/name`, `d${domid}`);
  const paths = async (query: string): Promise<{ paths: string[]; truncated: string }> => {
    const { body } = (await get(app, `/v1/tree?${query}`)) as {
      body: { nodes: { path: string }[]; truncated: string };
    };
    return { paths: body.nodes.map(({ path }) => path), truncated: body.truncated };
  };
  expect(await paths('path=/local')).toEqual({
    paths: [
      '/local',
      '/local/domain',
      ...[0, 1, 2].flatMap((domid) => [`/local/domain/${domid}`, `/local/domain/${domid}/name`]),
    ],
    truncated: 'no',
  });
  expect((await paths('path=/local&depth=1')).paths).toEqual(['/local', '/local/domain']);
  expect(await paths('path=/local&limit=3')).toEqual({
    paths: ['/local', '/local/domain', '/local/domain/0'],
    truncated: 'nodes',
  });
});

test('a reply stays small however much the store holds', async () => {
  const { app, store } = await start();
  for (let node = 0; node < 5_000; node++) store.write(`/data/${node}`, Buffer.alloc(2048, 255));
  const reply = await app.inject({ url: '/v1/tree?path=/data&limit=10000', headers: authorized });
  expect(reply.json().truncated).toBe('bytes');
  expect(reply.rawPayload.length).toBeLessThan(16 << 20);
});

test('without the token nothing is told', async () => {
  const { app } = await start();
  for (const authorization of [
    '',
    'Bearer',
    'Bearer wrong',
    `Basic ${secret}`,
    `Bearer ${secret}x`,
    secret,
  ]) {
    expect(await get(app, '/v1/node?path=/', { host: 'localhost', authorization })).toMatchObject({
      status: 401,
      body: { error: { code: 'unauthorized' } },
    });
  }
  expect(await get(app, '/nowhere', { host: 'localhost' })).toMatchObject({ status: 401 });
});

test('another site cannot make a browser ask', async () => {
  const { app } = await start();
  for (const headers of [
    { host: 'evil.example' },
    { host: 'localhost.evil.example:80' },

    { origin: 'http://evil.example' },
  ]) {
    expect(await get(app, '/v1/node?path=/', { ...authorized, ...headers })).toMatchObject({
      status: 403,
      body: { error: { code: 'forbidden_origin' } },
    });
  }
  for (const host of ['localhost', 'LOCALHOST:1', '127.0.0.1', '[::1]:7380']) {
    expect(await get(app, '/v1/node?path=/', { ...authorized, host })).toMatchObject({ status: 200 });
  }
});

test('every wrong request has its own clear answer', async () => {
  const { app } = await start();
  const rows: [string, number, string][] = [
    ['/v1/node', 400, 'bad_request'],
    ['/v1/node?path=/&more=1', 400, 'bad_request'],
    ['/v1/tree?path=/&depth=-1', 400, 'bad_request'],
    ['/v1/tree?path=/&depth=abc', 400, 'bad_request'],
    ['/v1/tree?path=/&limit=1000000', 400, 'bad_request'],
    [`/v1/node?path=/${'a'.repeat(4000)}`, 400, 'bad_request'],
    ['/v1/node?path=relative', 400, 'bad_path'],
    ['/v1/node?path=/a//b', 400, 'bad_path'],
    ['/v1/node?path=/a/', 400, 'bad_path'],
    ['/v1/node?path=/a%00b', 400, 'bad_path'],
    ['/v1/events?path=@releaseDomain', 400, 'bad_path'],
    ['/v1/node?path=/none', 404, 'no_such_node'],
    ['/v2/node?path=/', 404, 'not_found'],
    ['/v1/node/extra', 404, 'not_found'],
  ];
  for (const [url, status, code] of rows) {
    expect({ url, ...(await get(app, url)) }).toMatchObject({ url, status, body: { error: { code } } });
  }
});

test('it can only be read', async () => {
  const { app } = await start();
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'] as const) {
    const reply = await app.inject({ method, url: '/v1/node?path=/', headers: authorized });
    expect(reply.statusCode).toBe(405);
    expect(reply.headers.allow).toBe('GET');
    expect(reply.json().error.code).toBe('method_not_allowed');
  }
});

test('a body that is no JSON, or too much of it, is refused clearly', async () => {
  const { app } = await start();
  const post = (payload: string) =>
    app.inject({
      method: 'POST',
      url: '/v1/node',
      headers: { ...authorized, 'content-type': 'application/json' },
      payload,
    });
  expect((await post('{"path":')).json().error.code).toBe('bad_request');
  expect((await post(`"${'x'.repeat(100_000)}"`)).json().error.code).toBe('too_large');
});

test("the store's errors have codes, and what is inside stays inside", async () => {
  const { app, store, mistakes } = await start();
  const rows = {
    EACCES: 'access_denied',
    ECONNREFUSED: 'store_unavailable',
    EIO: 'store_error',
    weird: 'internal',
  };
  for (const [failure, code] of Object.entries(rows) as [string, keyof typeof errorCodes][]) {
    store.failure = failure;
    for (const resource of ['node', 'tree', 'events']) {
      const reply = await app.inject({ url: `/v1/${resource}?path=/`, headers: authorized });
      expect(reply.json().error.code).toBe(code);
      expect(reply.statusCode).toBe(errorCodes[code].status);
      expect(reply.body).not.toContain('secret detail');
    }
  }
  expect(mistakes).toHaveLength(3);
});

test('the OpenAPI document describes every resource and names only listed errors', async () => {
  const { app } = await start();
  const reply = await app.inject({ url: '/openapi.json', headers: { host: 'localhost' } });
  const document = reply.json();
  expect(document.openapi).toMatch(/^3\.1/);
  expect(Object.keys(document.paths)).toEqual(['/v1/node', '/v1/tree', '/v1/events']);
  const codes = [...reply.body.matchAll(/([a-z_]+): [A-Z]/g)].map(([, code]) => code!);
  for (const code of codes.filter((name) => name.includes('_')))
    expect(Object.keys(errorCodes)).toContain(code);
});

test('tokens that could be guessed are refused', () => {
  expect(() => soundToken('short', 'FILE')).toThrow('FILE: a token is 16 to 512');
  expect(() => soundToken('with a blank in it, long', 'FILE')).toThrow();
  expect(soundToken(secret, 'FILE')).toBe(secret);
});

test('changes arrive as events while the reader is there, on a real connection', async () => {
  const { app, store, clock } = await start();
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const stop = new AbortController();
  const reply = await fetch(`${url}/v1/events?path=/local`, {
    headers: { authorization: `Bearer ${secret}` },
    signal: stop.signal,
  });
  expect(reply.headers.get('content-type')).toBe('text/event-stream');
  const text = reply.body!.pipeThrough(new TextDecoderStream()).getReader();
  let seen = '';
  const until = async (wanted: string): Promise<void> => {
    while (!seen.includes(wanted)) seen += (await text.read()).value ?? '';
  };
  await until('event: change\ndata: {"path":"/local"}\n\n');
  store.write('/local/domain/7/name', 'seven');
  await until('{"path":"/local/domain/7/name"}');
  clock.advance(HEARTBEAT_MS);
  await until(': still here\n\n');
  stop.abort();
  await expect(text.read()).rejects.toThrow();
});

test('as many streams as it keeps, and no more', async () => {
  const { app } = await start();
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const stop = new AbortController();
  const open = (): Promise<Response> =>
    fetch(`${url}/v1/events?path=/`, { headers: { authorization: `Bearer ${secret}` }, signal: stop.signal });
  const replies = await Promise.all(Array.from({ length: 65 }, open));
  expect(replies.map((reply) => reply.status).filter((status) => status !== 200)).toEqual([503]);
  stop.abort();
});

/** A pipe whose reader can be made to stop. */
class FakePipe {
  text = '';
  full = false;
  ended: 'end' | 'destroy' | undefined;
  write(text: string): boolean {
    this.text += text;
    return !this.full;
  }
  end(): void {
    this.ended ??= 'end';
  }
  destroy(): void {
    this.ended = 'destroy';
  }
  get events(): string[] {
    return [...this.text.matchAll(/data: (.*)\n/g)].map(([, data]) => data!);
  }
}

test('a reader that falls behind is told each path once, when it comes back', () => {
  const pipe = new FakePipe();
  const stream = new EventStream(pipe, new FakeClock());
  pipe.full = true;
  stream.change('/first');
  for (let round = 0; round < 10_000; round++) stream.change(`/hot/${round % 3}`);
  expect(pipe.events).toEqual(['{"path":"/first"}']);
  pipe.full = false;
  stream.drained();
  expect(pipe.events).toEqual([
    '{"path":"/first"}',
    '{"path":"/hot/0"}',
    '{"path":"/hot/1"}',
    '{"path":"/hot/2"}',
  ]);
});

test('one that stays behind is dropped, and told why', () => {
  const pipe = new FakePipe();
  const clock = new FakeClock();
  const stream = new EventStream(pipe, clock);
  pipe.full = true;
  let taken = 0;
  while (stream.change(`/node/${taken}`)) taken++;
  expect(taken).toBe(BACKLOG_MAX + 1);
  expect(pipe.text).toContain('event: dropped\ndata: {"reason":"more than 1000 changes behind"}');
  expect(pipe.ended).toBe('end');
  expect(clock.waiting).toBe(0);
});

test('one that takes nothing at all is cut off', () => {
  const pipe = new FakePipe();
  const clock = new FakeClock();
  const stream = new EventStream(pipe, clock);
  pipe.full = true;
  stream.change('/a');
  for (let passed = 0; passed <= STALL_MS; passed += HEARTBEAT_MS) clock.advance(HEARTBEAT_MS);
  expect(pipe.ended).toBe('destroy');
  expect(stream.over).toBe(true);
  expect(clock.waiting).toBe(0);
});
