/**
 * What happened to one device, in order: changes seen by this page and entries of the daemon's own trace, told as one story. Pure; knows
 * neither service nor document.
 */
import type { Happened } from './app.ts';
import { shownValue } from './words.ts';

export interface Moment {
  readonly key: string;
  /** On performance.now(). */
  readonly at: number;
  readonly by: number | undefined;
  readonly path: string;
  /** undefined: written, and nobody told what. */
  readonly value: string | undefined;
  readonly gone: boolean;
}

export interface Traced {
  readonly seq: number;
  /** On performance.now(). */
  readonly at: number;
  readonly by: number;
  readonly path: string;
  readonly what: string;
  readonly value: string | undefined;
}

/** How far the clocks of a change's report and of the trace may be apart. */
const APART_MS = 400;

/**
 * Where the daemon traces, its entries are the story, and what this page saw only adds the values: a report of changes has the last of several
 * writes alone. Where it does not, what this page saw is all there is.
 */
export function story(
  happened: readonly Happened[],
  traced: readonly Traced[],
  isAbout: (path: string) => boolean,
): Moment[] {
  const seen = happened.filter(({ change }) => isAbout(change.path));
  const entries = traced.filter(({ path }) => isAbout(path));
  const told = new Set<Happened>();
  const moments = entries.map((entry, index): Moment => {
    const { at, by, path, seq } = entry;
    const later = entries.slice(index + 1).some((other) => other.path === path && other.at - at < APART_MS);
    const report = seen.find((each) => each.change.path === path && Math.abs(each.at - at) < APART_MS);
    if (report) told.add(report);
    const node = later ? undefined : report?.change.node;
    const gone = /^(rm|remove)/i.test(entry.what);
    const value = entry.value ?? (node ? shownValue(node.value) : undefined);
    return { key: `t${seq}`, at, by, path, value, gone };
  });
  seen.forEach((each, index) => {
    const { change, at } = each;
    const { path, by, node } = change;
    const traceKnows = entries.some((entry) => entry.path === path && Math.abs(entry.at - at) < APART_MS);
    if (told.has(each) || traceKnows) return;
    const value = node ? shownValue(node.value) : undefined;
    moments.push({ key: `s${index}-${at}`, at, by, path, value, gone: node === null });
  });
  return moments.sort((a, b) => a.at - b.at);
}
