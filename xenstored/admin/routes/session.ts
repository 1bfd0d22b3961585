/**
 * Who the asker is to this service, and what is behind it.
 */
import { answer, failures, type Routes } from '../context.ts';
import { daemonOf } from '../daemon.ts';

const VERSION = '1';

export const sessionRoutes: Routes = (app, { store, tokens }) => {
  app.get(
    '/v1/session',
    {
      schema: {
        tags: ['daemon'],
        operationId: 'getSession',
        summary: 'The role of the token, and which daemon is behind',
        response: { 200: answer('Session', 'The session'), ...failures([]) },
      },
    },
    async ({ caller }) => ({
      role: caller.role,
      daemon: await daemonOf(store),
      version: VERSION,
      writable: tokens.writable,
      connected: store.connected,
    }),
  );
};
