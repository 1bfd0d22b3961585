#!/usr/bin/env node
/**
 * `xenstore-admin`: flags, the token, the client and the application, introduced to each other. Decides nothing about a request.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Clock } from '../../osdep/clock.ts';
import { connect } from '../client/index.ts';
import { Tokens } from './access.ts';
import { buildApp } from './app.ts';
import { storeOf } from './source.ts';
import { soundToken, tokenFromFile } from './tokens.ts';

const usage = `Usage: xenstore-admin [options]
Serves a xenstore over REST on the loopback interface, read-only.

  --run DIR          run directory of a host; its store is DIR/xenstored/socket (default: STUBDOM0_RUN)
  --socket PATH      the store's socket or device (default: as Xen's own clients find it)
  --port PORT        0: any that is free (default: 7380)
  --token-file FILE  holds the bearer token; made, for its owner only, if it is not there
                     (default: admin.token in the run directory; or the token itself in XENSTORE_ADMIN_TOKEN)
  --help             this text
`;

interface Settings {
  readonly run: string | undefined;
  readonly socket: string | undefined;
  readonly port: number;
  readonly token: string;
  /** Where the token is, for people. */
  readonly tokenOrigin: string;
}

function settings(): Settings | undefined {
  const { values } = parseArgs({
    options: {
      run: { type: 'string' },
      socket: { type: 'string' },
      port: { type: 'string', default: '7380' },
      'token-file': { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const { STUBDOM0_RUN, XENSTORE_ADMIN_TOKEN } = process.env;
  const run = values.run ?? STUBDOM0_RUN;
  const port = Number(values.port);
  if (!/^\d{1,5}$/.test(values.port) || port > 65_535) throw new Error(`--port: ${values.port} is no port`);
  const file = values['token-file'] ?? (run === undefined ? undefined : join(run, 'admin.token'));
  const common = { run, socket: values.socket, port };
  if (values['token-file'] === undefined && XENSTORE_ADMIN_TOKEN !== undefined) {
    const token = soundToken(XENSTORE_ADMIN_TOKEN, 'XENSTORE_ADMIN_TOKEN');
    return { ...common, token, tokenOrigin: 'XENSTORE_ADMIN_TOKEN' };
  }
  if (file === undefined)
    throw new Error('say where the token is: --token-file FILE, --run DIR or XENSTORE_ADMIN_TOKEN');
  return { ...common, token: tokenFromFile(file), tokenOrigin: file };
}

const clock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

async function main(): Promise<void> {
  const chosen = settings();
  if (chosen === undefined) {
    process.stdout.write(usage);
    return;
  }
  // Set up before anything is waited for: a start can be broken off, too.
  const ending = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => ending.abort());
  // Whoever started us holds the other end.
  if (process.env.STUBDOM0_LIFELINE === 'stdin') process.stdin.once('end', () => ending.abort()).resume();

  const client = await connect({
    ...(chosen.socket !== undefined
      ? { path: chosen.socket }
      : chosen.run !== undefined
        ? { run: chosen.run }
        : {}),
    signal: ending.signal,
  });
  const app = await buildApp({
    store: storeOf(client),
    tokens: new Tokens({ read: chosen.token }),
    clock,
    failed: (error) => console.error(error),
  });
  const url = await app.listen({ host: '127.0.0.1', port: chosen.port });
  console.log(`xenstore-admin is ready at ${url} (token: ${chosen.tokenOrigin})`);
  const end = async (): Promise<void> => {
    await app.close();
    await client.close();
    process.exit(0);
  };
  if (ending.signal.aborted) await end();
  ending.signal.addEventListener('abort', () => void end());
}

main().catch((error: Error) => {
  console.error(`xenstore-admin: ${error.message}`);
  process.exit(1);
});
