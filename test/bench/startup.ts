/**
 * From exec to the first accepted connection, and to the first reply: an empty database, a warm cache. The command line and environment are
 * those of the daemon that the peers' launcher started, read from /proc; it is executed again by the load generator.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Contestant } from './contestants.ts';
import { median } from './figures.ts';
import { type LoadCommand, load, type StartFigures } from './load.ts';
import type { Table } from './table.ts';

export interface StartScore {
  readonly name: string;
  readonly acceptMs: number;
  readonly replyMs: number;
  readonly slowestMs: number;
}

export async function startup(one: Contestant, times: number): Promise<StartScore> {
  // This start warms the cache, and its run directory is what the others find.
  const served = await one.start();
  try {
    const command = commandOf(served.pid);
    process.kill(served.pid, 'SIGKILL');
    await gone(served.pid);
    const runs: StartFigures[] = [];
    for (let i = 0; i < times; i++) {
      for (const left of ['db', 'socket'])
        rmSync(join(served.runDir, left), { recursive: true, force: true });
      runs.push(await load('start', served.socketPath, {}, command));
    }
    const accepted = runs.map((run) => run.acceptMs);
    return {
      name: one.name,
      acceptMs: median(accepted),
      replyMs: median(runs.map((run) => run.replyMs)),
      slowestMs: Math.max(...accepted),
    };
  } finally {
    await served.stop();
  }
}

function commandOf(pid: number): LoadCommand {
  const strings = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'latin1').split('\0').slice(0, -1);
  const env = strings('environ').map((entry) => {
    const at = entry.indexOf('=');
    return [entry.slice(0, at), entry.slice(at + 1)];
  });
  return { argv: strings('cmdline'), env: Object.fromEntries(env) };
}

/** Our child, whose exit its starter reaps. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export function startupTable(scores: readonly StartScore[], times: number): Table {
  const ms = (value: number) => value.toFixed(1);
  return {
    title: 'From exec to service',
    head: ['milliseconds', 'accepts', 'first reply', 'slowest accept'],
    body: scores.map((score) => [score.name, ms(score.acceptMs), ms(score.replyMs), ms(score.slowestMs)]),
    notes: [`Medians of ${times}; empty database, warm cache.`],
  };
}
