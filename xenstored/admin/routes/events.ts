/**
 * Changes as they happen, as server-sent events.
 */
import {
  type Context,
  checkedPath,
  failures,
  guards,
  type Reply,
  type Request,
  type Routes,
  storeFailures,
} from '../context.ts';
import { AdminError } from '../errors.ts';
import { EventStream } from '../events.ts';
import { EventsQuery } from '../eventschemas.ts';
import type { Subscriber } from '../livetree.ts';

const STREAMS_MAX = 128;

export const eventRoutes: Routes = (app, context) => {
  let streams = 0;
  app.get<{ Querystring: EventsQuery }>(
    '/v1/events',
    {
      exposeHeadRoute: false,
      schema: {
        tags: ['store'],
        operationId: 'getEvents',
        summary: 'Changes at or below a path, as server-sent events: changes, resync, store',
        querystring: EventsQuery,
        produces: ['text/event-stream'],
        response: failures([...storeFailures, 'bad_path', 'too_many_streams']),
      },
    },
    async (request, reply) => {
      if (streams >= STREAMS_MAX) throw new AdminError('too_many_streams', `${STREAMS_MAX} streams are open`);
      streams++;
      try {
        await stream(request, reply, context, request.query);
      } finally {
        streams--;
      }
    },
  );
  app.addHook('preClose', async () => context.live.close());
};

/** Until the reader is gone, is too slow, or the watch ends. Throws while the reader can still be given a status. */
async function stream(
  request: Request,
  reply: Reply,
  { live, clock, store }: Context,
  { path, nodes }: EventsQuery,
): Promise<void> {
  const { raw } = reply;
  let events: EventStream | undefined;
  const subscriber: Subscriber = {
    path: checkedPath(path),
    nodes,
    changes: (told) => events?.changes(told),
    resync: (reason, seq) => events?.resync(reason, seq),
    ended: () => events?.end(),
  };
  const gone = new Promise<void>((resolve) => raw.once('close', resolve));
  const subscription = await live.subscribe(subscriber);
  try {
    reply.hijack();
    request.raw.socket.setNoDelay(true).setTimeout(0);
    raw.on('error', () => {});
    raw.writeHead(200, { ...guards, 'content-type': 'text/event-stream' });
    const known = knownTo(request, live.epoch);
    events = new EventStream(
      {
        pipe: raw,
        clock,
        epoch: live.epoch,
        connected: () => store.connected,
        missed: (seq) => subscription.tree.missed(subscriber, seq),
      },
      known ?? subscription.seq,
    );
    raw.on('drain', () => events?.drained());
    if (known !== undefined) events.resume();
    if (!raw.destroyed) await gone;
  } finally {
    events?.closed();
    subscription.close();
  }
}

/** Of a reader that comes again: up to where it knows all. Another epoch's numbers tell nothing: it knows nothing. */
function knownTo({ headers }: Request, epoch: string): number | undefined {
  const id = headers['last-event-id'];
  if (typeof id !== 'string') return undefined;
  const [, of, seq] = /^([0-9a-f]{1,32})-(\d{1,15})$/.exec(id) ?? [];
  return of === epoch ? Number(seq) : -1;
}
