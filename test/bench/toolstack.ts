/**
 * How the creation of a domain grows with the number of domains: its store work on each daemon, one beside the other; and whole domains on a host of ours, with
 * every process that a host has.
 */
import type { Contestant } from './contestants.ts';
import { median, short } from './figures.ts';
import { ManagedStore } from './manystore.ts';
import { cpuNs } from './processes.ts';
import type { Table } from './table.ts';

export interface ToolstackScore {
  readonly name: string;
  readonly domains: readonly [number, number];
  /** For one domain. */
  readonly requests: number;
  /** Of the daemon's CPU, and by the clock; for one domain, beside few and beside many. */
  readonly cpuMs: readonly [number, number];
  readonly ms: readonly [number, number];
}

/** Domains on each side of a point that are measured for it. */
const AROUND = 10;
/** Made and taken away again first: code that has not run yet is being compiled. */
const WARM = 60;
export const FEW = 10;

interface Stand {
  readonly one: Contestant;
  readonly store: ManagedStore;
  readonly taken: {
    readonly number: number;
    readonly ms: number;
    readonly cpuMs: number;
    readonly requests: number;
  }[];
}

export async function toolstack(
  who: readonly Contestant[],
  many: number,
  say: (line: string) => void,
): Promise<ToolstackScore[]> {
  const stands: Stand[] = [];
  try {
    for (const one of who) {
      const store = await ManagedStore.start(one);
      stands.push({ one, store, taken: [] });
      for (let i = 0; i < WARM; i++) await store.create(`warm${i}`);
      for (let i = 0; i < WARM; i++) await store.destroy(`warm${i}`);
    }
    for (let number = 1; number <= many + AROUND; number++) {
      for (const stand of stands) await measured(stand, number);
      if (number % 100 === 0) say(`${number} domains`);
    }
    return stands.map((stand) => scoreOf(stand, many));
  } finally {
    for (const { store } of stands) await store.close();
  }
}

async function measured({ store, taken }: Stand, number: number): Promise<void> {
  const before = cpuNs(store.pid);
  const { requests, ms } = await store.create(`guest${number}`);
  taken.push({ number, requests, ms, cpuMs: (cpuNs(store.pid) - before) / 1e6 });
}

function scoreOf({ one, taken }: Stand, many: number): ToolstackScore {
  const around = (point: number): Stand['taken'] =>
    taken.filter(({ number }) => Math.abs(number - point) < AROUND);
  const of = (key: 'ms' | 'cpuMs'): [number, number] => [
    median(around(FEW).map((each) => each[key])),
    median(around(many).map((each) => each[key])),
  ];
  return {
    name: one.name,
    domains: [FEW, many],
    requests: median(around(many).map(({ requests }) => requests)),
    cpuMs: of('cpuMs'),
    ms: of('ms'),
  };
}

export function toolstackTable(scores: readonly ToolstackScore[]): Table {
  const [few, many] = scores[0]?.domains ?? [FEW, FEW];
  return {
    title: 'Store work of one "stubdom0 create"',
    head: [
      'milliseconds',
      'requests',
      `CPU at ${few}`,
      `at ${many}`,
      `${many}/${few}`,
      `clock at ${few}`,
      `at ${many}`,
      `${many}/${few}`,
    ],
    body: scores.map(({ name, requests, cpuMs, ms }) => [
      name,
      String(requests),
      ...[cpuMs, ms].flatMap(([first, last]) => [short(first), short(last), `x${(last / first).toFixed(2)}`]),
    ]),
    notes: [
      "A guest with a disk, an interface and a console, made by the domain manager itself. CPU is the daemon's; the clock counts the manager's work, too.",
      `Medians of ${2 * AROUND - 1} domains; daemons take turns, a domain each.`,
    ],
  };
}
