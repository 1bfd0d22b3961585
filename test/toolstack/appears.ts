/** A file that another process makes, waited for without asking again and again: whoever makes it wants the processor. */
import { once } from 'node:events';
import { existsSync, watch } from 'node:fs';
import { dirname } from 'node:path';

/** Some folder above it is there. */
export async function appears(path: string): Promise<void> {
  if (existsSync(path)) return;
  await appears(dirname(path));
  const watcher = watch(dirname(path));
  try {
    while (!existsSync(path)) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
}
