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
const LATER_MS = 500;
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
  const moments = new Map<string, Moment>();
  for (const { seq, at, by, path, what } of traced) {
    if (!isAbout(path)) continue;
    const key = `t${seq}`;
    moments.set(key, { key, at, by, path, what, value: undefined });
  }
  happened.forEach(({ change: { path, by, node }, at }, index) => {
    if (!isAbout(path)) return;
    const value = node ? shownValue(node.value) : undefined;
    const entry = [...moments.values()].findLast(
      (each) => each.path === path && each.at <= at + CLOCKS_MS && at - each.at < LATER_MS,
    );
    if (entry) moments.set(entry.key, { ...entry, value });
    else {
      const key = `s${index}-${at}`;
      moments.set(key, { key, at, by, path, value, what: node === null ? 'rm' : 'write' });
    }
  });
  return [...moments.values()].sort((a, b) => a.at - b.at);
}
