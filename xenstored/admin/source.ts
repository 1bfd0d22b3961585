/**
 * A store for this service out of a client of any xenstored. Reads are a transaction that is always given up, so that what is seen is of one
 * moment and nothing can conflict.
 */
import type { Client, Store as Requests } from '../client/index.ts';
import { AdminError } from './errors.ts';
import type { Store, StoreView } from './store.ts';

export function storeOf(client: Client): Store {
  return {
    async snapshot<T>(read: (view: StoreView) => Promise<T>): Promise<T> {
      assertConnected(client);
      try {
        return await client.transaction<never>(async (tx) => {
          throw new Seen(await read(view(tx)));
        });
      } catch (thrown) {
        if (thrown instanceof Seen) return thrown.what as T;
        throw thrown;
      }
    },
    async *changes(path: string, signal: AbortSignal): AsyncIterable<string> {
      assertConnected(client);
      for await (const event of client.watch(path, { signal })) yield event.path;
    },
  };
}

/** A request would wait for the next connection, and its asker with it. */
function assertConnected(client: Client): void {
  if (!client.connected)
    throw new AdminError('store_unavailable', 'the store cannot be reached at the moment');
}

/** Thrown through a transaction's body, which gives the transaction up. */
class Seen {
  readonly what: unknown;
  constructor(what: unknown) {
    this.what = what;
  }
}

function view(store: Requests): StoreView {
  return {
    read: (path) => store.read(path),
    directory: (path) => store.directory(path),
    permissions: (path) => store.getPerms(path),
  };
}
