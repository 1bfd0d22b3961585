/** Resident memory of a daemon that holds many nodes: empty, just filled, and after some seconds of ordinary use. */
import type { Contestant } from './contestants.ts';
import { load } from './load.ts';
import type { Table } from './table.ts';

export interface MemoryScore {
  readonly name: string;
  readonly nodes: number;
  readonly emptyKb: number;
  readonly filledKb: number;
  readonly usedKb: number;
  readonly fillSeconds: number;
}

export async function memory(one: Contestant, nodes: number, seconds: number): Promise<MemoryScore> {
  const served = await one.start();
  try {
    const filled = await load('populate', served.socketPath, { nodes });
    const used = await load('run', served.socketPath, { op: 'mixed', nodes, seconds });
    return {
      name: one.name,
      nodes,
      emptyKb: filled.rssBeforeKb,
      filledKb: filled.rssKb,
      usedKb: used.rssKb,
      fillSeconds: filled.seconds,
    };
  } finally {
    await served.stop();
  }
}

const mib = (kb: number) => (kb / 1024).toFixed(1);

export function memoryTable(scores: readonly MemoryScore[]): Table {
  return {
    title: `Resident memory at ${scores[0]?.nodes ?? 0} nodes`,
    head: ['MiB', 'empty', 'filled', 'after mixed load', 'bytes a node', 'filled in s'],
    body: scores.map((score) => [
      score.name,
      mib(score.emptyKb),
      mib(score.filledKb),
      mib(score.usedKb),
      (((score.filledKb - score.emptyKb) * 1024) / score.nodes).toFixed(0),
      score.fillSeconds.toFixed(2),
    ]),
    notes: ['Values of sixteen bytes, paths of twenty-two characters.'],
  };
}
