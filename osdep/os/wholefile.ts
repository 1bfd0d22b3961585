/** Files that are replaced whole: whoever reads one, and whoever comes after a kill, finds what was there before or all that is new. */
import { renameSync, writeFileSync } from 'node:fs';

/** Of the name under which the new contents are written first; a killed writer may leave it. */
export const FRESH_SUFFIX = '.new';

/** One writer at a time. Its directory is there. Nothing is flushed to the disk: it outlives this process, not the machine. */
export function replaceFile(path: string, text: string, mode = 0o600): void {
  writeFileSync(path + FRESH_SUFFIX, text, { mode });
  renameSync(path + FRESH_SUFFIX, path);
}
