/**
 * One node: read, and later written, removed, given permissions.
 */

import { matches } from '../conditions.ts';
import {
  checkedPath,
  failures,
  type Reply,
  type Request,
  type Routes,
  showsSecrets,
  storeFailures,
} from '../context.ts';
import { readNode } from '../node.ts';
import { NodeQuery } from '../schemas.ts';

export const nodeRoutes: Routes = (app, { store, show }) => {
  app.get<{ Querystring: NodeQuery }>(
    '/v1/node',
    {
      schema: {
        operationId: 'getNode',
        summary: 'One node: its value, permissions and children',
        querystring: NodeQuery,
        response: {
          200: { $ref: 'Node#' },
          304: { description: 'It is as If-None-Match says.', type: 'null' },
          ...failures([...storeFailures, 'bad_path', 'no_such_node', 'write_token_needed']),
        },
      },
    },
    async (request, reply) => {
      const { query } = request;
      const path = checkedPath(query.path);
      const secrets = showsSecrets(request, query.secrets);
      if (secrets) request.audited = { path, secrets: 'show' };
      const node = show.node(await store.snapshot((view) => readNode(view, path)), { secrets });
      return unlessFresh(request, reply, node.etag) ?? node;
    },
  );
};

/** 304 if the asker has it already. */
function unlessFresh(request: Request, reply: Reply, etag: string): Reply | undefined {
  reply.header('etag', `"${etag}"`).header('cache-control', 'no-cache');
  return matches(request.headers['if-none-match'], etag) ? reply.code(304).send() : undefined;
}
