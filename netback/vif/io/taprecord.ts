/**
 * Which TAP devices are ours, and whose they are: a file in the run directory, so that a process that comes after this one finds them again, and
 * removes those that nobody wants any more. Written whole and at once. Knows no device but by what the file says.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { replaceFile } from '../../../osdep/os/wholefile.ts';

export interface TapEntry {
  /** The backend's directory in the store. */
  readonly path: string;
  /** The device's number, and the name that it was made with. */
  readonly index: number;
  readonly name: string;
}

export class TapRecord {
  readonly #file: string;
  readonly #entries = new Map<string, TapEntry>();

  /** A file that is not there is an empty one; lines that make no sense are not read. */
  constructor(file: string) {
    this.#file = file;
    for (const line of textOf(file).split('\n')) {
      const [index, name, path, ...more] = line.split(' ');
      if (path === undefined || more.length > 0 || !/^\d{1,9}$/.test(index!)) continue;
      this.#entries.set(path, { path, name: name!, index: Number(index) });
    }
  }

  get entries(): readonly TapEntry[] {
    return [...this.#entries.values()];
  }

  find(path: string): TapEntry | undefined {
    return this.#entries.get(path);
  }

  /** Throws the file's error. */
  add(entry: TapEntry): void {
    this.#entries.set(entry.path, entry);
    this.#write();
  }

  remove(path: string): void {
    if (this.#entries.delete(path)) this.#write();
  }

  #write(): void {
    if (this.#entries.size === 0) {
      rmSync(this.#file, { force: true });
      return;
    }
    mkdirSync(dirname(this.#file), { recursive: true });
    const lines = this.entries.map(({ path, name, index }) => `${index} ${name} ${path}\n`);
    replaceFile(this.#file, lines.join(''), 0o644);
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
