/**
 * The policy that holds now: read from a file at start, again when the file changes or somebody asks for it, or handed in while running. One that makes
 * no sense changes nothing, and is a line in the log. Knows guests' names as far as it was told, and no socket.
 */
import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { GuestRules } from '../core/policy.ts';
import type { PolicyText } from '../core/policytext.ts';
import { policyOf, type ReadPolicy, readPolicyFile } from './policyfile.ts';

/** An editor writes a file in several steps. */
const SETTLE_MS = 100;

export interface PoliciesOptions {
  /** undefined: what is usual, until something else is handed in. */
  readonly file: string | undefined;
  /** Another policy holds. */
  readonly onChange: () => void;
  /** One line. */
  readonly log: (line: string) => void;
}

export class Policies {
  readonly #options: PoliciesOptions;
  readonly #names = new Map<number, string>();
  readonly #watcher: FSWatcher | undefined;
  #settling: NodeJS.Timeout | undefined;
  #now: ReadPolicy;

  /** Throws an Error of one line: the file cannot be read, or says what cannot be meant. */
  constructor(options: PoliciesOptions) {
    this.#options = options;
    const { file } = options;
    this.#now = file === undefined ? policyOf({}, 'the usual policy') : readPolicyFile(file);
    if (file !== undefined) this.#watcher = this.#follow(file);
  }

  of(domid: number): GuestRules {
    return this.#now.policy.of(domid, this.#names.get(domid));
  }

  /** Whose domain it is; undefined: that cannot be known. */
  named(domid: number, name: string | undefined): void {
    if (name === undefined) this.#names.delete(domid);
    else this.#names.set(domid, name);
  }

  nameOf(domid: number): string | undefined {
    return this.#names.get(domid);
  }

  get text(): PolicyText {
    return this.#now.text;
  }

  /** Holds until the next one, of wherever. Throws an Error of one line. */
  replace(value: unknown): void {
    this.#hold(policyOf(value, 'policy'));
    this.#options.log('another policy was handed in');
  }

  /** What the file says now. */
  reread(): void {
    const { file, log } = this.#options;
    if (file === undefined) return;
    try {
      this.#hold(readPolicyFile(file));
      log(`policy: ${file} is read again`);
    } catch (error) {
      log(`policy: the one before stays: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  close(): void {
    clearTimeout(this.#settling);
    this.#watcher?.close();
  }

  #hold(policy: ReadPolicy): void {
    this.#now = policy;
    this.#options.onChange();
  }

  /** Its directory is watched: files are replaced as often as they are written. */
  #follow(file: string): FSWatcher | undefined {
    const { log } = this.#options;
    const changed = (_: string, name: string | null): void => {
      if (name !== null && name !== basename(file)) return;
      clearTimeout(this.#settling);
      this.#settling = setTimeout(() => this.reread(), SETTLE_MS);
    };
    try {
      const watcher = watch(dirname(file), { persistent: false }, changed);
      watcher.on('error', (error) => log(`policy: ${file} is no longer followed: ${error.message}`));
      return watcher;
    } catch (error) {
      log(`policy: ${file} is not followed: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }
}
