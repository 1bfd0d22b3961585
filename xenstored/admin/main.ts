#!/usr/bin/env node
/**
 * `xenstore-admin`: flags, tokens, the audit log, the client and the application, introduced to each other. Decides nothing about a request.
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../../osdep/clock.ts';
import { connect } from '../client/index.ts';
import { onStop } from '../client/stop.ts';
import { Tokens } from './access.ts';
import { buildApp } from './app.ts';
import { type Audit, auditFile } from './audit.ts';
import { type Settings, settings, usage } from './flags.ts';
import { listen } from './listen.ts';
import { secretsOf } from './secrets.ts';
import { storeOf } from './source.ts';
import { soundToken, tokenFromFile } from './tokens.ts';

const clock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

function failed(error: unknown): void {
  console.error(error);
}

/** Its directory is made, too. */
function audit({ auditLog }: Settings): { audit?: Audit } {
  if (auditLog === undefined) return {};
  try {
    mkdirSync(dirname(auditLog), { recursive: true, mode: 0o700 });
    return { audit: auditFile(auditLog, clock, failed) };
  } catch (error) {
    throw new Error(
      `${auditLog}: the audit log cannot be written (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}

async function main(): Promise<void> {
  const chosen = settings(process.argv.slice(2), process.env);
  if (chosen === undefined) {
    process.stdout.write(usage);
    return;
  }
  // Set up before anything is waited for: a start can be broken off, too.
  const ending = new AbortController();
  onStop(() => ending.abort());

  const { run, socket, readToken, writeTokenFile, hosts, control } = chosen;
  const read =
    'file' in readToken ? tokenFromFile(readToken.file) : soundToken(readToken.value, 'XENSTORE_ADMIN_TOKEN');
  const write = writeTokenFile === undefined ? undefined : tokenFromFile(writeTokenFile);
  const client = await connect({
    ...(socket !== undefined ? { path: socket } : run !== undefined ? { run } : {}),
    signal: ending.signal,
  });
  const app = await buildApp({
    store: storeOf(client),
    tokens: new Tokens({ read, write }),
    clock,
    ...audit(chosen),
    secrets: secretsOf(chosen.secretNames),
    hosts,
    control,
    run,
    failed,
  });
  const place = await listen(app, chosen.listen);
  const link = place.startsWith('http') ? `${place}/#token=${read}` : place;
  const origin = 'file' in readToken ? readToken.file : 'XENSTORE_ADMIN_TOKEN';
  console.log(`xenstore-admin is ready at ${link} (token: ${origin})`);
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
