/**
 * After a scenario: its domains go, its logs are kept, and the next one finds a store that answers.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { startConsoled } from './consoled.ts';
import { guestDomids } from './domains.ts';
import { exec } from './exec.ts';
import type { Store } from './store.ts';

const LOGS = '/var/log/xen';

/**
 * Destroys all guests, and sees to what the store's daemon left deaf if it was killed. Answers why nothing else can run in this boot;
 * undefined when it can. Never throws.
 */
export async function afterwards(
  store: Store,
  killed: boolean,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (store.kind === 'none') return undefined;
  try {
    await exec('xenstore-read', ['/'], { limitS: 10 }, signal);
    const { stdout } = await exec('xl', ['list'], { limitS: 20 }, signal);
    for (const domid of guestDomids(stdout)) await exec('xl', ['destroy', domid], { limitS: 20 }, signal);
    if (killed) await startConsoled((...run) => exec(...run, signal));
    return undefined;
  } catch (error) {
    return `dom0 did not recover: ${(error as Error).message}`;
  }
}

/** Copies Xen's logs and what else is wanted to `folder`, and removes the guests' consoles: the next guest of the name is another. */
export async function keep(folder: string, wanted: ReadonlySet<string>): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const path of [LOGS, '/tmp/guests', ...wanted]) {
    if (!existsSync(path)) continue;
    try {
      const filter = (from: string) => !from.endsWith('.cpio');
      cpSync(path, join(folder, basename(path)), { recursive: true, filter });
    } catch (error) {
      console.error(`keeping ${path}: ${(error as Error).message}`);
    }
  }
  for (const name of existsSync(LOGS) ? readdirSync(LOGS) : [])
    if (name.startsWith('guest-')) rmSync(join(LOGS, name));
  rmSync('/tmp/guests', { recursive: true, force: true });
}
