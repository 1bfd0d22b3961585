/**
 * Directories of processes that outlive them: whoever comes next under the same name in the same domain finds the files as they were when its predecessor
 * died, whatever that one's code still does. Real files, in memory where there is such a place, which end with the host. Knows nothing of what is in them.
 */
import { accessSync, constants, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A disk may take long to remove a directory. */
function place(): string {
  try {
    accessSync('/dev/shm', constants.W_OK);
    return '/dev/shm';
  } catch {
    return tmpdir();
  }
}

export class Directories {
  #root: string | undefined;
  #made = 0;
  /** As predecessors left them, by name. */
  readonly #left = new Map<string, string>();

  /** A new one, with what was left under that name. */
  take(name: string): string {
    const path = this.#fresh();
    const left = this.#left.get(name);
    if (left === undefined) mkdirSync(path);
    else cpSync(left, path, { recursive: true });
    return path;
  }

  /** What is in it now is what is left. */
  leave(name: string, path: string): void {
    const copy = this.#fresh();
    cpSync(path, copy, { recursive: true });
    this.#left.set(name, copy);
  }

  close(): void {
    if (this.#root !== undefined) rmSync(this.#root, { recursive: true, force: true });
  }

  #fresh(): string {
    this.#root ??= mkdtempSync(join(place(), 'stubdom0-testkit-'));
    this.#made += 1;
    return join(this.#root, `${this.#made}`);
  }
}
