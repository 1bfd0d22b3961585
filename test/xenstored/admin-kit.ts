/**
 * What the tests of xenstore-admin have in common: a store and a clock that do as they are told, and an application on them, asked without
 * a connection. Knows no daemon.
 */
import { Ajv, type ValidateFunction } from 'ajv';
import { afterEach } from 'vitest';
import type { Clock } from '../../osdep/clock.ts';
import { Tokens } from '../../xenstored/admin/access.ts';
import { type App, type AppOptions, buildApp } from '../../xenstored/admin/app.ts';
import type { AuditEntry } from '../../xenstored/admin/audit.ts';
import type { Node } from '../../xenstored/admin/node.ts';
import type { Permission, Store, StoreChange, StoreView } from '../../xenstored/admin/store.ts';
import type { Value } from '../../xenstored/admin/value.ts';

export const secret = 'a-token-of-some-length';
export const writeSecret = 'a-token-that-changes-things';

interface FakeNode {
  value: Uint8Array;
  permissions: readonly Permission[];
}

const nobody: readonly Permission[] = [{ domid: 0, letter: 'n' }];

/** Conflicts, lost connections and errors are there when a test says so. */
export class FakeStore implements Store {
  nodes: Map<string, FakeNode> = new Map([['/', { value: Buffer.alloc(0), permissions: nobody }]]);
  connected = true;
  connections = 1;
  failure: string | undefined;
  /** Runs before each commit: what others do meanwhile. */
  meanwhile: (() => void) | undefined;
  /** Requests of every kind so far. */
  requests = 0;
  readonly commands: string[][] = [];
  readonly #listeners = new Set<(path: string) => void>();

  write(path: string, value: string | Uint8Array): void {
    this.#put(this.nodes, path, Buffer.from(value as string));
    for (const listener of this.#listeners) listener(path);
  }

  get live(): StoreView {
    return this.#view(this.nodes);
  }

  snapshot<T>(read: (view: StoreView) => Promise<T>): Promise<T> {
    return read(this.#view(new Map(this.nodes)));
  }

  async change<T>(body: (tx: StoreChange) => Promise<T>): Promise<T> {
    for (let tries = 0; tries < 5; tries++) {
      const [before, mine] = [this.nodes, copy(this.nodes)];
      const value = await body({
        ...this.#view(mine),
        write: async (path, bytes) => this.#put(mine, path, bytes),
        mkdir: async (path) => {
          if (!mine.has(path)) this.#put(mine, path, Buffer.alloc(0));
        },
        remove: async (path) => {
          for (const other of [...mine.keys()])
            if (other === path || other.startsWith(`${path}/`)) mine.delete(other);
        },
        setPermissions: async (path, permissions) => {
          this.#need(mine, path).permissions = permissions;
        },
      });
      this.meanwhile?.();
      if (this.nodes !== before) continue;
      this.nodes = mine;
      return value;
    }
    throw Object.assign(new Error('secret detail'), { code: 'EAGAIN' });
  }

  async *changes(path: string, signal: AbortSignal): AsyncIterable<string> {
    this.#fail();
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

  async introduced(): Promise<boolean> {
    this.#fail();
    return false;
  }

  async control(command: string, args: readonly string[]): Promise<string> {
    this.#fail();
    this.commands.push([command, ...args]);
    return command === 'help' ? 'transactions' : `did ${command}`;
  }

  #view(nodes: ReadonlyMap<string, FakeNode>): StoreView {
    return {
      read: async (path) => this.#need(nodes, path).value,
      permissions: async (path) => [...this.#need(nodes, path).permissions],
      directory: async (path) => {
        this.#need(nodes, path);
        const start = path === '/' ? '/' : `${path}/`;
        return [...nodes.keys()]
          .filter((each) => each !== '/' && each.startsWith(start) && !each.slice(start.length).includes('/'))
          .map((each) => each.slice(start.length));
      },
    };
  }

  #need(nodes: ReadonlyMap<string, FakeNode>, path: string): FakeNode {
    this.requests++;
    this.#fail();
    const node = nodes.get(path);
    if (node === undefined) throw Object.assign(new Error('secret detail'), { code: 'ENOENT' });
    return node;
  }

  #fail(): void {
    if (this.failure !== undefined) throw Object.assign(new Error('secret detail'), { code: this.failure });
  }

  #put(nodes: Map<string, FakeNode>, path: string, value: Uint8Array): void {
    this.#fail();
    for (let at = path.indexOf('/', 1); at > 0; at = path.indexOf('/', at + 1)) {
      if (!nodes.has(path.slice(0, at)))
        nodes.set(path.slice(0, at), { value: Buffer.alloc(0), permissions: nobody });
    }
    nodes.set(path, { value, permissions: nodes.get(path)?.permissions ?? nobody });
  }
}

