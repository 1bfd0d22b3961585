/**
 * A file system that exists only in memory until it is an archive: absolute paths, parents as needed, programs with the libraries that they
 * load. Knows nothing of what is put into it.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { cpio, type Entry } from '../../../xenstored/stubdom/cpio.ts';

export class Tree {
  readonly #entries = new Map<string, Entry>();

  folder(...paths: readonly string[]): void {
    for (const path of paths) this.#put(path, { kind: 'folder', path: path.slice(1) });
  }

  link(path: string, to: string): void {
    this.#put(path, { kind: 'link', path: path.slice(1), to });
  }

  text(path: string, text: string): void {
    this.#put(path, { kind: 'file', path: path.slice(1), bytes: Buffer.from(text), program: true });
  }

  /** A file of this machine, links followed. */
  file(path: string, from: string = path): void {
    const program = (statSync(from).mode & 0o111) !== 0;
    this.#put(path, { kind: 'file', path: path.slice(1), bytes: readFileSync(from), program });
  }

  /** Files and folders in a folder, at the same place. */
  copy(folder: string): void {
    for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
      const path = join(folder, entry);
      if (existsSync(path) && statSync(path).isFile()) this.file(path);
    }
  }

  /** A program, and what its dynamic linker will look for. */
  program(path: string, from: string = path): void {
    this.file(path, from);
    for (const library of librariesOf(from)) if (!this.#entries.has(library)) this.file(library);
  }

  archive(): Buffer {
    return cpio([...this.#entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry));
  }

  #put(path: string, entry: Entry): void {
    const parts = path.split('/').slice(1, -1);
    for (let depth = 1; depth <= parts.length; depth++) {
      const parent = `/${parts.slice(0, depth).join('/')}`;
      if (!this.#entries.has(parent)) this.#entries.set(parent, { kind: 'folder', path: parent.slice(1) });
    }
    this.#entries.set(path, entry);
  }
}

/** Absolute paths; none for a script or a static program. */
function librariesOf(program: string): readonly string[] {
  try {
    const told = execFileSync('ldd', [program], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return [...told.matchAll(/(?:=> |^\s*)(\/\S+)/gm)].map((match) => match[1]!);
  } catch {
    return [];
  }
}
