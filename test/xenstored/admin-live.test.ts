// Changes as they happen, as a browser is told of them: in batches, with who made them, resumed after a lost connection, never growing with a slow
// reader; and that nobody looking costs the daemon nothing. On a real connection, beside our daemon.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Tokens } from '../../xenstored/admin/access.ts';
import { type App, buildApp } from '../../xenstored/admin/app.ts';
import { storeOf } from '../../xenstored/admin/source.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { SimHost } from '../conformance/simhost.ts';
import { ask } from './daemonprocess.ts';

const secret = 'a-token-of-some-length';
const authorized = { authorization: `Bearer ${secret}` };

/** Real, but for what takes long: an hour passes when a test says so. */
class Clock {
  skipped = 0;
  readonly #waiting = new Map<() => void, number>();
  now(): number {
    return performance.now() + this.skipped;
  }
  wallNow(): number {
    return Date.now() + this.skipped;
  }
  after(delayMs: number, callback: () => void): () => void {
    const run = (): void => {
      if (this.#waiting.delete(run)) callback();
    };
    this.#waiting.set(run, this.now() + delayMs);
    const timer = setTimeout(run, delayMs).unref();
    return () => {
      clearTimeout(timer);
      this.#waiting.delete(run);
    };
  }
  skip(ms: number): void {
    this.skipped += ms;
    for (const [run, at] of [...this.#waiting]) if (at <= this.now()) run();
  }
}

let host: SimHost;
let client: Client;
let app: App;
let url: string;
let clock: Clock;
const cleanups: (() => unknown)[] = [];

beforeEach(async () => {
  host = await SimHost.start(['--database', 'memory']);
  const own = await connect({ path: host.socketPath });
  client = await connect({ path: host.socketPath });
  clock = new Clock();
  app = await buildApp({
    store: storeOf(own),
    tokens: new Tokens({ read: secret }),
    clock,
    failed: (error) => {
      throw error;
    },
  });
  url = await app.listen({ host: '127.0.0.1', port: 0 });
  cleanups.push(
    () => host.stop(),
    () => own.close(),
    () => client.close(),
    () => app.close(),
  );
});
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

interface Change {
  readonly path: string;
  readonly by?: number;
  readonly node?: { readonly value: { text: string; masked?: true }; readonly children: string[] } | null;
}

class Stream {
  readonly events: { name: string; id: string; changes: Change[]; ageMs: number; reason?: string }[] = [];
  lastId = '';
  readonly #stop = new AbortController();
  readonly #lookers = new Set<() => void>();
  text = '';

  static async open(query: string, lastId?: string): Promise<Stream> {
    const stream = new Stream();
    const headers = { ...authorized, ...(lastId !== undefined && { 'last-event-id': lastId }) };
    const reply = await fetch(`${url}/v1/events?${query}`, { headers, signal: stream.#stop.signal });
    expect(reply.headers.get('content-type')).toBe('text/event-stream');
    expect(reply.headers.get('x-content-type-options')).toBe('nosniff');
    cleanups.push(() => stream.close());
    void stream.#follow(reply.body!).catch(() => {});
    await stream.until(() => stream.lastId !== '' || stream.events.length > 0);
    return stream;
  }

  close(): void {
    this.#stop.abort();
  }

  get changes(): Change[] {
    return this.events.flatMap(({ changes }) => changes);
  }

  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!holds()) return;
        this.#lookers.delete(look);
        resolve();
      };
      this.#lookers.add(look);
      look();
    });
  }

  told(path: string): Promise<void> {
    return this.until(() => this.changes.some((change) => change.path === path));
  }

