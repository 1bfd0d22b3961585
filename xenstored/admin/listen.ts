/**
 * Where the service listens: an address and port, or a unix socket for its owner alone. Knows no request.
 */
import { lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import type { App } from './context.ts';
import type { Place } from './flags.ts';

/** Answers where: a URL, or `unix:PATH`. Throws with one line. */
export async function listen(app: App, place: Place): Promise<string> {
  if ('path' in place) return await listenUnix(app, place.path);
  const { host, port } = place;
  try {
    return await app.listen({ host, port });
  } catch (error) {
    throw new Error(reason(error, `${host}:${port}`, '; --port 0 takes one that is free'));
  }
}

async function listenUnix(app: App, path: string): Promise<string> {
  await removeStale(path);
  // Nobody else may come in between its being made and its being closed to others.
  const before = process.umask(0o177);
  try {
    await app.listen({ path });
  } catch (error) {
    throw new Error(reason(error, path, ''));
  } finally {
    process.umask(before);
  }
  return `unix:${path}`;
}

function reason(error: unknown, where: string, advice: string): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE') return `${where} is in use${advice}`;
  return code === undefined ? message : `cannot listen on ${where} (${code})`;
}

/** What a predecessor that was killed has left. One that is served stays, and is in use. */
async function removeStale(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return;
  const served = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => resolve(true));
    probe.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code !== 'ECONNREFUSED'));
    probe.once('connect', () => probe.destroy());
  });
  if (!served) unlinkSync(path);
}
