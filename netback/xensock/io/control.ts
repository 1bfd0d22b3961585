/**
 * What an administrator may ask and order of a running xensock, as HTTP on a unix socket: lists of sockets and decisions, the policy. The only importer
 * of fastify in this service, which is loaded when somebody asks for the first time. Knows nothing of where its answers come from.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer, type Server } from 'node:net';
import { dirname } from 'node:path';
import type { FastifyInstance } from 'fastify';

/** Who answers; values are for JSON. */
export interface Answers {
  readonly sockets: () => unknown;
  readonly decisions: () => unknown;
  readonly policy: () => unknown;
  /** Throws an Error of one line: it says what cannot be meant. */
  readonly replacePolicy: (value: unknown) => void;
}

export interface Control {
  close(): void;
}

const BODY_MAX_BYTES = 1024 * 1024;
const CONNECTIONS_MAX = 32;

/** Answers at a path, for its owner alone; whatever lay there is removed. Rejects with the system's error. */
export async function openControl(path: string, answers: Answers): Promise<Control> {
  let app: Promise<FastifyInstance> | undefined;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    app ??= buildApp(answers);
    app.then(
      (ready) => ready.server.emit('connection', socket),
      () => socket.destroy(),
    );
  });
  server.maxConnections = CONNECTIONS_MAX;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  rmSync(path, { force: true });
  await listening(server, path);
  chmodSync(path, 0o600);
  return {
    close() {
      server.close();
      rmSync(path, { force: true });
      app?.then((ready) => ready.close()).catch(() => {});
    },
  };
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve());
  });
}

async function buildApp({ sockets, decisions, policy, replacePolicy }: Answers): Promise<FastifyInstance> {
  // Not by import(), which may answer a CommonJS module that is only half evaluated while much else is going on.
  const { fastify } = createRequire(import.meta.url)('fastify') as typeof import('fastify');
  const app = fastify({ bodyLimit: BODY_MAX_BYTES, requestTimeout: 10_000, forceCloseConnections: true });
  app.get('/sockets', async () => sockets());
  app.get('/decisions', async () => decisions());
  app.get('/policy', async () => policy());
  app.put('/policy', async ({ body }, reply) => {
    try {
      replacePolicy(body);
    } catch (error) {
      return reply.code(400).send({ error: error instanceof Error ? error.message : String(error) });
    }
    return policy();
  });
  await app.ready();
  return app;
}
