/**
 * The REST service as a fastify application that listens to nothing yet: routes, who may use them, what errors look like, and the OpenAPI
 * document. The only importer of fastify. Read-only; knows a store by its interface alone.
 */
import swagger from '@fastify/swagger';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { Clock } from '../../osdep/clock.ts';
import { checkOrigin, type Token } from './access.ts';
import { AdminError, asAdminError, type ErrorCode, errorCodes } from './errors.ts';
import { EventStream } from './events.ts';
import { Failure, Node, NodeQuery, Tree, TreeQuery } from './schemas.ts';
import { isPath, type Store } from './store.ts';
import { readNode, readSubtree } from './tree.ts';

export interface AppOptions {
  readonly store: Store;
  readonly token: Token;
  readonly clock: Clock;
  /** Told of mistakes of ours, whose text does not travel. */
  readonly failed: (error: unknown) => void;
}

export type App = FastifyInstance;

const STREAMS_MAX = 64;
const BODY_MAX_BYTES = 1024;

export async function buildApp(options: AppOptions): Promise<App> {
  const app = fastify({
    bodyLimit: BODY_MAX_BYTES,
    requestTimeout: 10_000,
    keepAliveTimeout: 30_000,
    forceCloseConnections: true,
    http: { maxHeaderSize: 8192 },
    exposeHeadRoutes: false,
    ajv: {
      customOptions: { removeAdditional: false, coerceTypes: true, useDefaults: true, allErrors: false },
    },
  });
  app.server.maxConnections = 256;
  app.setErrorHandler((error, _, reply) => answerError(reply, error, options.failed));
  app.setNotFoundHandler((request) => {
    const known = app.hasRoute({ method: 'GET', url: request.url.split('?')[0]! });
    throw known
      ? new AdminError('method_not_allowed', `only GET ${request.url.split('?')[0]}`)
      : new AdminError('not_found', 'no such resource; see /openapi.json');
  });
  app.addHook('onRequest', async (request) => {
    checkOrigin(request.headers);
    if (request.url !== '/openapi.json') options.token.check(request.headers);
  });
  await app.register(swagger, { openapi: description });
  routes(app, options);
  return app;
}

const description = {
  openapi: '3.1.0',
  info: {
    title: 'xenstore-admin',
    description: 'What a xenstore holds, and what changes in it. Read-only.',
    version: '1',
  },
  components: { securitySchemes: { token: { type: 'http' as const, scheme: 'bearer' } } },
  security: [{ token: [] }],
};

function routes(app: App, { store, clock }: AppOptions): void {
  const common: readonly ErrorCode[] = [
    'bad_request',
    'unauthorized',
    'access_denied',
    'no_such_node',
    'store_unavailable',
  ];

  app.get<{ Querystring: NodeQuery }>(
    '/v1/node',
    {
      schema: {
        operationId: 'getNode',
        summary: 'One node: its value, permissions and children',
        querystring: NodeQuery,
        response: { 200: Node, ...failures(common) },
      },
    },
    ({ query }) => {
      const path = checkedPath(query.path);
      return store.snapshot((view) => readNode(view, path));
    },
  );

  app.get<{ Querystring: TreeQuery }>(
    '/v1/tree',
    {
      schema: {
        operationId: 'getTree',
        summary: 'A subtree as a list, parents first, bounded in depth and size',
        querystring: TreeQuery,
        response: { 200: Tree, ...failures(common) },
      },
    },
    ({ query }) => {
      const path = checkedPath(query.path);
      return store.snapshot((view) => readSubtree(view, path, { depth: query.depth, nodes: query.limit }));
    },
  );

  let streams = 0;
  app.get<{ Querystring: NodeQuery }>(
    '/v1/events',
    {
      schema: {
        operationId: 'getEvents',
        summary: 'Changes at or below a path, as server-sent events: change, dropped',
        querystring: NodeQuery,
        produces: ['text/event-stream'],
        response: failures([...common, 'too_many_streams']),
      },
    },
    async (request, reply) => {
      const path = checkedPath(request.query.path);
      if (streams >= STREAMS_MAX) throw new AdminError('too_many_streams', `${STREAMS_MAX} streams are open`);
      streams++;
      try {
        await stream(request, reply, store, clock, path);
      } finally {
        streams--;
      }
    },
  );

  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
}

function checkedPath(path: string): string {
  if (isPath(path)) return path;
  throw new AdminError(
    'bad_path',
    'a path starts with / and has names of letters, digits, - _ @ between its slashes',
  );
}

/** Until the reader is gone, is too slow, or the watch ends. Throws while the reader can still be given a status. */
async function stream(
  request: FastifyRequest,
  reply: FastifyReply,
  store: Store,
  clock: Clock,
  path: string,
): Promise<void> {
  const { raw } = reply;
  const gone = new AbortController();
  raw.on('close', () => gone.abort());
  const changes = store.changes(path, gone.signal)[Symbol.asyncIterator]();
  let change = await changes.next();

  reply.hijack();
  request.raw.socket.setNoDelay(true).setTimeout(0);
  raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const events = new EventStream(raw, clock);
  raw.on('drain', () => events.drained());
  raw.on('error', () => {});
  if (gone.signal.aborted) events.closed();
  gone.signal.addEventListener('abort', () => events.closed());
  try {
    while (!change.done && events.change(change.value)) change = await changes.next();
    events.drop('the watch ended');
  } catch (error) {
    events.drop(asAdminError(error).message);
  } finally {
    await changes.return?.();
  }
}

/** The documented errors of a route, by status. */
function failures(codes: readonly ErrorCode[]): Record<number, object> {
  const byStatus: Record<number, object> = {};
  for (const status of new Set(codes.map((code) => errorCodes[code].status))) {
    const list = codes.filter((code) => errorCodes[code].status === status);
    byStatus[status] = {
      ...Failure,
      description: list.map((code) => `${code}: ${errorCodes[code].when}`).join(' '),
    };
  }
  return byStatus;
}

function answerError(reply: FastifyReply, thrown: unknown, failed: (error: unknown) => void): void {
  const error = asAdminError(thrown);
  if (error.code === 'internal') failed(thrown);
  if (error.code === 'unauthorized') reply.header('www-authenticate', 'Bearer');
  if (error.code === 'method_not_allowed') reply.header('allow', 'GET');
  reply
    .code(errorCodes[error.code].status)
    .type('application/json')
    .send(JSON.stringify({ error: { code: error.code, message: error.message } }));
}
