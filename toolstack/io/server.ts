/**
 * A toolstack on a unix socket, for its owner alone: `toolstack/socket` in the run directory. An order is a POST to its name, its answer lines of JSON: how far
 * it has come, at last what came of it. Who goes away breaks off what he ordered. The only importer of fastify here. Knows no domain.
 */
import { once } from 'node:events';
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { createConnection, createServer, type Server } from 'node:net';
import { dirname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Progress } from '../core/toolstack.ts';
import { Fault, reasonOf } from './fault.ts';
import { type AnswerLine, type OrderName, orderSchemas } from './orders.ts';
import type { Toolstack } from './toolstack.ts';

const BODY_MAX_BYTES = 1 << 20;
const CONNECTIONS_MAX = 256;

export interface ToolstackServer {
  /** Rejects if it cannot take orders after all. */
  readonly serving: Promise<unknown>;
  /** Takes no more orders, and breaks off those under way; resolves when all is undone. */
  close(): Promise<void>;
}

/** Throws Fault: somebody else serves there. */
export async function serveToolstack(path: string, toolstack: Toolstack): Promise<ToolstackServer> {
  const orders = new Set<Promise<void>>();
  const ending = new AbortController();
  const app = buildApp(toolstack, ending.signal, orders);
  app.catch(() => {});
  // Orders may come before it is ready for them.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    app.then(
      (ready) => ready.server.emit('connection', socket),
      () => socket.destroy(),
    );
  });
  server.maxConnections = CONNECTIONS_MAX;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  if (await answers(path)) throw new Fault(`${path}: a toolstack serves there already`);
  rmSync(path, { force: true });
  await listening(server, path);
  chmodSync(path, 0o600);
  return {
    serving: app,
    async close() {
      server.close();
      rmSync(path, { force: true });
      ending.abort();
      await Promise.allSettled(orders);
      await (await app).close();
    },
  };
}

async function listening(server: Server, path: string): Promise<void> {
  server.listen(path);
  await once(server, 'listening');
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

interface Asking {
  readonly progress: (made: Progress) => void;
  readonly signal: AbortSignal;
}

/** Each order's own fields, checked against its schema before they are taken for what they are. */
type Field =
  | 'order'
  | 'domain'
  | 'how'
  | 'wait'
  | 'name'
  | 'letter'
  | 'kind'
  | 'device'
  | 'type'
  | 'number'
  | 'path'
  | 'clear';
type Body = Readonly<Record<Field, never>>;
type Orders = Readonly<Record<OrderName, (body: Body, asking: Asking) => Promise<unknown>>>;

function ordersOf(toolstack: Toolstack): Orders {
  return {
    list: () => toolstack.list(),
    info: () => toolstack.info(),
    plan: ({ order }) => toolstack.plan(order),
    create: ({ order }, { progress, signal }) => toolstack.create(order, progress, signal),
    destroy: ({ domain }) => toolstack.destroy(domain),
    shutdown: ({ domain, how, wait }, { signal }) => toolstack.shutdown(domain, how, wait, signal),
    pause: ({ domain }) => toolstack.pause(domain),
    unpause: ({ domain }) => toolstack.unpause(domain),
    rename: ({ domain, name }) => toolstack.rename(domain, name),
    sysrq: ({ domain, letter }) => toolstack.sysrq(domain, letter),
    devices: ({ domain, kind }) => toolstack.devices(domain, kind),
    attach: ({ domain, device }) => toolstack.attach(domain, device),
    detach: ({ domain, kind, device, how }) => toolstack.detach(domain, kind, device, how),
    consoleNode: ({ domain, type, number }) => toolstack.consoleNode(domain, type, number),
    readNode: ({ path }) => toolstack.readNode(path),
    dmesg: ({ clear }) => toolstack.dmesg(clear),
    gc: () => toolstack.gc(),
  };
}

async function buildApp(
  toolstack: Toolstack,
  ending: AbortSignal,
  under: Set<Promise<void>>,
): Promise<FastifyInstance> {
  // After whoever waits for the door to be opened. Not by import(), which may answer a CommonJS module that is only half evaluated while much else is going on.
  await setImmediate();
  const { fastify } = createRequire(import.meta.url)('fastify') as typeof import('fastify');
  const app = fastify({
    bodyLimit: BODY_MAX_BYTES,
    forceCloseConnections: true,
    ajv: {
      customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false, allErrors: false },
    },
  });
  const orders = ordersOf(toolstack);
  for (const name of Object.keys(orders) as OrderName[]) {
    app.post<{ Body: Body }>(`/${name}`, { schema: { body: orderSchemas[name] } }, (request, reply) => {
      reply.hijack();
      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort());
      const signal = AbortSignal.any([gone.signal, ending]);
      const work = answer(reply.raw, (progress) => orders[name](request.body, { progress, signal }));
      under.add(work);
      void work.finally(() => under.delete(work));
    });
  }
  app.setErrorHandler((error: Error, _, reply) => {
    const fault: AnswerLine = { fault: { message: error.message, exitCode: 1 } };
    return reply.code(400).send(fault);
  });
  await app.ready();
  return app;
}

/** Never rejects. */
async function answer(
  response: ServerResponse,
  order: (progress: (made: Progress) => void) => Promise<unknown>,
): Promise<void> {
  const line = (one: AnswerLine): string => `${JSON.stringify(one)}\n`;
  response.on('error', () => {});
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  try {
    const result = await order((progress) => response.write(line({ progress })));
    response.end(line({ result }));
  } catch (error) {
    response.end(line(failure(error)));
  }
}

function failure(error: unknown): AnswerLine {
  if (!(error instanceof Fault)) return { error: reasonOf(error) };
  const { message, kind, exitCode } = error;
  return { fault: { message, exitCode, ...(kind !== undefined && { kind }) } };
}
