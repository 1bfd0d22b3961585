// xenstore-admin on real stores: our daemon, Debian's C daemon, oxenstored. Random lists of operations do what a small model says, whole or not
// at all; askers who look before they write never lose each other's; and what each daemon refuses has the same code.

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Node } from '../../xenstored/admin/node.ts';
import { storeOf } from '../../xenstored/admin/source.ts';
import type { Store } from '../../xenstored/admin/store.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { peerMissing, startC, startOx } from '../conformance/peers.ts';
import { SimHost } from '../conformance/simhost.ts';
import { type Started, startApp } from './admin-kit.ts';

interface Daemon {
  readonly socketPath: string;
  stop(): Promise<void>;
}

const daemons: readonly [string, string, string | undefined, () => Promise<Daemon>][] = [
  ['our daemon', 'stubdom0', undefined, () => SimHost.start([])],
  ['the C daemon of 4.17', 'xenstored', peerMissing('c417'), startC],
  ['oxenstored of 4.17', 'oxenstored', peerMissing('ox'), startOx],
];

describe.each(daemons)('%s', (_, kind, missing, start) => {
  if (missing !== undefined) {
    test.skip(missing, () => {});
    return;
  }
  let daemon: Daemon;
  let client: Client;
  beforeAll(async () => {
    daemon = await start();
    client = await connect({ path: daemon.socketPath });
  });
  afterAll(async () => {
    await client?.close();
    await daemon?.stop();
  });
  const app = (store: Store = storeOf(client)): Promise<Started<Store>> => startApp({ store });

  test('it is told which daemon this is', async () => {
    const { ask } = await app();
    expect((await ask('GET', '/v1/session', { role: 'read' })).body).toEqual({
      role: 'read',
      daemon: kind,
      version: expect.any(String),
      writable: true,
      connected: true,
    });
  });

  test('random lists of operations do what the model says', async () => {
    const { ask } = await app();
    await fc.assert(
      fc.asyncProperty(fc.array(list, { minLength: 1, maxLength: 6 }), async (lists) => {
        await ask('POST', '/v1/transactions', {
          body: {
            operations: [
              { op: 'remove', path: root },
              { op: 'mkdir', path: root, permissions: [{ domid: 0, letter: 'n' }] },
            ],
          },
        });
        let model = new Model();
        const read = async (): Promise<readonly Node[]> =>
          (await ask('GET', `/v1/tree?path=${root}`)).body!.nodes!;
        for (const operations of lists) {
          const before = await read();
          const etags = new Map(before.map(({ path, etag }) => [path, etag]));
          const wanted = model.apply(operations);
          const reply = await ask('POST', '/v1/transactions', {
            body: { operations: operations.map((operation) => requestOf(operation, etags)) },
          });
          expect({ status: reply.status, operation: reply.body!.operation }).toEqual(wanted.answer);
          const after = await read();
          if (wanted.answer.status === 200) model = wanted.model;
          else expect(after).toEqual(before);
          expect(after.map(shown)).toEqual(model.shown());
          for (const result of reply.body?.results ?? [])
            if (result.node !== null) expect(after).toContainEqual(result.node);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('those who look before they write never lose what another wrote', async () => {
    const { ask } = await app();
    await ask('PUT', '/v1/node?path=/count', { body: { value: { text: '0' } } });
    const statuses = new Set<number>();
    const increment = async (): Promise<void> => {
      for (let status = 0; status !== 200; ) {
        const { body, headers } = await ask('GET', '/v1/node?path=/count');
        const text = `${Number(body!.value!.text) + 1}`;
        const put = { body: { value: { text } }, headers: { 'if-match': String(headers.etag) } };
        ({ status } = await ask('PUT', '/v1/node?path=/count', put));
        statuses.add(status);
      }
    };
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        for (let times = 0; times < 5; times++) await increment();
      }),
    );
    expect(await client.readText('/count')).toBe('20');
    expect([...statuses].every((status) => [200, 409, 412].includes(status))).toBe(true);
  });

  test('what it refuses has a code', async () => {
    const { ask } = await app();
    const put = (path: string, value: string, permissions?: unknown) =>
      ask('PUT', `/v1/node?path=${path}`, { body: { value: { text: value }, permissions } });
    expect(await put('/large', 'x'.repeat(4096))).toMatchObject({ status: 413, body: { code: 'too_large' } });
    expect(await ask('DELETE', '/v1/node?path=/')).toMatchObject({
      status: 400,
      body: { code: 'store_refused' },
    });
    expect(await ask('DELETE', '/v1/node?path=/none/below')).toMatchObject({ status: 404 });
    expect(await ask('POST', '/v1/control', { body: { command: 'print', args: ['here'] } })).toMatchObject({
      status: 200,
    });
    expect(await ask('GET', '/v1/node?path=/large')).toMatchObject({ status: 404 });
  });

  test('no resource shows a secret, whatever it makes of the store', async () => {
    const { app: service, ask } = await app();
    const [back, front] = ['/local/domain/0/backend/vfb/1/0', '/local/domain/1/device/vfb/0'];
    await client.transaction(async (tx) => {
      await tx.write('/local/domain/1/name', 'one');
      for (const [end, other] of [
        [back, front],
        [front, back],
      ] as const) {
        await tx.write(`${end}/${end === back ? 'frontend' : 'backend'}`, other);
        await tx.write(`${end}/state`, '4');
        await tx.write(`${end}/vnc-passwd`, 'hunter2');
      }
    });
    await service.ready();
    const { paths } = service.swagger() as { paths: Record<string, { get?: unknown }> };
    const resources = Object.keys(paths).filter((path) => paths[path]!.get && path !== '/v1/events');
    expect(resources.length).toBeGreaterThan(10);
    for (const resource of resources) {
      const query = resource.endsWith('/node')
        ? `?path=${back}/vnc-passwd`
        : resource.endsWith('/tree')
          ? '?path=/'
          : resource.endsWith('/search')
            ? '?q=vnc'
            : '';
      const { status, text } = await ask('GET', `${resource.replace('{domid}', '1')}${query}`, {
        role: 'read',
      });
      expect([200, 501], resource).toContain(status);
      expect(text, resource).not.toMatch(/hunter2|aHVudGVyMg/);
    }
  });

  test('search and pages show what there is, however much', async () => {
    const { ask } = await app();
    const paths = Array.from({ length: 1_200 }, (_, n) => `/many/${n}`);
    await Promise.all(paths.map((path) => client.write(path, `value of ${path}`)));
    const seen: string[] = [];
    for (let after = ''; ; ) {
      const { body } = await ask('GET', `/v1/tree?path=/many&limit=500${after}`);
      seen.push(...body!.nodes!.map(({ path }) => path));
      if (body!.next === undefined) break;
      after = `&after=${body!.next}`;
    }
    expect(seen).toEqual(['/many', ...paths]);
    // Secrets are never kept: this is read in one transaction.
    const whole = await ask('GET', '/v1/tree?path=/many&limit=10000&secrets=show');
    expect(whole.body!.nodes!.map(({ path }) => path)).toEqual(seen);
    const { body } = await ask('GET', '/v1/search?q=of%20/many/7&in=value&under=/many&limit=200');
    expect(body!.nodes!.map(({ path }) => path)).toEqual(paths.filter((path) => path.startsWith('/many/7')));
  });
});

const root = '/model';
const letters = ['n', 'r', 'w', 'b'] as const;
type Letter = (typeof letters)[number];

/** ETags by what they stand for: the node's before the list, or one that no node has. */
type Condition = 'none' | '*' | 'before' | 'wrong';

interface Op {
  readonly op: 'write' | 'mkdir' | 'remove' | 'setPermissions' | 'check';
  readonly path: string;
  readonly text: string;
  readonly letter: Letter | undefined;
  readonly ifMatch: Condition;
  readonly ifNoneMatch: Condition;
}

const name = fc.constantFrom('a', 'b', '1', '10', '2');
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => `${root}/${names.join('/')}`);
const condition = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Condition>('none') },
  { weight: 1, arbitrary: fc.constantFrom<Condition>('*', 'before', 'wrong') },
);
const operation: fc.Arbitrary<Op> = fc.record({
  op: fc.constantFrom('write', 'write', 'mkdir', 'remove', 'setPermissions', 'check'),
  path,
  text: fc.constantFrom('', 'x', 'y\\x00', '\\\\'),
  letter: fc.option(fc.constantFrom(...letters), { nil: undefined }),
  ifMatch: condition,
  ifNoneMatch: condition,
});
const list = fc.array(operation, { minLength: 1, maxLength: 5 });