function copy(nodes: ReadonlyMap<string, FakeNode>): Map<string, FakeNode> {
  return new Map([...nodes].map(([path, node]) => [path, { ...node }]));
}

export class FakeClock implements Clock {
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

export interface Started<S> {
  readonly app: App;
  readonly store: S;
  readonly clock: FakeClock;
  readonly mistakes: unknown[];
  readonly audited: AuditEntry[];
  /** One request, with the token of this role. */
  readonly ask: (method: Method, url: string, options?: AskOptions) => Promise<Answer>;
}

export type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE' | 'PATCH';

export interface AskOptions {
  readonly role?: 'read' | 'write' | 'none';
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
  /** Of a reply in JSON. */
  readonly body: Body | undefined;
}

/** Fields of one reply or another. */
export interface Body {
  readonly code?: string;
  readonly etag?: string;
  readonly where?: string;
  readonly next?: string;
  readonly truncated?: string;
  readonly operation?: number;
  readonly current?: Node | null;
  readonly value?: Value;
  readonly children?: readonly string[];
  readonly nodes?: readonly Node[];
  readonly results?: readonly { readonly existed: boolean; readonly node: Node | null }[];
}

let documents: Ajv | undefined;
let templates: readonly string[] = [];

/** A reply has the fields that the OpenAPI document says, and no others. */
function checkReply(app: App, method: Method, url: string, status: number, reply: unknown): void {
  if (documents === undefined) {
    documents = new Ajv({ strict: false, discriminator: true });
    documents.addSchema(app.swagger(), 'openapi');
    templates = Object.keys(app.swagger().paths ?? {});
  }
  const asked = url.split('?')[0]!;
  const template = templates.find((each) => new RegExp(`^${each.replace(/\{\w+\}/g, '[^/]+')}$`).test(asked));
  const type = status < 400 ? 'application/json' : 'application/problem+json';
  const steps = [
    'paths',
    template ?? asked,
    method.toLowerCase(),
    'responses',
    `${status}`,
    'content',
    type,
    'schema',
  ];
  const pointer = steps.map((step) => step.replaceAll('~', '~0').replaceAll('/', '~1')).join('/');
  let validate: ValidateFunction | undefined;
  try {
    validate = documents.getSchema(`openapi#/${pointer}`);
  } catch {}
  // What there is no resource for, or no method, is in no document.
  if (validate === undefined && (status === 404 || status === 405)) return;
  if (validate === undefined) throw new Error(`${method} ${url}: the document has no reply ${status}`);
  if (!validate(reply))
    throw new Error(`${method} ${url} ${status}: ${documents.errorsText(validate.errors)}`);
}

/** An application on a store, closed with the test. */
export async function startApp<S extends Store = FakeStore>(
  options: Partial<Omit<AppOptions, 'store' | 'clock'>> & { readonly store?: S } = {},
): Promise<Started<S>> {
  const clock = new FakeClock();
  const mistakes: unknown[] = [];
  const audited: AuditEntry[] = [];
  const { store = new FakeStore() as unknown as S } = options;
  const app = await buildApp({
    tokens: new Tokens({ read: secret, write: writeSecret }),
    failed: (error) => mistakes.push(error),
    audit: {
      sound: true,
      record: (entry) => {
        audited.push(entry);
        return true;
      },
    },
    limits: { reads: 100_000, writes: 100_000 },
    ...options,
    store,
    clock,
  });
  apps.push(app);
  const ask = async (
    method: Method,
    url: string,
    { role = 'write', body, headers = {} }: AskOptions = {},
  ): Promise<Answer> => {
    const token = { read: secret, write: writeSecret, none: undefined }[role];
    const reply = await app.inject({
      method,
      url,
      headers: {
        host: '127.0.0.1:7380',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const json = String(reply.headers['content-type']).includes('json') && reply.body !== '';
    if (json && url.startsWith('/v1/')) checkReply(app, method, url, reply.statusCode, reply.json());
    return {
      status: reply.statusCode,
      headers: reply.headers,
      text: reply.body,
      body: json ? reply.json() : undefined,
    };
  };
  return { app, store, clock, mistakes, audited, ask };
}
