/**
 * The store work of "xl create" for the first domains and for the last of many (load/create.c says what that work is). The
 * others are shown up to three hundred domains, where they are slow enough; ours to a thousand.
 */
import type { Contestant, Served } from './contestants.ts';
import { median, short } from './figures.ts';
import { load } from './load.ts';
import type { Table } from './table.ts';

export interface CreateScore {
  readonly name: string;
  readonly domains: number;
  readonly requests: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

export async function create(one: Contestant, domains: number): Promise<CreateScore> {
  const served: Served = await one.start();
  try {
    for (let domid = 1; domid <= domains; domid++) served.addDomain?.(domid);
    const { requests, firstMs, lastMs } = await load('create', served.socketPath, {
      domains,
      'domids-known': served.addDomain !== undefined,
    });
    return { name: one.name, domains, requests, firstMs: median(firstMs), lastMs: median(lastMs) };
  } finally {
    await served.stop();
  }
}

export function createTable(scores: readonly CreateScore[]): Table {
  return {
    title: 'Store work of one "xl create"',
    head: ['milliseconds', 'domains', 'first', 'last', 'last/first'],
    body: scores.map(({ name, domains, firstMs, lastMs }) => [
      name,
      String(domains),
      short(firstMs),
      short(lastMs),
      `x${(lastMs / firstMs).toFixed(2)}`,
    ]),
    notes: [
      `${scores[0]?.requests ?? 0} requests on 20 connections, one at a time; two connections and fifteen watches stay`,
      'behind for each domain. Medians of five domains.',
    ],
  };
}
