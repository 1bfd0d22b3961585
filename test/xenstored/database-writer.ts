/**
 * A process for recovery.test.ts to kill: commits turn after turn into a database and prints the number of each that is safe, as the daemon
 * would send a reply. Goes on from where an earlier one was killed.
 */
import { writeSync } from 'node:fs';
import { setImmediate as pause } from 'node:timers/promises';
import { Database } from '../../xenstored/io/database.ts';

const [directory = ''] = process.argv.slice(2);
const NOTHING = Buffer.alloc(0);
const perms = [{ letter: 'n', domid: 0, stale: false }] as const;

try {
  let turn = 0;
  const database = await Database.open({
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
    const born = (path: string, n: number) => ({ path, value: `${next}`, perms, generation: next, born: n });
    database.append({
      nodes: [born('/turn', 1), born(`/ring/${next % 50}`, 2 + (next % 50))],
      removed: [`/ring/${(next + 1) % 50}`],
      domains: [],
      removedDomains: [],
      watches: [],
      removedWatches: [],
      rings: [
        {
          domid: 3,
          consumed: next * 16,
          partial: NOTHING,
          appendedAt: turn * 8,
          appended: Buffer.alloc(8, 'r'),
          reset: false,
        },
      ],
      settings: undefined,
      generation: next,
    });
    turn = next;
    writeSync(1, `${turn}\n`);
    if (turn % 10 === 0) await pause();
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
