/**
 * Sixteen guests created in a row and left paused: what each costs in time, and what of it is the store's. The kernel is the smallest there is,
 * so that the figures tell of xl and the store and not of unpacking Linux.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stillKernel } from '../guest/still.ts';
import type { Lab, Scenario } from '../lab/scenario.ts';

const GUESTS = 16;
const KERNEL = '/tmp/still';

interface Cost {
  readonly wallS: number;
  readonly storeS: number;
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'sixteen guests in a row, paused',
    stores: ['ours', 'c'],
    // What ran before would be in the figures.
    alone: true,
    limitS: 180,
    async run(lab) {
      writeFileSync(KERNEL, stillKernel());
      // The first one warms caches up, of both.
      await create(lab, 0);
      const costs: Cost[] = [];
      for (let number = 1; number <= GUESTS; number++) {
        const before = storeSeconds(lab);
        const wallS = await create(lab, number);
        const storeS = storeSeconds(lab) - before;
        lab.log(`guest ${number}: ${wallS.toFixed(2)} s, the daemon's share ${storeS.toFixed(3)} s`);
        costs.push({ wallS, storeS });
      }
      const { stdout } = await lab.exec('xl', ['list']);
      assert.equal(stdout.match(/^still\d+ .* --p--- /gm)?.length, GUESTS + 1);
      for (const number of [1, 8, 16]) tell(lab, `guest ${number}`, [costs[number - 1]!]);
      tell(lab, 'all sixteen', costs);
    },
  },
];

/** Seconds that `xl create` took. */
async function create(lab: Lab, number: number): Promise<number> {
  const config = `/tmp/still${number}.cfg`;
  writeFileSync(config, `name="still${number}"\nkernel="${KERNEL}"\nmemory=24\nvcpus=1\n`);
  return (await lab.exec('xl', ['create', '-p', config])).seconds;
}

/** Processor time that the daemon has had, of all its threads. */
function storeSeconds(lab: Lab): number {
  const tasks = `/proc/${lab.store.pid}/task`;
  return readdirSync(tasks).reduce(
    (sum, task) => sum + Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0]) / 1e9,
    0,
  );
}

function tell(lab: Lab, which: string, costs: readonly Cost[]): void {
  const sum = (pick: (cost: Cost) => number) => costs.reduce((total, cost) => total + pick(cost), 0);
  const wall = sum(({ wallS }) => wallS).toFixed(2);
  lab.figure(`${which}: wall s, store s`, `${wall}, ${sum(({ storeS }) => storeS).toFixed(3)}`);
}
