#!/usr/bin/env node
/**
 * A guest as a process: becomes its domain by the token in its environment, takes its store ring, and lives as guest.ts says. Ends with its
 * domain; ending is how its domain ends.
 */
import { simPlatform } from '../../osdep/sim/client.ts';
import { connect } from '../../xenstored/client/index.ts';
import { ownRing } from '../../xenstored/client/ring.ts';
import { onStop } from '../../xenstored/client/stop.ts';
import { ConsoleFront } from './console.ts';
import { guestCommands } from './consolecommands.ts';
import { Shell } from './consoleshell.ts';
import { driveDisks } from './disks.ts';
import { runFetcher } from './fetcher.ts';
import { Guest } from './guest.ts';
import { GuestNetwork } from './network.ts';
import { GuestSockets } from './sockets.ts';
import { Web } from './web.ts';

/** Until a guest is said to be ready though nobody knows yet whether it serves. */
const PATIENCE_MS = 20_000;

const platform = simPlatform();
const store = await connect({ connector: ownRing(platform) });
const { clock } = platform;
const terminal = ConsoleFront.open(platform, (bytes) => shell.input(bytes));
const shell = new Shell({
  name: (await store.findText('name')) ?? 'guest',
  write: (text) => terminal?.write(text),
  commands: guestCommands({ store, clock }),
});
const print = (text: string): void => {
  console.log(text);
  shell.print(text);
};
const network = new GuestNetwork({ platform, store, print });
const sockets = new GuestSockets({ platform, store, print });
const web = new Web({ store, clock, print, listen: (...wanted) => sockets.listen(...wanted) });
const fetcher = runFetcher({ store, clock, print, dial: (host, port) => sockets.dial(host, port) });
const serving = web.run();
for (const program of [fetcher, serving]) program.catch((error: unknown) => print(String(error)));
const patience = new Promise<void>((resolve) => clock.after(PATIENCE_MS, resolve));
const guest = new Guest({
  store,
  clock,
  print,
  begun: Promise.race([web.settled, serving.catch(() => {}), patience]),
  onNeighbour: (domid, find, signal) => network.pingOn(domid, () => find('data/address'), signal),
});
onStop(() => guest.end());

// They come when they come; a guest without devices is one, too.
const driven = await Promise.all([
  driveDisks({ platform, store, print, onDisk: (devid, disk) => web.disk(devid, disk) }),
  network.drive(),
  sockets.drive(),
]);
const reason = await guest.run();
for (const devices of driven) await devices.close();
await store.close();
platform.guest.shutdown(reason);
process.exit(0);
