/**
 * The requests of a `Store` in terms of one: send this payload, await that answer. A client and a transaction differ only in where they
 * send it. Follows docs/misc/xenstore.txt. Knows no connection.
 */
import type { OpName } from '../wire/ops.ts';
import { readDirectory } from './directory.ts';
import { XenstoreError } from './error.ts';
import { pathAndValue, permText, readPerms, strings } from './payload.ts';
import type { PermEntry, PermText, Store, Value } from './store.ts';

/** Rejects with a `XenstoreError`. */
export type Ask = (op: OpName, payload: Buffer, path?: string) => Promise<Buffer>;

export abstract class Requests implements Store {
  /** Sends one request where this store's requests go. Whatever is sent goes in the order of the calls. */
  protected abstract ask(op: OpName, payload: Buffer, path?: string): Promise<Buffer>;

  async read(path: string): Promise<Buffer> {
    return await this.#one('READ', path);
  }

  async readText(path: string): Promise<string> {
    return (await this.#one('READ', path)).toString();
  }

  async findText(path: string): Promise<string | undefined> {
    return (await unless(this.#one('READ', path), 'ENOENT'))?.toString();
  }

  async write(path: string, value: Value): Promise<void> {
    await this.ask('WRITE', pathAndValue({ op: 'WRITE', path }, path, value), path);
  }

  async mkdir(path: string): Promise<void> {
    await this.#one('MKDIR', path);
  }

  async rm(path: string): Promise<void> {
    await this.#one('RM', path);
  }

  async directory(path: string): Promise<string[]> {
    return await readDirectory((...request) => this.ask(...request), path);
  }

  async getPerms(path: string): Promise<PermEntry[]> {
    return readPerms({ op: 'GET_PERMS', path }, await this.#one('GET_PERMS', path));
  }

  async setPerms(path: string, perms: readonly (PermEntry | PermText)[]): Promise<void> {
    const op = 'SET_PERMS';
    await this.ask(op, strings({ op, path }, path, ...perms.map(permText)), path);
  }

  async exists(path: string): Promise<boolean> {
    return (await unless(this.#one('READ', path), 'ENOENT', 'EACCES')) !== undefined;
  }

  async #one(op: OpName, path: string): Promise<Buffer> {
    return await this.ask(op, strings({ op, path }, path), path);
  }
}

/** The answer; undefined if it is one of these errors. */
async function unless(answer: Promise<Buffer>, ...codes: readonly string[]): Promise<Buffer | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof XenstoreError && codes.includes(error.code)) return undefined;
    throw error;
  }
}
