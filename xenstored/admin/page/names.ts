/**
 * What the domains are called: learnt from a list of them, and followed as their names change. Knows no document.
 */
import type { Change, Domain } from './types.ts';
import { shownValue } from './words.ts';

/** A guest that chooses its name chooses its length. */
const LETTERS_MAX = 48;

export class Names {
  readonly #names = new Map<number, string>();

  /** All that there are. */
  learn(domains: readonly Domain[]): void {
    this.#names.clear();
    for (const { domid, name } of domains) if (name) this.#names.set(domid, name);
  }

  follow({ path, node }: Change): void {
    const [, domid, name] = /^\/local\/domain\/(\d+)(\/name)?$/.exec(path) ?? [];
    if (domid === undefined || node === undefined || (node !== null && name === undefined)) return;
    if (node === null) this.#names.delete(Number(domid));
    else this.#names.set(Number(domid), shownValue(node.value));
  }

  /** Of a domain that has none: undefined. */
  of(domid: number): string | undefined {
    const name = this.#names.get(domid) || (domid === 0 ? 'Domain-0' : undefined);
    return name !== undefined && name.length > LETTERS_MAX ? `${name.slice(0, LETTERS_MAX)}…` : name;
  }

  called(domid: number): string {
    return this.of(domid) ?? 'no name';
  }

  /** `3 web`, where it is plain that domains are meant. */
  short(domid: number): string {
    return `${domid} ${this.called(domid)}`;
  }

  /** `domain 3 (web)`; `domain 3` if it has no name. */
  words(domid: number): string {
    const name = this.of(domid);
    return name === undefined ? `domain ${domid}` : `domain ${domid} (${name})`;
  }
}
