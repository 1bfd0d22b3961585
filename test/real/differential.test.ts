/**
 * Our core and Debian's C daemon under the same random conversations: what they answer and tell differs only where it is meant to.
 * `STUBDOM0_XENSTORED_HEAD=PATH` adds a build of today's C daemon. Longer runs: see differential.ts.
 */
import { describe, expect, it } from 'vitest';
import { peerMissing } from '../kit/peers.ts';
import { dialectOf, pairWith, run } from './differential.ts';
import { Generator, told } from './fuzz-steps.ts';

const SEEDS = [1, 2, 3, 47, 72, 127];
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
    it.each(SEEDS)('seed %i', async (seed) => {
      const pair = pairWith(peer);
      const { steps, difference } = await run(pair, new Generator(seed, dialectOf(pair.kind)), STEPS);
      expect(difference && { ...difference, after: steps.slice(-20).map(told) }).toBeUndefined();
    });
  });
}
