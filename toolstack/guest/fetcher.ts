/**
 * A small guest that fetches: what its `vm-data/fetch` names, every few seconds, by an HTTP client as anybody would use it, over whatever sockets it has.
 * `data/fetch/<number>` in the store says what came, and how often. The only importer of undici.
 */
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { Agent, type buildConnector, request } from 'undici';
import type { Clock } from '../../osdep/clock.ts';
import type { Client } from '../../xenstored/client/index.ts';

const PATIENCE_MS = 10_000;

/** A connection that stands. Rejects where there is none. */
export type Dial = (host: string, port: number) => Promise<Duplex>;

export interface FetcherOptions {
  readonly store: Client;
  readonly clock: Clock;
  readonly print: (text: string) => void;
  readonly dial: Dial;
}

/** For as long as the guest lives, if it was told to. */
export async function runFetcher(options: FetcherOptions): Promise<void> {
  const { store, dial } = options;
  const numbers = await store.directory('vm-data/fetch').catch(() => []);
  const connect: buildConnector.connector = ({ hostname, port, protocol }, callback) => {
    const number = port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
    dial(hostname, number).then(
      (socket) => callback(null, socket as Parameters<typeof callback>[1] & Duplex),
      (error: Error) => callback(error, null),
    );
  };
  const agent = new Agent({ connect, headersTimeout: PATIENCE_MS, bodyTimeout: PATIENCE_MS });
  await Promise.all(
    numbers.map(async (number) => {
      const [everyS = '', url = ''] = (await store.readText(`vm-data/fetch/${number}`)).split(' ');
      await keepFetching(options, agent, { number, url, everyMs: Number(everyS) * 1000 });
    }),
  );
}

interface Errand {
  readonly number: string;
  readonly url: string;
  readonly everyMs: number;
}

async function keepFetching(options: FetcherOptions, agent: Agent, errand: Errand): Promise<void> {
  const { store, clock, print } = options;
  const { number, url, everyMs } = errand;
  let done = 0;
  let failed = 0;
  let last = '';
  let missing = '';
  for (;;) {
    try {
      last = await fetchOnce(agent, url);
      done++;
      missing = '';
    } catch (error) {
      failed++;
      missing = `, the last: ${reasonOf(error)}`;
    }
    const text = `${done} fetched, ${failed} failed${missing}${last === '' ? '' : `; ${last}`}`;
    await store
      .write(`data/fetch/${number}`, text)
      .catch((error: unknown) => print(`data/fetch/${number}: ${error}`));
    await new Promise<void>((resolve) => clock.after(everyMs, resolve));
  }
}

/** `200, 12 bytes, sha256 ...` */
async function fetchOnce(agent: Agent, url: string): Promise<string> {
  const { statusCode, body } = await request(url, { dispatcher: agent });
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    hash.update(piece);
    bytes += piece.length;
  }
  return `${statusCode}, ${bytes} bytes, sha256 ${hash.digest('hex')}`;
}

function reasonOf(error: unknown): string {
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
  return String(code ?? message ?? error);
}
