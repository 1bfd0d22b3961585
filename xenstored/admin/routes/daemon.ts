/**
 * The daemon from inside, as far as it tells.
 */
import { failures, type Routes, storeFailures } from '../context.ts';
import { type Part, parts } from '../inspect.ts';
import { ListingQuery, rows, TraceQuery } from '../inspectschemas.ts';
import { strict, Type } from '../schemas.ts';

const summaries: Readonly<Record<Exclude<Part, 'trace'>, string>> = {
  connections: 'Who is connected, and what each holds',
  watches: 'Watches that are set',
  transactions: 'Transactions that are open',
  rings: 'Rings of domains: indices, what waits',
  quotas: 'What each domain uses of its quotas',
  refusals: 'What was refused lately for want of rights or quota',
};

export const daemonRoutes: Routes = (app, { inspect, live }) => {
  app.get(
    '/v1/daemon',
    {
      schema: {
        operationId: 'getDaemon',
        summary: 'Which daemon this is, what it tells, and what this service asks of it',
        response: { 200: { $ref: 'Daemon#' }, ...failures(storeFailures) },
      },
    },
    async () => {
      const [daemon, has] = await Promise.all([inspect.daemon(), inspect.has()]);
      const statistics = await inspect.statistics().catch(() => undefined);
      return {
        daemon,
        has,
        ...(statistics && { statistics: Object.fromEntries(statistics) }),
        watches: live.watches,
      };
    },
  );

  for (const part of parts) {
    if (part === 'trace') continue;
    app.get<{ Querystring: ListingQuery }>(
      `/v1/daemon/${part}`,
      {
        schema: {
          operationId: `get${part[0]!.toUpperCase()}${part.slice(1)}`,
          summary: summaries[part],
          querystring: ListingQuery,
          response: {
            200: Type.Object(
              {
                [part]: Type.Array(rows[part]!),
                more: Type.Boolean({ description: 'There are more than `limit`.' }),
              },
              strict,
            ),
            ...failures([...storeFailures, 'not_offered']),
          },
        },
      },
      async ({ query: { limit, domid } }) => {
        const listing = await inspect.listing(part, limit, domid);
        return { [part]: listing.rows, more: listing.more };
      },
    );
  }

  app.get<{ Querystring: TraceQuery }>(
    '/v1/daemon/trace',
    {
      schema: {
        operationId: 'getTrace',
        summary: 'Who wrote what lately',
        querystring: TraceQuery,
        response: { 200: { $ref: 'Trace#' }, ...failures([...storeFailures, 'not_offered']) },
      },
    },
    async ({ query: { after, limit, domid } }) => {
      const { entries, next } = await inspect.trace(after, limit, domid);
      return {
        entries: entries.map(({ ageMs, ...entry }) => ({ ...entry, age_ms: ageMs })),
        next,
      };
    },
  );
};
