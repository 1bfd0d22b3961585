/**
 * A subtree, page by page.
 */
import { checkedPath, failures, type Routes, showsSecrets, storeFailures } from '../context.ts';
import { AdminError } from '../errors.ts';
import { TreeQuery } from '../schemas.ts';
import { isWithin } from '../store.ts';
import { readSubtree } from '../tree.ts';

export const treeRoutes: Routes = (app, { store, show }) => {
  app.get<{ Querystring: TreeQuery }>(
    '/v1/tree',
    {
      schema: {
        operationId: 'getTree',
        summary: 'A subtree as a list, parents first, bounded in depth and size; the rest page by page',
        querystring: TreeQuery,
        response: {
          200: { $ref: 'Tree#' },
          ...failures([...storeFailures, 'bad_path', 'no_such_node', 'write_token_needed']),
        },
      },
    },
    async (request) => {
      const { depth, limit, after, ...query } = request.query;
      const path = checkedPath(query.path);
      if (after !== undefined) checkAfter(path, after);
      const secrets = showsSecrets(request, query.secrets);
      if (secrets) request.audited = { path, secrets: 'show' };
      const bounds = { depth, limit, after };
      const { nodes, truncated } = await store.snapshot((view) => readSubtree(view, path, bounds));
      const last = nodes.at(-1)?.path;
      return {
        path,
        nodes: nodes.map((node) => show.node(node, { secrets })),
        truncated,
        ...(truncated === 'no' ? {} : { next: last }),
      };
    },
  );
};

/** Throws bad_request. */
export function checkAfter(path: string, after: string): void {
  if (isWithin(path, checkedPath(after))) return;
  throw new AdminError('bad_request', 'after is `next` of a reply for the same path', {
    where: 'query.after',
  });
}
