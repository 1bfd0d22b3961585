/**
 * A subtree, page by page.
 */
import type { Clock } from '../../../osdep/clock.ts';
import { checkedPath, failures, type Routes, showsSecrets, storeFailures } from '../context.ts';
import { AdminError } from '../errors.ts';
import type { Live } from '../live.ts';
import { mirroredPage } from '../mirrortree.ts';
import { TreeQuery } from '../schemas.ts';
import { isWithin } from '../store.ts';
import { type Bounds, readSubtree } from '../tree.ts';

export const treeRoutes: Routes = (app, { store, show, live, clock }) => {
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
    async (request, reply) => {
      const { depth, limit, after, ...query } = request.query;
      const path = checkedPath(query.path);
      if (after !== undefined) checkAfter(path, after);
      const secrets = showsSecrets(request, query.secrets);
      if (secrets) request.audited = { path, secrets: 'show' };
      const bounds = { depth, limit, after };
      const text = secrets ? undefined : await fromMirror(live, path, bounds, clock);
      if (text !== undefined) return reply.type('application/json; charset=utf-8').send(text);
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

/** The reply's body out of memory; undefined: the store is to be read. */
async function fromMirror(
  live: Live,
  path: string,
  bounds: Bounds,
  clock: Clock,
): Promise<string | undefined> {
  const { depth, limit, after } = bounds;
  const mirrored = await live.mirrored(path, { depth, limit: after === undefined ? limit : undefined });
  const page = mirrored && (await mirroredPage(mirrored, path, bounds));
  if (page === undefined) return undefined;
  const { nodes, truncated, readAt } = page;
  const next = truncated === 'no' ? '' : `,"next":${JSON.stringify(nodes.at(-1)!.path)}`;
  const age = Math.max(0, Math.round(clock.now() - Math.min(readAt, clock.now())));
  const list = nodes.map((node) => live.json(node)).join(',');
  return `{"path":${JSON.stringify(path)},"nodes":[${list}],"truncated":"${truncated}"${next},"age_ms":${age}}`;
}

/** Throws bad_request. */
export function checkAfter(path: string, after: string): void {
  if (isWithin(path, checkedPath(after))) return;
  throw new AdminError('bad_request', 'after is `next` of a reply for the same path', {
    where: 'query.after',
  });
}