  async #follow(body: ReadableStream<Uint8Array>): Promise<void> {
    for await (const piece of body.pipeThrough(new TextDecoderStream())) {
      this.text += piece;
      for (let end = this.text.indexOf('\n\n'); end >= 0; end = this.text.indexOf('\n\n')) {
        const fields = new Map(
          this.text
            .slice(0, end)
            .split('\n')
            .map((line): [string, string] => [line.split(': ', 1)[0]!, line.slice(line.indexOf(': ') + 2)]),
        );
        this.text = this.text.slice(end + 2);
        this.lastId = fields.get('id') ?? this.lastId;
        const data = fields.get('data');
        if (data === undefined) continue;
        const { changes = [], age_ms: ageMs = 0, reason } = JSON.parse(data);
        this.events.push({ name: fields.get('event')!, id: this.lastId, changes, ageMs, reason });
      }
      for (const look of [...this.#lookers]) look();
    }
  }
}

test('what changed, with the node and who did it', async () => {
  await host.addDomain(5);
  await client.introduce(5, 1, 1);
  await client.write('/local/domain/5', '');
  await client.setPerms('/local/domain/5', ['n5']);
  const stream = await Stream.open('path=/local&nodes=true');
  await ask(host.ring(5), 'WRITE', 'name|me\n');
  await client.write('/local/domain/5/vnc-passwd', 'hidden');
  await stream.told('/local/domain/5/vnc-passwd');
  const find = (path: string): Change | undefined => stream.changes.findLast((each) => each.path === path);
  expect(find('/local/domain/5/name')).toMatchObject({ by: 5, node: { value: { text: 'me\\n' } } });
  expect(find('/local/domain/5/vnc-passwd')).toMatchObject({
    by: 0,
    node: { value: { text: '', masked: true } },
  });
  await client.rm('/local/domain/5/name');
  await stream.until(() => find('/local/domain/5/name')?.node === null);
  expect(find('/local/domain/5')?.node?.children).toEqual(['vnc-passwd']);
});

test('a node that got a child is not told as the doing of whoever wrote it once', async () => {
  await host.addDomain(5);
  await client.introduce(5, 1, 1);
  await client.write('/local/domain/5', '');
  await client.setPerms('/local/domain/5', ['n5']);
  const stream = await Stream.open('path=/local&nodes=true');
  await client.write('/local/domain/5', 'by 0');
  await stream.told('/local/domain/5');
  const told = stream.events.length;
  await ask(host.ring(5), 'WRITE', 'name|me');
  await stream.told('/local/domain/5/name');
  const later = stream.events.slice(told).flatMap(({ changes }) => changes);
  expect(later.find(({ path }) => path === '/local/domain/5')).toEqual({
    path: '/local/domain/5',
    node: expect.objectContaining({ children: ['name'] }),
  });
  expect(later).toContainEqual(expect.objectContaining({ path: '/local/domain/5/name', by: 5 }));
});

test('many changes are few events', async () => {
  const stream = await Stream.open('path=/data');
  for (let round = 0; round < 50; round++) {
    await Promise.all(Array.from({ length: 20 }, (_, node) => client.write(`/data/${node}`, `${round}`)));
  }
  await client.write('/data/end', '1');
  await stream.told('/data/end');
  expect(stream.events.length).toBeLessThan(100);
  expect(new Set(stream.changes.map(({ path }) => path)).size).toBe(21);
  expect(stream.changes.every(({ node }) => node === undefined)).toBe(true);
});

test('an event stays small however large the nodes are: the rest is told without contents', async () => {
  const stream = await Stream.open('path=/data&nodes=true');
  const value = Buffer.alloc(4000, 1);
  await client.transaction(async (tx) => {
    for (let node = 0; node < 100; node++) await tx.write(`/data/${node}`, value);
  });
  await stream.until(() => new Set(stream.changes.map(({ path }) => path)).size === 101);
  for (const { changes } of stream.events) expect(JSON.stringify(changes).length).toBeLessThan(300_000);
  const shown = stream.changes.filter(({ node }) => node !== undefined).length;
  expect(shown).toBeGreaterThan(5);
  expect(shown).toBeLessThan(stream.changes.length);
});

test('a reader that comes again is told what it missed; of another life of this service, to fetch again', async () => {
  const first = await Stream.open('path=/data');
  await client.write('/data/1', '');
  await first.told('/data/1');
  first.close();
  await client.write('/data/2', '');
  await client.write('/elsewhere', '');
  await client.write('/data/2', 'again');
  const second = await Stream.open('path=/data', first.lastId);
  await second.told('/data/2');
  expect(second.changes.filter(({ path }) => path === '/data/1')).toEqual([]);
  const third = await Stream.open('path=/data', 'abcdef012345-7');
  expect(third.events).toMatchObject([{ name: 'resync' }]);
  // The stream goes on.
  await client.write('/data/3', '');
  await third.told('/data/3');
});

test('a reader that comes again long after everybody has left is told to fetch again', async () => {
  const first = await Stream.open('path=/data');
  await client.write('/data/1', '');
  await first.told('/data/1');
  first.close();
  await expect.poll(async () => (await about()).watches).toMatchObject([{ readers: 0 }]);
  for (let passed = 0; passed < 45_000; passed += 5_000) clock.skip(5_000);
  expect((await about()).watches).toEqual([]);
  await client.write('/data/2', '');
  const second = await Stream.open('path=/data', first.lastId);
  await client.write('/data/3', '');
  await second.until(() => second.events.length > 0);
  expect(second.events[0]).toMatchObject({ name: 'resync' });
});

test('within a larger subtree that is watched already: its own changes alone, its removal from above included', async () => {
  await client.write('/data/a/b/c', '1');
  const all = await Stream.open('path=/data');
  const part = await Stream.open('path=/data/a/b&nodes=true');
  expect((await about()).watches).toMatchObject([{ path: '/data', readers: 2 }]);
  await client.write('/data/x', '1');
  await client.rm('/data/a');
  await all.told('/data/a');
  await part.until(() => part.changes.some(({ path, node }) => path === '/data/a/b' && node === null));
  expect(part.changes.every(({ path }) => path.startsWith('/data/a/b'))).toBe(true);
});

test('nobody looks: no watch and no request; the mirror goes when its last reader is long gone', async () => {
  await client.write('/data/a/b', '1');
  const stream = await Stream.open('path=/data');
  stream.close();
  const reply = await fetch(`${url}/v1/tree?path=/data`, { headers: authorized });
  expect(reply.status).toBe(200);
  expect(((await reply.json()) as { age_ms: number }).age_ms).toBeGreaterThanOrEqual(0);
  const own = async (): Promise<{ requests: number; watches: number }> => {
    const lines = (await client.control('connections'))
      .split('\n')
      .filter((line) => line.startsWith('socket'));
    const fields = lines.map((line) => Object.fromEntries(line.split(' ').map((word) => word.split('='))));
    // The other connection is the test's.
    const { requests, watches } = fields[0]!;
    return { requests: Number(requests), watches: Number(watches) };
  };
  const before = await own();
  expect(before.watches).toBe(1);
  clock.skip(10_000);
  await client.write('/data/c', '1');
  expect(await own()).toEqual(before);
  for (let passed = 0; passed < 40_000; passed += 5_000) clock.skip(5_000);
  await expect.poll(own).toEqual({ requests: before.requests + 1, watches: 0 });
});

test('as many streams as it keeps, and one more is told so', async () => {
  const stop = new AbortController();
  cleanups.push(() => stop.abort());
  const open = (): Promise<Response> =>
    fetch(`${url}/v1/events?path=/`, { headers: authorized, signal: stop.signal });
  const replies = await Promise.all(Array.from({ length: 130 }, open));
  expect(replies.map(({ status }) => status).filter((status) => status !== 200)).toEqual([503, 503]);
  expect((await about()).watches).toMatchObject([{ path: '/', readers: 128 }]);
});

async function about(): Promise<{ watches: { path: string; readers: number }[] }> {
  return (await (await fetch(`${url}/v1/daemon`, { headers: authorized })).json()) as never;
}

test('figures are in the format of Prometheus, and those that one looks for are there', async () => {
  await host.addDomain(5);
  await client.introduce(5, 1, 1);
  expect((await fetch(`${url}/metrics`)).status).toBe(401);
  const reply = await fetch(`${url}/metrics`, { headers: authorized });
  expect(reply.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  const samples = parseMetrics(await reply.text());
  expect(samples.get('xenstored_up')).toBe(1);
  expect(samples.get('xenstored_info{daemon="stubdom0"}')).toBe(1);
  expect(samples.get('xenstored_connections{kind="socket"}')).toBe(2);
  expect(samples.get('xenstored_quota_limit{domid="5",quota="nodes"}')).toBe(1000);
  expect(samples.get('xenstored_ring_requests_waiting_bytes{domid="5"}')).toBe(0);
  expect(samples.get('xenstored_requests_total')).toBeGreaterThan(0);
  expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(0);
});

/** As Prometheus reads it: each family described once, before its samples; a counter's name ends in _total. Throws where it would complain. */
function parseMetrics(text: string): Map<string, number> {
  expect(text.endsWith('\n')).toBe(true);
  const types = new Map<string, string>();
  const samples = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name, type] = /^# TYPE ([a-z_][a-z0-9_]*) (counter|gauge|histogram|summary)$/.exec(line) ?? [];
    if (name !== undefined) {
      if (types.has(name)) throw new Error(`${name} is described twice`);
      if (type === 'counter' && !name.endsWith('_total')) throw new Error(`a counter's name: ${name}`);
      types.set(name, type!);
    } else if (line !== '' && !/^# HELP [a-z_][a-z0-9_]* \S/.test(line)) {
      const [, sample, value] =
        /^([a-z_][a-z0-9_]*(?:\{(?:[a-z_]+="[^"\\\n]*",?)*\})?) (\S+)$/.exec(line) ?? [];
      if (sample === undefined) throw new Error(`no sample: ${line}`);
      const family = sample.split('{')[0]!;
      if (!types.has(family) && !types.has(family.replace(/_(bucket|sum|count)$/, '')))
        throw new Error(`${family} is not described`);
      if (samples.has(sample)) throw new Error(`twice: ${sample}`);
      samples.set(sample, Number(value));
    }
  }
  return samples;
}
