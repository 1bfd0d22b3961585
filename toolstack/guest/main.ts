#!/usr/bin/env node
/**
 * A guest as a process: becomes its domain by the token in its environment, takes its store ring, and lives as guest.ts says. Ends with its
 * domain; ending is how its domain ends.
 */
import { simPlatform } from '../../osdep/sim/client.ts';
import { connect } from '../../xenstored/client/index.ts';
import { ownRing } from '../../xenstored/client/ring.ts';
import { Guest } from './guest.ts';

const platform = simPlatform();
const store = await connect({ connector: ownRing(platform) });
const guest = new Guest({ store, clock: platform.clock, print: (text) => console.log(text) });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => guest.end());
// Whoever started us holds the other end.
if (process.env.STUBDOM0_LIFELINE === 'stdin') process.stdin.once('end', () => guest.end()).resume();

const reason = await guest.run();
await store.close();
platform.guest.shutdown(reason);
process.exit(0);
