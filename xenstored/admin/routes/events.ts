/**
 * Changes as they happen, as server-sent events.
 */
import {
  type Context,
  checkedPath,
  failures,
  type Reply,
  type Request,
  type Routes,
  storeFailures,
} from '../context.ts';
import { AdminError, asAdminError } from '../errors.ts';
import { EventStream } from '../events.ts';
import { PathQuery } from '../schemas.ts';

const STREAMS_MAX = 64;

export const eventRoutes: Routes = (app, context) => {
  let streams = 0;
  app.get<{ Querystring: PathQuery }>(
    '/v1/events',
    {
      exposeHeadRoute: false,
      schema: {
        operationId: 'getEvents',
        summary: 'Changes at or below a path, as server-sent events: change, dropped',
        querystring: PathQuery,
        produces: ['text/event-stream'],
        response: failures([...storeFailures, 'bad_path', 'too_many_streams']),
      },
    },
    async (request, reply) => {
      const path = checkedPath(request.query.path);
      if (streams >= STREAMS_MAX) throw new AdminError('too_many_streams', `${STREAMS_MAX} streams are open`);
      streams++;
      try {
        await stream(request, reply, context, path);
      } finally {
        streams--;
      }
    },
  );
};

/** Until the reader is gone, is too slow, or the watch ends. Throws while the reader can still be given a status. */
async function stream(
  request: Request,
  reply: Reply,
  { store, clock }: Context,
  path: string,
): Promise<void> {
  const { raw } = reply;
  const gone = new AbortController();
  raw.on('close', () => gone.abort());
  const changes = store.changes(path, gone.signal)[Symbol.asyncIterator]();
  let change = await changes.next();

  reply.hijack();
  request.raw.socket.setNoDelay(true).setTimeout(0);
  raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const events = new EventStream(raw, clock);
  raw.on('drain', () => events.drained());
  raw.on('error', () => {});
  if (gone.signal.aborted) events.closed();
  gone.signal.addEventListener('abort', () => events.closed());
  try {
    while (!change.done && events.change(change.value)) change = await changes.next();
    events.drop('the watch ended');
  } catch (error) {
    events.drop(asAdminError(error).message);
  } finally {
    await changes.return?.();
  }
}
