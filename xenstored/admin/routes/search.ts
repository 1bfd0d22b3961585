/**
 * Search, page by page, a few at a time.
 */
import {
  answer,
  checkedPath,
  failures,
  type Reply,
  type Routes,
  showsSecrets,
  storeFailures,
} from '../context.ts';
import { AdminError } from '../errors.ts';
import { SearchQuery } from '../schemas.ts';
import { search } from '../search.ts';
import { checkAfter } from './tree.ts';

const SEARCHES_MAX = 4;

export const searchRoutes: Routes = (app, { store, show, secrets, clock }) => {
  let searches = 0;
  app.get<{ Querystring: SearchQuery }>(
    '/v1/search',
    {
      exposeHeadRoute: false,
      schema: {
        tags: ['store'],
        operationId: 'search',
        summary: 'Nodes by their names or values; an empty page with `next` is not the end',
        querystring: SearchQuery,
        response: {
          200: answer('SearchReply', 'What was found in this stretch'),
          ...failures([
            ...storeFailures,
            'bad_path',
            'no_such_node',
            'too_many_searches',
            'write_token_needed',
          ]),
        },
      },
    },
    async (request, reply) => {
      const { q, in: where, limit, after, ...query } = request.query;
      const under = checkedPath(query.under);
      if (after !== undefined) checkAfter(under, after);
      const all = showsSecrets(request, query.secrets);
      if (searches >= SEARCHES_MAX)
        throw new AdminError('too_many_searches', `${SEARCHES_MAX} searches are under way`);
      searches++;
      try {
        const wanted = { text: q, in: where, under, limit, after, secrets: all };
        const found = await search(store.live, wanted, { secrets, clock, signal: goneOf(reply) });
        return { ...found, nodes: found.nodes.map((node) => show.node(node, { secrets: all })) };
      } finally {
        searches--;
      }
    },
  );
};

/** Aborts when the asker goes away. */
function goneOf({ raw }: Reply): AbortSignal {
  const gone = new AbortController();
  raw.once('close', () => gone.abort());
  return gone.signal;
}
