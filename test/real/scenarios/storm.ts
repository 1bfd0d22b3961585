/**
 * The daemon is killed again and again while clients on dom0's ring count in transactions, each its own and all together: what was answered
 * has been done, once, and nothing else has.
 */
import assert from 'node:assert/strict';
import { type Client, connect, XenstoreError } from '../../../xenstored/client/index.ts';
import type { Scenario } from '../lab/scenario.ts';

const DEVICE = '/dev/xen/xenbus';
const TOP = '/storm';
const CLIENTS = 4;
const KILLS = 8;
/** Between a restart and the next death, growing: the first ones hit while much is still to be caught up with. */
const calmMs = (kill: number): number => 50 * 2 ** kill;

/** Counts until told to stop. Answers how often it was told that it had. */
async function count(client: Client, own: string, stop: () => boolean): Promise<number> {
  let counted = 0;
  while (!stop()) {
    try {
      await client.transaction(async (tx) => {
        for (const path of [own, `${TOP}/all`]) {
          const value = Number(await tx.readText(path));
          await tx.write(path, String(value + 1));
        }
      });
      counted++;
    } catch (error) {
      // Others were faster a hundred times.
      if (!(error instanceof XenstoreError && error.code === 'EAGAIN')) throw error;
    }
  }
  return counted;
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'kill -9 eight times while clients count in transactions',
    stores: ['ours'],
    limitS: 240,
    async run(lab) {
      const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect({ path: DEVICE })));
      const [first] = clients;
      let stopped = false;
      try {
        await first!.write(`${TOP}/all`, '0');
        for (const n of clients.keys()) await first!.write(`${TOP}/${n}`, '0');
        const counting = Promise.all(clients.map((client, n) => count(client, `${TOP}/${n}`, () => stopped)));
        counting.catch(() => {});
        for (let kill = 0; kill < KILLS; kill++) {
          await Promise.race([counting, new Promise((resolve) => setTimeout(resolve, calmMs(kill)))]);
          await lab.step(`kill -9 and restart, ${kill + 1}`, async () => {
            await lab.store.kill();
            await lab.store.start();
          });
        }
        stopped = true;
        const told = await lab.step('the last ones finish', () => counting);
        for (const [n, times] of told.entries()) {
          assert.ok(times > 0, `client ${n} never got anywhere`);
          assert.equal(Number(await first!.readText(`${TOP}/${n}`)), times, `client ${n}`);
        }
        const sum = told.reduce((a, b) => a + b);
        assert.equal(Number(await first!.readText(`${TOP}/all`)), sum, 'all together');
        lab.figure('transactions', sum);
        await first!.rm(TOP);
      } finally {
        stopped = true;
        await Promise.all(clients.map((client) => client.close()));
      }
    },
  },
];
