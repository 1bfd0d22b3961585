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
  /** The daemon's number of it: one transaction's changes happen at once, and have an order. */
  readonly seq?: number;
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
  /** Of a state. */
  readonly value?: string | undefined;
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
  for (const { seq, at, by, path, what, value } of traced) {
    if (!isAbout(path)) continue;
    const own = entries.get(path) ?? [];
    own.push({ key: `t${seq}`, seq, at, by, path, what, value });
    entries.set(path, own);
  }
  const reports = new Map<string, Happened[]>();
  for (const each of happened) {
    const { path } = each.change;
    if (!isAbout(path)) continue;
    const own = reports.get(path) ?? [];
    own.push(each);
    reports.set(path, own);
  }
  const told = [...entries].flatMap(([path, own]) => [...withValues(own, reports.get(path) ?? [])]);
  const untold = [...reports].flatMap(([path, own]) => (entries.has(path) ? [] : own.map(alone)));
  return [...told, ...untold].sort((a, b) => a.at - b.at || (a.seq ?? 0) - (b.seq ?? 0));
}

/** Of one node: its entries with the reports' values, and reports of what is older than the trace. */
function* withValues(entries: Moment[], reports: readonly Happened[]): Generator<Moment> {
  const near = ({ at }: Happened, index: number): boolean =>
    Math.abs(at - (entries[index]?.at ?? Number.POSITIVE_INFINITY)) < LATER_MS;
  const paired = reports.length === entries.length && reports.every(near);
  /** Entries up to here have their reports; those up to there are too old for any report that is still to come. */
  let used = 0;
  let old = 0;
  for (const [number, report] of reports.entries()) {
    while (old < entries.length && report.at - entries[old]!.at >= LATER_MS) old++;
    const index = paired ? number : written(entries, old, used, report.at);
    if (index === undefined) yield alone(report, number);
    else {
      const entry = entries[index]!;
      // What the daemon remembers is what was written; a report tells what was there when it was made.
      entries[index] = { ...entry, value: entry.value ?? valueOfReport(report) };
      used = index + 1;
    }
  }
  yield* entries;
}

function alone(report: Happened, number: number): Moment {
  const { path, by, node } = report.change;
  const { at } = report;
  const what = node === null ? 'rm' : 'write';
  return { key: `s${path} ${at} ${number}`, at, by, path, what, value: valueOfReport(report) };
}

function valueOfReport({ change: { node } }: Happened): string | undefined {
  return node ? shownValue(node.value) : undefined;
}

/** Which of these entries, from `first` on, a report is about: one that has none yet, from `used` on, if there is such a one. */
function written(entries: readonly Moment[], first: number, used: number, at: number): number | undefined {
  let fresh: number | undefined;
  let last: number | undefined;
  for (let next = first; next < entries.length && entries[next]!.at - at < LATER_MS; next++) {
    // Two reports of one write: the later one says what is there.
    last = next;
    // The first of them may seem to be later than its report: the answer that told of it took its time.
    if (next >= used && (entries[next]!.at - at <= CLOCKS_MS || fresh === undefined)) fresh = next;
  }
  return fresh ?? last;
}
