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

/** `most`: domains on ours; `others`: on the other daemons, which would take hours for more. */
export async function toolstack(
  who: readonly Contestant[],
  { others, most }: { readonly others: number; readonly most: number },
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
    for (let number = 1; number <= most + AROUND; number++) {
      for (const stand of stands) if (number <= lastOf(stand, others, most)) await measured(stand, number);
      if (number % 100 === 0) say(`${number} domains`);
    }
    return stands.flatMap((stand) =>
      [others, most]
        .filter((point) => point < lastOf(stand, others, most))
        .map((point) => scoreOf(stand, point)),
    );
  } finally {
    for (const { store } of stands) await store.close();
  }
}

function lastOf({ one }: Stand, others: number, most: number): number {
  return (one.name === 'ours' ? most : others) + AROUND;
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
  return {
    title: 'Store work of one "stubdom0 create"',
    head: [
      'milliseconds',
      'requests',
      'domains',
      'CPU',
      'domains',
      'CPU',
      'grows',
      'clock',
      'clock',
      'grows',
    ],
    body: scores.map(({ name, requests, domains: [few, many], cpuMs, ms }) => [
      name,
      String(requests),
      String(few),
      short(cpuMs[0]),
      String(many),
      short(cpuMs[1]),
      grown(cpuMs),
      short(ms[0]),
      short(ms[1]),
      grown(ms),
    ]),
    notes: [
      "A guest with a disk, an interface and a console, made by the domain manager itself. CPU is the daemon's; the clock counts the manager's work, too.",
      `Medians of ${2 * AROUND - 1} domains; daemons take turns, a domain each.`,
    ],
  };
}

function grown([first, last]: readonly [number, number]): string {
  return `x${(last / first).toFixed(2)}`;
}
