/**
 * A store for this service out of a client of any xenstored. Reads are a transaction that is always given up, so that what is seen is of one
 * moment and nothing can conflict. Whoever asks waits so long and no longer, whatever the daemon does.
 */
import type { Client, Store as Requests, Transaction } from '../client/index.ts';
import { AdminError } from './errors.ts';
import type { Store, StoreChange, StoreView } from './store.ts';

/** How often a change is begun again when others got in between. */
const RETRIES = 20;
const ANSWER_MS = 10_000;

export function storeOf(client: Client): Store {
  return {
    get connected() {
      return client.connected;
    },
    get connections() {
      return client.connections;
    },
    live: liveView(client),
    async snapshot<T>(read: (view: StoreView) => Promise<T>): Promise<T> {
      assertConnected(client);
      return await inTime(seen(client, read), unavailable);
    },
    async change<T>(body: (tx: StoreChange) => Promise<T>): Promise<T> {
      assertConnected(client);
      return await changed(client, body);
    },
    async *changes(path: string, signal: AbortSignal): AsyncIterable<string> {
      assertConnected(client);
      for await (const event of client.watch(path, { signal })) yield event.path;
    },
    async introduced(domid: number): Promise<boolean> {
      assertConnected(client);
      return await inTime(client.isDomainIntroduced(domid), unavailable);
    },
    async control(command: string, args: readonly string[]): Promise<string> {
      assertConnected(client);
      return await inTime(client.control(command, ...args), unavailable);
    },
  };
}

/** Each request for itself, in time. */
function liveView(client: Client): StoreView {
  const { read, directory, permissions } = view(client);
  const timely = <T>(ask: (path: string) => Promise<T>): ((path: string) => Promise<T>) => {
    return async (path) => {
      assertConnected(client);
      return await inTime(ask(path), unavailable);
    };
  };
  return { read: timely(read), directory: timely(directory), permissions: timely(permissions) };
}

async function seen<T>(client: Client, read: (view: StoreView) => Promise<T>): Promise<T> {
  try {
    return await client.transaction<never>(async (tx) => {
      throw new Seen(await read(view(tx)));
    });
  } catch (thrown) {
    if (thrown instanceof Seen) return thrown.what as T;
    throw thrown;
  }
}

/** Given up in time if it can be; once its commit is on its way nobody knows. */
async function changed<T>(client: Client, body: (tx: StoreChange) => Promise<T>): Promise<T> {
  let late = false;
  let committing = false;
  const change = client.transaction(
    async (tx) => {
      committing = false;
      const value = await body(changeOf(tx));
      if (late) throw unavailable();
      committing = true;
      return value;
    },
    { retries: RETRIES },
  );
  try {
    return await inTime(change, () => {
      late = true;
      return committing ? unknown() : unavailable();
    });
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (committing && code === 'ECONNRESET') throw unknown();
    // Begun again as often as it was because there was no connection to end it on.
    if (code === 'EAGAIN' && !client.connected) throw unavailable();
    throw error;
  }
}

async function inTime<T>(answer: Promise<T>, late: () => AdminError): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), ANSWER_MS);
  });
  try {
    return await Promise.race([answer, limit]);
  } finally {
    clearTimeout(timer);
  }
}

const unavailable = (): AdminError =>
  new AdminError('store_unavailable', 'the store cannot be reached at the moment');
const unknown = (): AdminError =>
  new AdminError('outcome_unknown', 'the store was lost while it made the change');

/** A request would wait for the next connection, and its asker with it. */
function assertConnected(client: Client): void {
  if (!client.connected) throw unavailable();
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
    directory: (path) => store.directory(path).catch(tooWide),
    permissions: (path) => store.getPerms(path),
  };
}

/** oxenstored lists what goes into one message, and no more. */
function tooWide(error: unknown): never {
  if ((error as { code?: unknown }).code !== 'E2BIG') throw error;
  throw new AdminError('not_offered', 'this daemon cannot list a node with so many children');
}

function changeOf(tx: Transaction): StoreChange {
  return {
    ...view(tx),
    write: (path, value) => tx.write(path, value),
    mkdir: (path) => tx.mkdir(path),
    remove: (path) => tx.rm(path),
    setPermissions: (path, permissions) => tx.setPerms(path, permissions),
  };
}
