/**
 * How the time of a request grows with the number of domains: the same load from fifty connections beside ten idle domains and beside a
 * thousand, each with its hundred nodes, a connection and fifteen watches in its own tree. Ours may grow to twice the time. The others are
 * shown at fewer domains: at a thousand the set-up alone takes oxenstored minutes.
 */
import { type Contestant, Stable } from './contestants.ts';
import { median, short } from './figures.ts';
import type { Operation } from './load.ts';
import type { Table } from './table.ts';

export interface DomainScore {
  readonly name: string;
  readonly op: Operation;
  readonly domains: readonly [number, number];
  readonly few: number;
  readonly many: number;
}

export interface DomainsPace {
  readonly rounds: number;
  readonly seconds: number;
  /** How many domains at least; at the most for ours, and for the others. */
  readonly few: number;
  readonly ours: number;
  readonly others: number;
}

const OPERATIONS: readonly Operation[] = ['write', 'mixed'];

export async function domains(
  who: readonly Contestant[],
  { rounds, seconds, few, ours, others }: DomainsPace,
): Promise<DomainScore[]> {
  const stable = new Stable();
  const scores: DomainScore[] = [];
  try {
    for (const op of OPERATIONS) {
      for (const one of who) {
        const rates: [number[], number[]] = [[], []];
        const counts: [number, number] = [few, one.name === 'ours' ? ours : others];
        for (let round = 0; round < rounds; round++) {
          for (const [i, count] of counts.entries()) {
            const figures = await stable.run(one, count * 100, { op, domains: count, seconds });
            rates[i]!.push(figures.perSecond);
          }
        }
        scores.push({ name: one.name, op, domains: counts, few: median(rates[0]), many: median(rates[1]) });
      }
    }
  } finally {
    await stable.close();
  }
  return scores;
}

export function domainsTable(scores: readonly DomainScore[]): Table {
  return {
    title: 'Time of a request as domains are added',
    head: ['operations a second', 'domains', 'rate', 'domains', 'rate', 'time'],
    body: scores.map(({ name, op, domains: [fewest, most], few, many }) => [
      `${op}, ${name}`,
      String(fewest),
      short(few),
      String(most),
      short(many),
      `x${(few / many).toFixed(2)}`,
    ]),
    notes: ['Each domain: a hundred nodes, one idle connection, fifteen watches. Fifty connections ask.'],
  };
}
