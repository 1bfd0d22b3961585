#!/usr/bin/env node
/**
 * A guest as a process: becomes its domain by the token in its environment, takes its store ring, and lives as guest.ts says. Ends with its
 * domain; ending is how its domain ends.
 */
import { simPlatform } from '../../osdep/sim/client.ts';
import { connect } from '../../xenstored/client/index.ts';
import { ownRing } from '../../xenstored/client/ring.ts';
import { driveDisks } from './disks.ts';
import { Guest } from './guest.ts';
import { GuestNetwork } from './network.ts';

const platform = simPlatform();
const store = await connect({ connector: ownRing(platform) });
const print = (text: string): void => console.log(text);
const network = new GuestNetwork({ platform, store, print });
const guest = new Guest({
  store,
  clock: platform.clock,
  print,
  onNeighbour: (domid, find, signal) => network.pingOn(domid, () => find('data/address'), signal),
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => guest.end());
// Whoever started us holds the other end.
if (process.env.STUBDOM0_LIFELINE === 'stdin') process.stdin.once('end', () => guest.end()).resume();

// They come when they come; a guest without devices is one, too.
const driven = await Promise.all([driveDisks({ platform, store, print }), network.drive()]);
const reason = await guest.run();
for (const devices of driven) await devices.close();
await store.close();
platform.guest.shutdown(reason);
process.exit(0);
