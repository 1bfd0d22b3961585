/**
 * The rows, played in rounds: in each round every row is measured on every daemon, one right after the other, so that what the machine does
 * meanwhile falls on all of them alike. The table compares ours with each of the others.
 */
import type { Contestant, Stable } from './contestants.ts';
import { median, ratios, type Spread, short, times } from './figures.ts';
import type { RunFigures } from './load.ts';
import type { Row } from './rows.ts';
import type { Table } from './table.ts';

export interface Pace {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmup: number;
}

/** By row, then contestant; one entry a round, absent where the run failed. */
export type Scores = Map<Row, Map<string, (RunFigures | undefined)[]>>;

/** The row as the generator's flags. */
const flagsOf = (row: Row) => ({
  op: row.op,
  connections: row.connections,
  'in-flight': row.inFlight,
  watches: row.watches,
});

export async function contest(
  rows: readonly Row[],
  who: readonly Contestant[],
  pace: Pace,
  stable: Stable,
  say: (line: string) => void,
): Promise<Scores> {
  const scores: Scores = new Map(rows.map((row) => [row, new Map(who.map(({ name }) => [name, []]))]));
  for (let round = 0; round < pace.rounds; round++) {
    for (const row of rows) {
      const told: string[] = [];
      for (const one of inTurn(who, round)) {
        const flags = { ...flagsOf(row), seconds: pace.seconds, warmup: pace.warmup };
        let figures: RunFigures | undefined;
        try {
          figures = await stable.run(one, row.nodes, flags);
          told.push(`${one.name} ${short(figures.perSecond)}`);
        } catch (error) {
          told.push(`${one.name} failed: ${(error as Error).message}`);
        }
        scores.get(row)!.get(one.name)!.push(figures);
      }
      say(`${round + 1}/${pace.rounds} ${row.name}: ${told.join(', ')}`);
    }
  }
  return scores;
}

/** Another one begins in each round. */
function inTurn<T>(items: readonly T[], round: number): T[] {
  const first = round % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
}

/** The generator was busier than the daemon, and all but busy the whole time: what was measured is the generator. */
const isLimit = (figures: RunFigures) =>
  figures.generatorCpu > 0.95 && figures.generatorCpu > figures.serverCpu;

type Measure = (figures: RunFigures | undefined) => number | undefined;

const rate: Measure = (figures) => figures?.perSecond;
/** Operations for a second of the daemon's CPU time: what is left of the figure when somebody else takes the core. */
const thrift: Measure = (figures) =>
  figures && figures.serverCpu > 0 ? figures.perSecond / figures.serverCpu : undefined;

export function ratioOf(scores: Scores, row: Row, of: string, to: string, what: Measure = rate): Spread {
  return ratios((scores.get(row)?.get(of) ?? []).map(what), (scores.get(row)?.get(to) ?? []).map(what));
}

export function contestTable(scores: Scores, names: readonly string[], pace: Pace): Table {
  const [first, ...others] = names as [string, ...string[]];
  const head = [
    'operations a second',
    ...names,
    ...others.flatMap((name) => [`${first}/${name}`]),
    ...others.slice(0, 1).map((name) => `${first}/${name} by CPU`),
    ...names.map((name) => `p99 us ${name}`),
  ];
  const body = [...scores].map(([row, cells]) => [
    row.name,
    ...names.map((name) => rateCell(cells.get(name)!)),
    ...others.map((name) => times(ratioOf(scores, row, first, name))),
    ...others.slice(0, 1).map((name) => times(ratioOf(scores, row, first, name, thrift))),
    ...names.map((name) => short(median(cells.get(name)!.flatMap((figures) => figures?.p99Us ?? [])))),
  ]);
  const notes = [
    'A transaction is start, read, two writes and end. Mixed is 55 % read, 20 % write, 10 % directory, and 5 % each of',
    'permissions, creation with removal, transaction.',
    `Medians of ${pace.rounds} rounds of ${pace.seconds} s; ratios are of one round each, median (lowest-highest). * the generator was the limit.`,
    ...verdicts(scores, first, others),
  ];
  return { title: 'Side by side', head, body, notes };
}

function rateCell(rounds: readonly (RunFigures | undefined)[]): string {
  const good = rounds.filter((figures) => figures !== undefined);
  const failed = good.length < rounds.length ? '!' : '';
  return short(median(good.map((figures) => figures.perSecond))) + failed + (good.some(isLimit) ? '*' : '');
}

/** Counted and named: how many rows are at least as fast, and which are not. */
function verdicts(scores: Scores, first: string, others: readonly string[]): string[] {
  return others.map((name) => {
    const slower = [...scores.keys()]
      .map((row) => ({ row, ratio: ratioOf(scores, row, first, name).median }))
      .filter(({ ratio }) => ratio < 1)
      .sort((a, b) => a.ratio - b.ratio);
    const list = slower.map(({ row, ratio }) => `${row.name} ${ratio.toFixed(2)}`).join('; ');
    return `${first} at least as fast as ${name} in ${scores.size - slower.length} of ${scores.size} rows${list && `; not in: ${list}`}.`;
  });
}
