/**
 * The table of states on running programs: whatever two states a device's ends are found in, or are written into both nodes behind their
 * programs' backs, the two find to a pair that stays, nothing is left once the device is detached, and the next one of its name connects.
 */
import { expect, it } from 'vitest';
import { type Device, type Guest, type SimHost, simHost } from '../kit/index.ts';
import { toyBackend, toyDriver } from './toy.ts';

const LIMIT_MS = 180_000;
const STATES = [0, 1, 2, 3, 4, 5, 6, 7, 8];

/** Both connected; both closed; one end alone, and closed or left as it was. A frontend writes no 2 of its own, so nobody takes it away. */
const stays = /^(4\/4|6\/6|6\/0|0\/[0126])$/;

function force(host: SimHost, { back, front }: Device, states: readonly [number, number]): void {
  for (const [directory, state] of [
    [back, states[0]],
    [front, states[1]],
  ] as const)
    if (state === 0) host.rm(`${directory}/state`);
    else host.write(`${directory}/state`, `${state}`);
}

type Start = (host: SimHost, guest: Guest) => Promise<unknown>;

const backend: Start = (host) => host.backend(toyBackend);
const frontend: Start = (host, guest) => host.frontend(guest, toyDriver);

/** What runs when the states are written, and what comes then. */
const orders: readonly (readonly [string, before: readonly Start[], after: readonly Start[]])[] = [
  ['a backend finds them, then a frontend', [], [backend, frontend]],
  ['a frontend finds them, then a backend', [], [frontend, backend]],
  ['both are connected when they are written', [backend, frontend], []],
];

it.each(orders)(
  '%s',
  async (_, before, after) => {
    for (const back of STATES)
      for (const front of STATES)
        await simHost({ seed: back * 9 + front }, async (host) => {
          host.note(`states ${back} and ${front} are written`);
          const guest = await host.guest();
          const toy = host.attach({ kind: 'toy', guest });
          for (const start of before) await start(host, guest);
          if (before.length > 0) await host.connected(toy);
          force(host, toy, [back, front]);
          for (const start of after) {
            await start(host, guest);
            await host.settle();
          }
          await host.settle();
          const { states } = toy;
          expect(`${states.back}/${states.front}`).toMatch(stays);
          await host.detach(toy);
          await host.settle();
          expect(host.leftovers()).toEqual([]);
          const again = host.attach({ kind: 'toy', guest });
          await host.connected(again);
        });
  },
  LIMIT_MS,
);
