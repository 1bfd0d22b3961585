/**
 * Permission lists: an owner with a default for everybody else, then entries for single domains. Follows docs/misc/xenstore.txt,
 * "Permissions", and the C daemon's evaluation. Lists are immutable and shared between nodes.
 */
import { Domid } from '../wire/ops.ts';
import { encodePerms, type PermLetter } from '../wire/reply.ts';
import { parseBase0 } from '../wire/request.ts';
import type { StoredPerm } from './ports.ts';

/** Rights as bits. Owning implies reading and writing. */
export const Right = { READ: 1, WRITE: 2, OWNER: 4, ALL: 7 } as const;

const letterRights: Readonly<Record<PermLetter, number>> = { n: 0, r: 1, w: 2, b: 3 };

/** Who asks: a domain, with the rights of the domain it serves, if any. */
export interface Subject {
  readonly privileged: boolean;
  readonly domid: number;
  /** The domain given by SET_TARGET; -1: none. */
  readonly targetDomid: number;
}

export class Perms {
  readonly entries: readonly StoredPerm[];

  constructor(entries: readonly StoredPerm[]) {
    this.entries = entries;
  }

  get owner(): number {
    return this.entries[0]!.domid;
  }

  /** As GET_PERMS answers it; stale entries are printed like live ones. */
  encode(): string {
    return encodePerms(this.entries);
  }

  /** What `subject` may do: the first live entry that names it decides alone, else the default. */
  rights(subject: Subject): number {
    if (subject.privileged) return Right.ALL;
    const { entries } = this;
    const first = entries[0]!;
    if (names(first.domid, subject)) return Right.ALL;
    for (let i = 1; i < entries.length; i++) {
      const entry = entries[i]!;
      if (!entry.stale && names(entry.domid, subject)) return letterRights[entry.letter];
    }
    return letterRights[first.letter];
  }

  allows(subject: Subject, need: number): boolean {
    return (this.rights(subject) & need) === need;
  }

  /** The list for a node made below one with this list, by `subject`: unprivileged domains own what they create. */
  inheritedBy(subject: Subject): Perms {
    const first = this.entries[0]!;
    if (subject.privileged || first.domid === subject.domid) return this;
    return new Perms([{ ...first, domid: subject.domid }, ...this.entries.slice(1)]);
  }

  /** Without the entries of a domain that is gone; the owner stays. */
  without(domid: number): Perms {
    return new Perms(this.entries.filter((entry, i) => i === 0 || entry.domid !== domid));
  }

  withOwner(domid: number): Perms {
    return new Perms([{ ...this.entries[0]!, domid }, ...this.entries.slice(1)]);
  }

  /** Marks entries (never the owner's) for which `live` says no. The same object if all are live. */
  refreshed(live: (domid: number) => boolean): Perms {
    const dead = (entry: StoredPerm, i: number) =>
      i > 0 && !entry.stale && entry.domid !== Domid.ANY && !live(entry.domid);
    if (!this.entries.some(dead)) return this;
    return new Perms(this.entries.map((entry, i) => (dead(entry, i) ? { ...entry, stale: true } : entry)));
  }
}

function names(domid: number, subject: Subject): boolean {
  return domid === subject.domid || domid === subject.targetDomid || domid === Domid.ANY;
}

/** One entry as a client writes it: a letter and an integer in C's base-0 syntax. `undefined`: not one. */
export function parsePerm(text: string): StoredPerm | undefined {
  const letter = text[0];
  if (letter !== 'n' && letter !== 'r' && letter !== 'w' && letter !== 'b') return undefined;
  const domid = parseBase0(text.slice(1));
  return domid === undefined ? undefined : { letter, domid, stale: false };
}
