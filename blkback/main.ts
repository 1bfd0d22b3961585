#!/usr/bin/env node
/**
 * blkback: picks the machine, and serves the disks that toolstacks order in its backend directory, until it is told to stop. Whoever starts
 * it again goes on where it was, with the guests none the wiser. Decides nothing else.
 */
import { openMachine } from '../osdep/machine.ts';
import { runBackend } from '../xenstored/client/program.ts';
import { RawDisks } from './disk/raw.ts';
import { worthLookingMs } from './io/lookout.ts';
import { serveDisks } from './io/service.ts';

runBackend({
  name: 'blkback',
  linux: { driver: 'vbd', module: 'xen-blkback' },
  about: 'Serves disks for guests: every device below /local/domain/<own>/backend/vbd, as it comes and goes.',
  platform: openMachine,
  flags: {
    options: { 'look-out': { type: 'string' } },
    help: `  --look-out US       when disks have been busy, look for more to do for so many microseconds before
                      sleeping; 0: never. Default: a few turns of Node's loop; on the simulator 0
`,
    check: ({ 'look-out': asked }) => {
      const us = Number(asked ?? 0);
      if (!(us >= 0 && us <= 100_000)) throw new Error(`--look-out ${asked}: not a number from 0 to 100000`);
    },
  },
  service: async ({ platform, recordDir, log }, flags) => {
    const media = new RawDisks();
    const { 'look-out': asked } = flags;
    // Guests and hypervisor of a simulated machine want the same processors.
    const worth = platform.name === 'sim' ? 0 : await worthLookingMs(() => platform.clock.now());
    const lookOutMs = asked === undefined ? worth : Number(asked) / 1000;
    return serveDisks({ platform, recordDir, openMedium: (order) => media.open(order), lookOutMs, log })
      .service;
  },
});
