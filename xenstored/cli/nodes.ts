/**
 * read, write, rm, exists, list and chmod: what they do and what they print is that of Xen's clients
 * (tools/xs-clients/xenstore_client.c). Output is gathered and printed at the end, so that a transaction that is begun again
 * leaves no trace of its first run.
 */
import { XenstoreError } from '../client/error.ts';
import type { PermEntry, PermLetter, Store } from '../client/store.ts';
import { atoi } from '../wire/request.ts';
import { escapeValue, fromBytes, fromText, toBytes, unescapeValue } from './bytes.ts';
import type { Mode, Wanted } from './modes.ts';
import { fail, failWith, type Program, warn } from './program.ts';

/** Several values are read or written as one. */
export function inTransaction({ mode, operands }: Wanted): boolean {
  if (mode === 'read') return operands.length > 1;
  return mode === 'write' ? operands.length > 2 : true;
}

/** What a run came to: the exit status, and what is to be printed. */
export interface Outcome {
  readonly status: number;
  readonly output: string;
}

export type NodeMode = Exclude<Mode, 'ls' | 'watch'>;

/** Runs one mode on a store or in a transaction. Throws `Exit` where Xen's client ends on the spot, without its output. */
export async function perform(
  program: Program,
  store: Store,
  mode: NodeMode,
  wanted: Wanted,
): Promise<Outcome> {
  const run = new Run(program, store, wanted);
  const status = await run[mode]();
  return { status, output: run.output };
}

class Run implements Record<NodeMode, () => Promise<number>> {
  readonly #program: Program;
  readonly #store: Store;
  readonly #flags: ReadonlySet<string>;
  readonly #operands: readonly string[];
  output = '';

  constructor(program: Program, store: Store, { flags, operands }: Wanted) {
    this.#program = program;
    this.#store = store;
    this.#flags = flags;
    this.#operands = operands;
  }

  async read(): Promise<number> {
    for (const path of this.#operands) {
      const value = await refused(this.#store.read(path));
      if (value === REFUSED) return this.#warn(`couldn't read path ${path}`);
      const text = fromBytes(value);
      if (this.#flags.has('p')) this.output += `${path}: `;
      this.output += this.#flags.has('R') ? text : `${escapeValue(text)}\n`;
    }
    return 0;
  }

  async write(): Promise<number> {
    for (let at = 0; at < this.#operands.length; at += 2) {
      const [path = '', given = ''] = this.#operands.slice(at, at + 2);
      const value = toBytes(this.#flags.has('R') ? given : unescapeValue(given));
      if ((await refused(this.#store.write(path, value))) === REFUSED) {
        return this.#warn(`could not write path ${path}`);
      }
    }
    return 0;
  }

  async rm(): Promise<number> {
    for (const operand of this.#operands) {
      for (let path: string | undefined = operand; path !== undefined; ) {
        if ((await refused(this.#store.rm(path))) === REFUSED) {
          return this.#warn(`could not remove path ${path}`);
        }
        path = this.#flags.has('t') ? await this.#emptyParent(path) : undefined;
      }
    }
    return 0;
  }

  async exists(): Promise<number> {
    for (const path of this.#operands) if ((await refused(this.#store.read(path))) === REFUSED) return 1;
    return 0;
  }

  async list(): Promise<number> {
    for (const path of this.#operands) {
      const names = await refused(this.#store.directory(path));
      if (names === REFUSED) return this.#warn(`could not list path ${path}`);
      const prefix = this.#flags.has('p') ? `${path === '/' ? '' : path}/` : '';
      for (const name of names) this.output += `${prefix}${fromText(name)}\n`;
    }
    return 0;
  }

  async chmod(): Promise<number> {
    const [path = '', ...specifications] = this.#operands;
    const perms = specifications.map((text) => this.#permission(text));
    await this.#setPerms(path, perms, { upto: this.#flags.has('u'), recurse: this.#flags.has('r') });
    return 0;
  }

  /** The parent, if it holds neither a value nor a child. */
  async #emptyParent(path: string): Promise<string | undefined> {
    const slash = path.lastIndexOf('/');
    if (slash < 0) return undefined;
    const parent = path.slice(0, slash);
    const value = await refused(this.#store.read(parent));
    if (value === REFUSED || value.length > 0) return undefined;
    const names = await refused(this.#store.directory(parent));
    return names !== REFUSED && names.length === 0 ? parent : undefined;
  }

  #permission(text: string): PermEntry {
    const letter = text.charAt(0);
    if (!/^[nrwb]/.test(text)) {
      throw fail(this.#program, `Invalid permission specification: '${letter || '\0'}'`);
    }
    return { letter: letter as PermLetter, domid: atoi(text.slice(1)) };
  }

  async #setPerms(
    path: string,
    perms: readonly PermEntry[],
    { upto, recurse }: { readonly upto: boolean; readonly recurse: boolean },
  ): Promise<void> {
    // Above the topmost node: done.
    if (path === '') return;
    try {
      await this.#store.setPerms(path, perms);
    } catch (error) {
      throw failWith(this.#program, `Error occurred setting permissions on '${path}'`, error);
    }
    if (upto) {
      const slash = path.lastIndexOf('/');
      if (slash < 0) throw fail(this.#program, `Unable to locate path separator '/' in '${path}'`);
      await this.#setPerms(path.slice(0, slash), perms, { upto, recurse: false });
    }
    if (!recurse) return;
    const names = await refused(this.#store.directory(path));
    if (names === REFUSED) return;
    for (const name of names) await this.#setPerms(`${path}/${name}`, perms, { upto: false, recurse });
  }

  #warn(text: string): number {
    warn(this.#program, text);
    return 1;
  }
}

const REFUSED: unique symbol = Symbol('refused');

/** The answer, or that the store refused, for whatever reason: these commands do not tell. */
async function refused<T>(answer: Promise<T>): Promise<T | typeof REFUSED> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof XenstoreError) return REFUSED;
    throw error;
  }
}
