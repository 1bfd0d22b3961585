// A service that answers the page as xenstore-admin does, out of a store in its own memory: for tests that say what happens when, and may
// end and come back. What it serves of the page itself is the real thing.
import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { servePage } from '../../xenstored/admin/page.ts';
import { encodeValue } from '../../xenstored/admin/value.ts';

export const READ_TOKEN = 'the-token-that-reads';
export const WRITE_TOKEN = 'the-token-that-writes';

interface Stored {
  value: Buffer;
  permissions: { domid: number; letter: string }[];
}

type Query = Readonly<Record<string, string | undefined>>;

interface TraceEntry {
  readonly seq: number;
  readonly at: number;
  readonly domid: number;
  readonly path: string;
  readonly what: string;
}

export class PageServer {
  readonly nodes: Map<string, Stored> = new Map();
  readonly requests: string[] = [];
  readonly trace: TraceEntry[] = [];
  devices: unknown[] = [];
  domains: unknown[] = [];
  daemon: Record<string, unknown> = {};
  port = 0;
  #app: FastifyInstance | undefined;
  readonly #children = new Map<string, Set<string>>();
  readonly #streams = new Set<ServerResponse>();
  #seq = 0;
  #connected = true;

  constructor() {
    this.put('/', '');
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Writes without telling anybody. */
  put(path: string, value: string | Buffer, owner = 0): void {
    for (let at = path.indexOf('/', 1); at > 0; at = path.indexOf('/', at + 1))
      if (!this.nodes.has(path.slice(0, at))) this.put(path.slice(0, at), '', owner);
    const known = this.nodes.get(path);
    const permissions = known?.permissions ?? [{ domid: owner, letter: 'n' }];
    this.nodes.set(path, { value: Buffer.from(value), permissions });
    if (path === '/' || known) return;
    const parent = path.slice(0, path.lastIndexOf('/')) || '/';
    const siblings = this.#children.get(parent) ?? new Set();
    this.#children.set(parent, siblings.add(path.slice(path.lastIndexOf('/') + 1)));
  }

  /** Writes, and tells. */
  write(path: string, value: string, by = 0): void {
    this.put(path, value, by);
    this.trace.push({ seq: this.trace.length, at: performance.now(), domid: by, path, what: 'write' });
    this.tell({ path, by, node: this.node(path) });
  }

  remove(path: string): void {
    for (const other of [...this.nodes.keys()])
      if (other === path || other.startsWith(`${path}/`)) {
        this.nodes.delete(other);
        this.#children.delete(other);
      }
    this.#children
      .get(path.slice(0, path.lastIndexOf('/')) || '/')
      ?.delete(path.slice(path.lastIndexOf('/') + 1));
    this.tell({ path, by: 0, node: null });
  }

  tell(...changes: readonly unknown[]): void {
    this.#send('changes', { changes, age_ms: 0 });
  }

  resync(reason: string): void {
    this.#send('resync', { reason });
  }

  /** Its store is lost, or found again. */
  set connected(connected: boolean) {
    this.#connected = connected;
    for (const stream of this.#streams)
      stream.write(`event: store\ndata: ${JSON.stringify({ connected })}\n\n`);
  }

  get streams(): number {
    return this.#streams.size;
  }

  node(path: string): Record<string, unknown> & { etag: string } {
    const stored = this.nodes.get(path);
    if (!stored) throw problem(404, 'no_such_node', 'there is no such node');
    const children = [...(this.#children.get(path) ?? [])];
    const secret = /passwd/.test(path);
    const value = secret ? { text: '', base64: '', masked: true } : encodeValue(stored.value);
    const { permissions } = stored;
    const state = JSON.stringify([stored.value.toString('base64'), permissions, children]);
    const etag = createHash('sha256').update(state).digest('base64url').slice(0, 12);
    return { path, value, permissions, children, etag };
  }

  async start(): Promise<void> {
    const app = fastify({ forceCloseConnections: true });
    this.#app = app;
    app.addHook('onRequest', async (request) => {
      this.requests.push(`${request.method} ${request.url}`);
      if (request.routeOptions.config.open || this.#role(request) !== 'none') return;
      throw problem(401, 'unauthorized', 'send the token');
    });
    app.setErrorHandler((error: Error & { statusCode?: number; code?: string }, _, reply) =>
      reply
        .code(error.statusCode ?? 500)
        .type('application/problem+json')
        .send(JSON.stringify({ status: error.statusCode, code: error.code, detail: error.message })),
    );
    this.#routes(app);
    await servePage(app);
    await app.listen({ host: '127.0.0.1', port: this.port });
    this.port = (app.server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const stream of this.#streams) stream.destroy();
    this.#streams.clear();
    await this.#app?.close();
  }

  #routes(app: FastifyInstance): void {
    const query = (request: FastifyRequest): Query => request.query as Query;
    app.get('/v1/session', (request) => {
      const connected = this.#connected;
      return { role: this.#role(request), daemon: 'stubdom0', version: '1', writable: true, connected };
    });
    app.get('/v1/node', (request) => this.node(query(request).path!));
    app.put('/v1/node', (request) => this.#change(request, 'write'));
    app.delete('/v1/node', (request) => this.#change(request, 'remove'));
    app.put('/v1/permissions', (request) => this.#change(request, 'permissions'));
    app.get('/v1/tree', (request) => this.#tree(query(request)));
    app.get('/v1/search', (request) => this.#search(query(request)));
    app.get('/v1/events', (request, reply) => this.#stream(request, reply));
    app.get('/v1/domains', () => ({ domains: this.domains }));
    app.get('/v1/devices', () => ({ devices: this.devices }));
    app.get('/v1/daemon', () => ({ daemon: 'stubdom0', version: '0.1.0' }));
    app.get('/v1/daemon/trace', (request) => {
      const after = Number(query(request).after ?? -1);
      const entries = this.trace
        .filter(({ seq }) => seq > after)
        .map(({ at, ...entry }) => ({ ...entry, age_ms: performance.now() - at }));
      return { entries };
    });
    app.get<{ Params: { part: string } }>('/v1/daemon/:part', ({ params: { part } }) => {
      const told = this.daemon[part];
      if (told === undefined) throw problem(501, 'not_offered', 'this daemon does not tell');
      return { [part]: told };
    });
  }

  #role(request: FastifyRequest): 'none' | 'read' | 'write' {
    const token = request.headers.authorization?.replace(/^Bearer /, '');
    return token === WRITE_TOKEN ? 'write' : token === READ_TOKEN ? 'read' : 'none';
  }

  #change(request: FastifyRequest, what: 'write' | 'remove' | 'permissions'): unknown {
    if (this.#role(request) !== 'write')
      throw problem(403, 'write_token_needed', 'this needs the write token');
    const { path } = request.query as { path: string };
    const match = request.headers['if-match'];
    if (match !== undefined && match !== `"${this.node(path).etag}"`)
      throw problem(412, 'precondition_failed', 'the node has changed');
    if (request.headers['if-none-match'] === '*' && this.nodes.has(path))
      throw problem(412, 'precondition_failed', 'there is such a node');
    const body = request.body as { value?: { base64: string }; permissions?: Stored['permissions'] };
    if (what === 'remove') {
      this.remove(path);
      return {};
    }
    if (what === 'write') this.put(path, Buffer.from(body.value!.base64, 'base64'));
    else this.nodes.get(path)!.permissions = body.permissions!;
    this.tell({ path, by: 0, node: this.node(path) });
    return this.node(path);
  }

  #tree({ path = '/', depth = '8', limit = '1000', after }: Query): unknown {
    this.node(path);
    const natural = new Intl.Collator('en', { numeric: true }).compare;
    const nodes: Record<string, unknown>[] = [];
    let seen = after === undefined;
    let more = false;
    const visit = (at: string, left: number): void => {
      if (nodes.length >= Number(limit)) {
        more = true;
        return;
      }
      const node = this.node(at);
      if (seen) nodes.push(node);
      if (at === after) seen = true;
      if (left === 0) return;
      for (const name of [...(node.children as string[])].sort(natural))
        visit(at === '/' ? `/${name}` : `${at}/${name}`, left - 1);
    };
    visit(path, Number(depth));
    return { path, nodes, truncated: more ? 'nodes' : 'no', ...(more ? { next: nodes.at(-1)!.path } : {}) };
  }

  #search({ q = '', limit = '100' }: Query): unknown {
    const found = [...this.nodes]
      .filter(([path, { value }]) => path.includes(q) || (!/passwd/.test(path) && value.includes(q)))
      .slice(0, Number(limit))
      .map(([path]) => this.node(path));
    return { nodes: found, searched: this.nodes.size };
  }

  #stream(request: FastifyRequest, reply: FastifyReply): void {
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    raw.write(': hello\n\n');
    this.#streams.add(raw);
    raw.on('close', () => this.#streams.delete(raw));
    if (request.headers['last-event-id']) this.resync('another run of the service');
  }

  #send(event: string, data: unknown): void {
    const text = `event: ${event}\nid: 1-${++this.#seq}\ndata: ${JSON.stringify(data)}\n\n`;
    for (const stream of this.#streams) stream.write(text);
  }
}

function problem(statusCode: number, code: string, message: string): Error {
  return Object.assign(new Error(message), { statusCode, code });
}

/** Domains with what a toolstack writes of them, and their disks and interfaces, in a state. */
export function populate(server: PageServer, domains: number, nodesEach: number): void {
  server.put('/tool/xenstored', '');
  server.put('/vm', '');
  server.put('/local/domain/0/name', 'Domain-0');
  for (let domid = 1; domid <= domains; domid++) {
    const home = `/local/domain/${domid}`;
    server.put(`${home}/name`, `guest-${domid}`, domid);
    server.put(`${home}/memory/target`, '262144', domid);
    server.put(`${home}/vnc-passwd`, 'hunter2', domid);
    for (let index = 4; index < nodesEach; index++)
      server.put(`${home}/data/key-${index}`, `${index}`, domid);
  }
}

export interface FakeDevice {
  readonly kind: string;
  readonly devid: number;
  readonly frontend: { domid: number; path: string; state: number; keys: Record<string, string> };
  readonly backend: { domid: number; path: string; state: number; keys: Record<string, string> };
}

/** A device whose ends are written as its states change. */
export function addDevice(
  server: PageServer,
  kind: string,
  domid: number,
  devid: number,
  backDomid = 0,
): FakeDevice {
  const front = `/local/domain/${domid}/device/${kind}/${devid}`;
  const back = `/local/domain/${backDomid}/backend/${kind}/${domid}/${devid}`;
  const device: FakeDevice = {
    kind,
    devid,
    frontend: { domid, path: front, state: 1, keys: { backend: back, 'backend-id': `${backDomid}` } },
    backend: { domid: backDomid, path: back, state: 1, keys: { frontend: front, 'frontend-id': `${domid}` } },
  };
  server.put(`${front}/state`, '1', domid);
  server.put(`${back}/state`, '1', backDomid);
  server.devices.push(device);
  return device;
}

export function moveEnd(
  server: PageServer,
  device: FakeDevice,
  end: 'frontend' | 'backend',
  state: number,
): void {
  device[end].state = state;
  server.write(`${device[end].path}/state`, String(state), device[end].domid);
}