function requestOf(
  { op, path, text, letter, ifMatch, ifNoneMatch }: Op,
  etags: ReadonlyMap<string, string>,
): object {
  const tag = (condition: Condition): string | undefined =>
    condition === 'none'
      ? undefined
      : condition === 'before'
        ? (etags.get(path) ?? 'there-was-none')
        : condition === '*'
          ? '*'
          : 'no-such-tag';
  const permissions = [{ domid: 0, letter: letter ?? 'n' }];
  return {
    op,
    path,
    ifMatch: tag(ifMatch),
    ifNoneMatch: tag(ifNoneMatch),
    ...(op === 'write' ? { value: { text } } : {}),
    ...(op === 'setPermissions' || (letter !== undefined && (op === 'write' || op === 'mkdir'))
      ? { permissions }
      : {}),
  };
}

/** A store as small as can be: a new node has its parent's permissions. */
class Model {
  readonly nodes: Map<string, { text: string; letter: Letter }>;

  constructor(nodes: Model['nodes'] = new Map([[root, { text: '', letter: 'n' }]])) {
    this.nodes = nodes;
  }

  apply(operations: readonly Op[]): {
    model: Model;
    answer: { status: number; operation: number | undefined };
  } {
    const model = new Model(new Map(this.nodes));
    for (const [index, each] of operations.entries()) {
      const status = model.#apply(each, this);
      if (status !== 200) return { model: this, answer: { status, operation: index } };
    }
    return { model, answer: { status: 200, operation: undefined } };
  }

