/**
 * The REST service as a fastify application that listens to nothing yet: who may use it, how much of it, what errors look like, and the
 * OpenAPI document with its page. The only importer of fastify and of its plugins; knows no resource: routes/ has them.
 */
import { STATUS_CODES } from 'node:http';
import compress from '@fastify/compress';
import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { fastify } from 'fastify';
import type { Clock } from '../../osdep/clock.ts';
import { checkOrigin, Failures, Tokens } from './access.ts';
import type { Audit } from './audit.ts';
import { changeNamed } from './changeschemas.ts';
import { type App, type Context, guards, type Reply, type Request } from './context.ts';
import { AdminError, asAdminError, errorCodes, problemOf } from './errors.ts';
import { Inspect } from './inspect.ts';
import { Live } from './live.ts';
import { showOf } from './node.ts';
import { servePage } from './page.ts';
import { groups } from './routes/index.ts';
import { named } from './schemas.ts';
import { type Secrets, secretsOf } from './secrets.ts';
import { type Store, told } from './store.ts';
import { validatorOf } from './validate.ts';

export interface AppOptions {
  readonly store: Store;
  readonly tokens: Tokens;
  readonly clock: Clock;
  /** Default: nothing is recorded. */
  readonly audit?: Audit;
  readonly secrets?: Secrets;
  /** Names under which this service may be asked for, beside the loopback interface's. */
  readonly hosts?: readonly string[];
  /** Further control commands that are passed on. */
  readonly control?: readonly string[];
  /** The host's run directory, for what its backends count. */
  readonly run?: string | undefined;
  readonly limits?: Partial<Limits>;
  /** Told of mistakes of ours, whose text does not travel. */
  readonly failed: (error: unknown) => void;
}

export interface Limits {
  /** Requests a second for each token and address. */
  readonly reads: number;
  readonly writes: number;
}

export type { App };

/** Of the OpenAPI document's page: nothing from elsewhere. Its sheet has images in it, and its script sets styles. */
const DOCS_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');
const BODY_MAX_BYTES = 1 << 20;
const HEADERS_MAX_BYTES = 8192;
const CONNECTIONS_MAX = 512;
const limitsByDefault: Limits = { reads: 2_000, writes: 500 };
const silent: Audit = { sound: true, record: () => true };

export async function buildApp(options: AppOptions): Promise<App> {
  const context = contextOf(options);
  const app = fastify({
    bodyLimit: BODY_MAX_BYTES,
    requestTimeout: 10_000,
    keepAliveTimeout: 30_000,
    connectionTimeout: 60_000,
    forceCloseConnections: true,
    http: { maxHeaderSize: HEADERS_MAX_BYTES, headersTimeout: 10_000 },
    routerOptions: { maxParamLength: 128 },
    clientErrorHandler: (error, socket) => {
      if (socket.writable) socket.end(unparsed(error.code));
    },
  });
  app.server.maxConnections = CONNECTIONS_MAX;
  app.decorateRequest('caller');
  app.decorateRequest('audited');
  const shapes = [...named, ...changeNamed];
  for (const schema of shapes) app.addSchema(schema);
  app.setValidatorCompiler(validatorOf(shapes));
  // To compile one for each route and status takes longer than all else at start; that replies are as documented is for tests to say.
  app.setSerializerCompiler(() => (reply) => JSON.stringify(reply));

  const methods = methodsOf(app);
  app.setErrorHandler((error, request, reply) => answerError(request, reply, error, options.failed));
  app.setNotFoundHandler((request, reply) => {
    const url = request.url.split('?')[0]!;
    const known = methods.get(url);
    if (known === undefined) throw new AdminError('not_found', 'no such resource; see /openapi.json');
    reply.header('allow', [...known].join(', '));
    throw new AdminError('method_not_allowed', `${url} takes ${[...known].join(', ')}`);
  });

  guard(app, context, options.hosts);
  await app.register(rateLimit, rateLimits({ ...limitsByDefault, ...options.limits }));
  await app.register(compress, {
    global: true,
    encodings: ['gzip', 'deflate', 'identity'],
    zlibOptions: { level: 1 },
  });
  await app.register(swagger, {
    openapi: description,
    refResolver: { buildLocalReference: ({ $id }) => String($id) },
  });
  await app.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, open: true };
      route.schema = { ...route.schema, hide: true };
    });
    await scope.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: DOCS_POLICY,
      uiConfig: { validatorUrl: null, displayRequestDuration: true },
      theme: {
        title: 'xenstore-admin',
        css: [{ filename: 'plain.css', content: '.swagger-ui .topbar { display: none }' }],
      },
    });
    scope.get('/openapi.json', () => app.swagger());
  });
  for (const group of groups) await group(app, context);
  await servePage(app);
  return app;
}

