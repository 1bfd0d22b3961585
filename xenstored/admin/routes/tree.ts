/**
 * A subtree, page by page.
 */
import { createHash } from 'node:crypto';
import { matches } from '../conditions.ts';
import {
  answer,
  cachedAs,
  checkedPath,
  failures,
  type Reply,
  type Request,
  type Routes,
  showsSecrets,
  storeFailures,
} from '../context.ts';
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
        tags: ['store'],
        operationId: 'getTree',
        summary: 'A subtree as a list, parents first, bounded in depth and size; the rest page by page',
        querystring: TreeQuery,
        response: {
          200: answer('Tree', 'The page'),
          304: { description: 'It is as If-None-Match says.', type: 'null' },
          ...failures([...storeFailures, 'bad_path', 'no_such_node', 'write_token_needed']),
        },
      },
    },
    async (request, reply) => {
      const { depth, limit, after, ...query } = request.query;
      const path = checkedPath(query.path);
      if (after !== undefined) checkAfter(path, after);
      const secrets = showsSecrets(request, query.secrets);
      const bounds = { depth, limit, after };
      const page = secrets ? undefined : await fromMirror(live, path, bounds);
      if (page !== undefined) {
        const { text, tag, readAt } = page;
        if (isFresh(request, reply, tag, false)) return reply.code(304).send();
        const age = Math.max(0, Math.round(clock.now() - Math.min(readAt, clock.now())));
        return reply.type('application/json; charset=utf-8').send(`${text},"age_ms":${age}}`);
      }
      const read = await store.snapshot((view) => readSubtree(view, path, bounds));
      const { truncated } = read;
      const nodes = read.nodes.map((node) => show.node(node, { secrets }));
      const etags = nodes.map(({ etag }) => etag);
      const tag = tagOf([truncated, `${secrets}`, ...etags]);
      if (isFresh(request, reply, tag, secrets)) return reply.code(304).send();
      return { path, nodes, truncated, ...(truncated === 'no' ? {} : { next: nodes.at(-1)?.path }) };
    },
  );
};

interface Page {
  /** The reply's body, but for its end. */
  readonly text: string;
  readonly tag: string;
  readonly readAt: number;
}

/** Out of memory, and made once as long as nothing changes; undefined: the store is to be read. */
async function fromMirror(live: Live, path: string, bounds: Bounds): Promise<Page | undefined> {
  const { depth, limit, after } = bounds;
  const mirrored = await live.mirrored(path, { depth, limit: after === undefined ? limit : undefined });
  return await mirrored?.kept(`page ${path} ${depth} ${limit} ${after}`, async () => {
    const page = await mirroredPage(mirrored, path, bounds);
    if (page === undefined) return undefined;
    const { nodes, truncated, readAt } = page;
    const next = truncated === 'no' ? '' : `,"next":${JSON.stringify(nodes.at(-1)!.path)}`;
    const list = nodes.map((node) => live.json(node)).join(',');
    return {
      text: `{"path":${JSON.stringify(path)},"nodes":[${list}],"truncated":"${truncated}"${next}`,
      tag: tagOf([truncated, ...nodes.map((node) => live.shown(node).etag)]),
      readAt,
    };
  });
}

/** Has the asker this page already, whatever its age? Says which it is. */
function isFresh(request: Request, reply: Reply, tag: string, secrets: boolean): boolean {
  reply.header('etag', `W/"${tag}"`).header('cache-control', cachedAs(secrets));
  return matches(request.headers['if-none-match'], tag);
}

function tagOf(parts: readonly string[]): string {
  return createHash('sha256').update(parts.join(' ')).digest('base64url').slice(0, 27);
}

/** Throws bad_request. */
export function checkAfter(path: string, after: string): void {
  if (isWithin(path, checkedPath(after))) return;
  throw new AdminError('bad_request', 'after is `next` of a reply for the same path', {
    where: 'query.after',
  });
}
