/**
 * Folders that take long to make and are kept from one run to the next, and folders that last no longer than the work done in them. Both are
 * safe against others who do the same at the same time, and against an end in the middle. Knows nothing of what is in them.
 */
import { existsSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, stat, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

const KEPT_DAYS = 7;

/** Where everything is kept that can be made again: `STUBDOM0_CACHE`, else stubdom0 in the user's cache. */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  return resolve(env.STUBDOM0_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'stubdom0'));
}

/**
 * The folder `name` in `cache`; `make` fills it where it is not there yet. It is made aside and renamed, so that it is whole or not there, and
 * who comes second with it throws his own away. Others of its kind (the same first word) go when nobody has wanted them for a week.
 */
export async function kept(
  cache: string,
  name: string,
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const folder = join(cache, name);
  await mkdir(cache, { recursive: true });
  if (!existsSync(folder)) {
    await inFolder(join(cache, '.making-'), async (work) => {
      const made = join(work, name);
      await mkdir(made);
      await make(made);
      await rename(made, folder).catch((error: NodeJS.ErrnoException) => {
        if (!existsSync(folder)) throw error;
      });
    });
  }
  const now = new Date();
  await utimes(folder, now, now);
  const kind = name.slice(0, name.indexOf('-') + 1);
  for (const entry of await readdir(cache)) {
    if (entry === name || !(entry.startsWith(kind) || entry.startsWith('.making-'))) continue;
    const { mtimeMs } = await stat(join(cache, entry)).catch(() => ({ mtimeMs: now.getTime() }));
    if (now.getTime() - mtimeMs > KEPT_DAYS * 86_400_000)
      rmSync(join(cache, entry), { recursive: true, force: true });
  }
  return folder;
}

/** A new folder whose path begins with `prefix`, for the time of `body`; it goes as well where the process ends by itself meanwhile. */
export async function inFolder<T>(prefix: string, body: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(prefix);
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  try {
    return await body(folder);
  } finally {
    process.off('exit', remove);
    remove();
  }
}