/** Who may, and that it is on record. */
function guard(app: App, { tokens, audit, clock }: Context, hosts: readonly string[] | undefined): void {
  const wrongTokens = new Failures(clock);
  // What is on record is counted, so that nobody fills the log who may change nothing.
  const refused = new Failures(clock);
  app.addHook('onRequest', async (request) => {
    const { headers, ip = 'unix', routeOptions } = request;
    const { config, url } = routeOptions;
    const caller = tokens.callerOf(headers, ip);
    request.caller = caller;
    try {
      checkOrigin(headers, hosts);
    } catch (error) {
      if (!config.writes) throw error;
      refused.refuse(caller, error);
    }
    if (url === undefined || config.open) return;
    if (caller.role === 'none')
      wrongTokens.refuse(
        caller,
        new AdminError('unauthorized', 'send the token: Authorization: Bearer TOKEN'),
      );
    if (!config.writes) return;
    if (caller.role !== 'write') {
      const why = tokens.writable
        ? 'this needs the write token'
        : 'this service has no write token: it only shows';
      refused.refuse(caller, new AdminError('write_token_needed', why));
    }
    if (!audit.sound) throw new AdminError('audit_unavailable', 'the audit log cannot be written');
  });
  // Whoever asks to see secrets is on record, and sees none that could not be recorded.
  app.addHook('preValidation', async (request) => {
    const { caller, query } = request;
    if ((query as { secrets?: unknown }).secrets === undefined || caller.role === 'none') return;
    request.audited = query;
    if (caller.role !== 'write')
      refused.refuse(caller, new AdminError('write_token_needed', 'secrets=show needs the write token'));
    if (!audit.sound) throw new AdminError('audit_unavailable', 'the audit log cannot be written');
  });
  app.addHook('onSend', async (request, reply) => {
    for (const [name, value] of Object.entries(guards)) if (!reply.hasHeader(name)) reply.header(name, value);
    if (request.routeOptions.config.writes || request.audited !== undefined) record(request, reply, audit);
  });
}

/** The document without a service: for those who make something of it. */
export async function openapiDocument(): Promise<object> {
  const unused = new Proxy({}, { get: () => undefined }) as Store;
  const tokens = new Tokens({ read: 'none' });
  const clock: Clock = { now: () => 0, wallNow: () => 0, after: () => () => {} };
  const app = await buildApp({ store: unused, tokens, clock, failed: () => {} });
  await app.ready();
  const document = app.swagger();
  await app.close();
  return document;
}

function contextOf({ secrets = secretsOf(), ...options }: AppOptions): Context {
  const { store, tokens, clock, audit = silent, control = [], failed, run } = options;
  const show = showOf(secrets);
  const inspect = new Inspect(store, clock);
  const tellsAll = async (): Promise<boolean> => (await inspect.daemon()) === 'stubdom0';
  const live = new Live({ store, show, clock, tellsAll });
  return {
    store: told(store, (paths) => live.touched(paths)),
    tokens,
    clock,
    audit,
    control,
    failed,
    secrets,
    show,
    live,
    inspect,
    run,
  };
}

const description = {
  openapi: '3.1.0',
  info: {
    title: 'xenstore-admin',
    description:
      'What a xenstore holds, and what changes in it; with the write token also: to change it. Errors are problems of RFC 9457.',
    version: '1',
  },
  tags: [
    { name: 'store', description: 'What is in the store, and what changes' },
    { name: 'domains', description: 'What the store says of domains and their devices' },
    { name: 'daemon', description: 'What the daemon says of itself, and this service' },
  ],
  components: { securitySchemes: { token: { type: 'http' as const, scheme: 'bearer' } } },
  security: [{ token: [] }],
};

/** The methods of each path, as its routes are added. */
function methodsOf(app: App): ReadonlyMap<string, ReadonlySet<string>> {
  const methods = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const known = methods.get(url) ?? new Set();
    for (const each of [method].flat()) known.add(each);
    methods.set(url, known);
  });
  return methods;
}

function rateLimits({ reads, writes }: Limits): object {
  const changes = ({ routeOptions }: Request): boolean => routeOptions.config?.writes === true;
  return {
    timeWindow: 1_000,
    max: (request: Request) => (changes(request) ? writes : reads),
    keyGenerator: (request: Request) => {
      const { address, role, token } = request.caller;
      return `${changes(request) ? 'w' : 'r'} ${role === 'none' ? '' : token} ${address}`;
    },
    errorResponseBuilder: () => new AdminError('rate_limited', 'more requests than this service takes'),
  };
}

/** The whole reply to what is no request. */
function unparsed(code: string): string {
  const error =
    code === 'HPE_HEADER_OVERFLOW'
      ? new AdminError('headers_too_large', 'the headers are too large')
      : new AdminError('bad_request', 'that is no HTTP request, or it did not arrive in time');
  const body = JSON.stringify(problemOf(error));
  const { status } = errorCodes[error.code];
  const headers = `Content-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}`;
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers}\r\nConnection: close\r\n\r\n${body}`;
}

function record(request: Request, reply: Reply, audit: Audit): void {
  const { caller, audited, routeOptions } = request;
  const { operationId = routeOptions.url } = (routeOptions.schema ?? {}) as { operationId?: string };
  const code = codes.get(reply);
  // Whoever asks more than is answered shall not fill the log with it.
  if (code === 'rate_limited') return;
  // Refused before its route knew: what was asked for.
  const what = audited ?? request.query;
  audit.record({ ...caller, action: `${operationId}`, what, status: reply.statusCode, code });
}

/** Of replies that are errors. */
const codes = new WeakMap<Reply, string>();

function answerError(
  request: Request,
  reply: Reply,
  thrown: unknown,
  failed: (error: unknown) => void,
): void {
  const error = asAdminError(thrown);
  if (error.code === 'internal') failed(thrown);
  if (error.code === 'unauthorized') reply.header('www-authenticate', 'Bearer');
  codes.set(reply, error.code);
  reply
    .code(errorCodes[error.code].status)
    .type('application/problem+json')
    .send(request.method === 'HEAD' ? '' : JSON.stringify(problemOf(error)));
}
