/**
 * Ours and Debian's C daemon under the same random conversations: what they answer and tell differs only where it is meant to, also when ours is
 * restarted on its database in the middle. `STUBDOM0_XENSTORED_HEAD=PATH` adds a build of today's C daemon. Longer runs: see differential.ts.
 */
import { describe, expect, it } from 'vitest';
import { peerMissing } from '../conformance/peers.ts';
import { dialectOf, type Ours, pairWith, run } from './differential.ts';
import { Generator, told } from './fuzz-steps.ts';

const SEEDS: readonly (readonly [Ours, number])[] = [
  ['core', 1],
  ['core', 2],
  ['core', 47],
  ['core', 72],
  ['sim', 3],
  ['disk', 4],
  ['disk', 5],
];
const STEPS = 200;

againstPeer("Debian's C daemon", 'c417');
const head = process.env.STUBDOM0_XENSTORED_HEAD;
if (head) againstPeer("today's C daemon", head);

function againstPeer(name: string, peer: string): void {
  describe(`against ${name}`, () => {
    const missing = peerMissing(peer);
    if (missing) {
      it.skip(`not run: ${missing}`);
      return;
    }
    it.each(SEEDS)('ours (%s), seed %i', async (ours, seed) => {
      const pair = pairWith(peer, ours);
      const { steps, difference } = await run(pair, new Generator(seed, dialectOf(pair)), STEPS);
      expect(difference && { ...difference, after: steps.slice(-20).map(told) }).toBeUndefined();
    });
  });
}