  #apply({ op, path, text, letter, ifMatch, ifNoneMatch }: Op, before: Model): number {
    const there = this.nodes.has(path);
    const is = (condition: Condition): boolean =>
      there && (condition === '*' || (condition === 'before' && this.#state(path) === before.#state(path)));
    if (ifMatch !== 'none' && !is(ifMatch)) return 412;
    if (ifNoneMatch !== 'none' && is(ifNoneMatch)) return 412;
    if (op === 'setPermissions' && !there) return 404;
    if (op === 'write' || (op === 'mkdir' && !there)) this.#make(path, op === 'write' ? text : '');
    if (op === 'remove')
      for (const other of [...this.nodes.keys()])
        if (other === path || other.startsWith(`${path}/`)) this.nodes.delete(other);
    const wanted = op === 'setPermissions' ? (letter ?? 'n') : letter;
    if (wanted !== undefined && op !== 'remove' && op !== 'check')
      this.nodes.set(path, { ...this.nodes.get(path)!, letter: wanted });
    return 200;
  }

  #make(path: string, text: string): void {
    const parent = path.slice(0, path.lastIndexOf('/'));
    if (!this.nodes.has(parent)) this.#make(parent, '');
    this.nodes.set(path, { text, letter: this.nodes.get(path)?.letter ?? this.nodes.get(parent)!.letter });
  }

  /** What an ETag is about. */
  #state(path: string): string {
    return JSON.stringify([this.nodes.get(path), this.#children(path).sort()]);
  }

  #children(path: string): string[] {
    return [...this.nodes.keys()].filter((each) => each.slice(0, each.lastIndexOf('/')) === path);
  }

  shown(): unknown[] {
    const sorted = [...this.nodes.keys()].sort((a, b) => order(a).localeCompare(order(b), 'en'));
    return sorted.map((path) => ({
      path,
      text: this.nodes.get(path)!.text,
      letter: this.nodes.get(path)!.letter,
      children: this.#children(path)
        .map((child) => child.slice(path.length + 1))
        .sort(),
    }));
  }
}

/** Sorts as the walk does: these names are numbers of two digits at most, and letters. */
function order(path: string): string {
  return path
    .replaceAll(/\/(\d+)/g, (_, digits: string) => `/${digits.padStart(2, '0')}`)
    .replaceAll('/', '!');
}

function shown({ path, value, permissions, children }: Node): unknown {
  return { path, text: value.text, letter: permissions[0]!.letter, children: [...children].sort() };
}
