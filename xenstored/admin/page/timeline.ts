/**
 * What happened to one device, in order: changes seen by this page and entries of the daemon's own trace, told as one story. Pure; knows
 * neither service nor document.
 */
import type { Change } from './types.ts';
import { shownValue } from './words.ts';

export interface Happened {
  readonly change: Change;
  /** On performance.now(). */
  readonly at: number;
}

export interface Moment {
  readonly key: string;
  /** On performance.now(). */
  readonly at: number;
  readonly by: number | undefined;
  readonly path: string;
  /** In the trace's words: `write`, `create`, `rm`, `perms`, `gone`. */
  readonly what: string;
  /** What the node held then; undefined: nobody told. */
  readonly value: string | undefined;
}

export interface Traced {
  readonly seq: number;
  /** On performance.now(). */
  readonly at: number;
  readonly by: number;
  readonly path: string;
  readonly what: string;
}

/** How long after a write its report comes at most, and by how much their clocks differ. */
const LATER_MS = 1_000;
const CLOCKS_MS = 30;

/**
 * Where the daemon traces, its entries are the story, and what this page saw adds the values: a report of changes has what the last of several
 * writes left, and is put to that one. Where it does not, what this page saw is all there is.
 */
export function story(
  happened: readonly Happened[],
  traced: readonly Traced[],
  isAbout: (path: string) => boolean,
): Moment[] {
  const entries = new Map<string, Moment[]>();
  for (const { seq, at, by, path, what } of traced) {
    if (!isAbout(path)) continue;
    const own = entries.get(path) ?? [];
    own.push({ key: `t${seq}`, at, by, path, what, value: undefined });
    entries.set(path, own);
  }
  const alone: Moment[] = [];
  /** Entries of a path up to here have their reports. */
  const used = new Map<string, number>();
  happened.forEach(({ change: { path, by, node }, at }, number) => {
    if (!isAbout(path)) return;
    const value = node ? shownValue(node.value) : undefined;
    const own = entries.get(path) ?? [];
    // Two reports of one write: the later one says what is there.
    const last = own.findLastIndex((entry) => Math.abs(entry.at - at) < LATER_MS);
    const index = written(own, used.get(path) ?? 0, at) ?? (last < 0 ? undefined : last);
    if (index === undefined) {
      alone.push({ key: `s${number}-${at}`, at, by, path, value, what: node === null ? 'rm' : 'write' });
      return;
    }
    own[index] = { ...own[index]!, value };
    used.set(path, index + 1);
  });
  return [...entries.values()]
    .flat()
    .concat(alone)
    .sort((a, b) => a.at - b.at);
}

/** Which of these entries, from `first` on, a report is about. */
function written(entries: readonly Moment[], first: number, at: number): number | undefined {
  let index: number | undefined;
  for (let next = first; next < entries.length; next++) {
    const before = at - entries[next]!.at;
    if (before >= LATER_MS) continue;
    // The first of them may seem to be later than its report: the answer that told of it took its time.
    if (before >= -CLOCKS_MS || (index === undefined && before > -LATER_MS)) index = next;
  }
  return index;
}
