/** What is in a folder and what can be run, for those to whom nothing is as good as no place to look. Knows no name. */
import { accessSync, constants, readdirSync } from 'node:fs';

/** Empty if the folder cannot be read. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
