/**
 * A process for recovery.test.ts to kill: commits turn after turn into a database and prints the number of each that is safe, as the daemon
 * would send a reply. Goes on from where an earlier one was killed.
 */
import { writeSync } from 'node:fs';
import { setImmediate as pause } from 'node:timers/promises';
import type { Commit } from '../../xenstored/core/ports.ts';
import { Database } from '../../xenstored/io/database.ts';

const [directory = ''] = process.argv.slice(2);
const NOTHING = Buffer.alloc(0);
const perms = [{ letter: 'n', domid: 0, stale: false }] as const;

let turn = 0;
let database: Database | undefined;

try {
  database = await Database.open({
    directory,
    boot: 'boot-1',
    durability: 'process',
    journalLimitBytes: process.argv.includes('--never-absorb') ? 2 ** 40 : 20_000,
    sentPosition: () => turn * 8,
    log: (line) => process.stderr.write(`${line}\n`),
  });
  const saved = database.takeSaved();
  turn = saved?.generation ?? 0;
  for (;;) {
    const next = turn + 1;
    database.append(commitOf(next));
    turn = next;
    writeSync(1, `${turn}\n`);
    if (turn % 10 === 0) await pause();
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  await tryAgain();
  process.exitCode = 1;
}

/** Turn n moves a mark one place on, so that half a turn would show. */
function commitOf(n: number): Commit {
  const node = (path: string, born: number) => ({ path, value: `${n}`, perms, generation: n, born });
  return {
    nodes: [node('/turn', 1), node(`/mark/${n % 50}`, 2 + (n % 50))],
    removed: [`/mark/${(n + 1) % 50}`],
    domains: [],
    removedDomains: [],
    watches: [],
    removedWatches: [],
    rings: [
      {
        domid: 3,
        consumed: n * 16,
        partial: NOTHING,
        appendedAt: (n - 1) * 8,
        appended: Buffer.alloc(8, 'r'),
        reset: false,
      },
    ],
    settings: undefined,
    generation: n,
  };
}

/** A turn has failed: nothing that happens later may make the next one succeed. */
async function tryAgain(): Promise<void> {
  await database?.absorb();
  try {
    database?.append(commitOf(turn + 1));
    process.stderr.write('a later turn was written\n');
  } catch {
    // As it must be.
  }
}
