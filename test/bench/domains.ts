/**
 * How the time of a request grows with the number of domains: the same load from fifty connections beside ten idle domains and beside a
 * thousand, each with its hundred nodes, a connection and fifteen watches in its own tree. Ours may grow to twice the time.
 */
import { type Contestant, Stable } from './contestants.ts';
import { median, short } from './figures.ts';
import type { Operation } from './load.ts';
import type { Table } from './table.ts';

export interface DomainScore {
  readonly name: string;
  readonly op: Operation;
  readonly few: number;
  readonly many: number;
}

const OPERATIONS: readonly Operation[] = ['write', 'mixed'];

export async function domains(
  who: readonly Contestant[],
  { rounds, seconds, counts: [few, many] }: { rounds: number; seconds: number; counts: [number, number] },
): Promise<DomainScore[]> {
  const stable = new Stable();
  const scores: DomainScore[] = [];
  try {
    for (const op of OPERATIONS) {
      for (const one of who) {
        const rates: [number[], number[]] = [[], []];
        for (let round = 0; round < rounds; round++) {
          for (const [i, count] of [few, many].entries()) {
            const figures = await stable.run(one, count * 100, { op, domains: count, seconds });
            rates[i]!.push(figures.perSecond);
          }
        }
        scores.push({ name: one.name, op, few: median(rates[0]), many: median(rates[1]) });
      }
    }
  } finally {
    await stable.close();
  }
  return scores;
}

export function domainsTable(scores: readonly DomainScore[], [few, many]: readonly [number, number]): Table {
  return {
    title: 'Time of a request as domains are added',
    head: ['operations a second', `${few} domains`, `${many} domains`, 'time'],
    body: scores.map((score) => [
      `${score.op}, ${score.name}`,
      short(score.few),
      short(score.many),
      `x${(score.few / score.many).toFixed(2)}`,
    ]),
    notes: ['Each domain: a hundred nodes, one idle connection, fifteen watches. Fifty connections ask.'],
  };
}
