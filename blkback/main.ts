#!/usr/bin/env node
/**
 * blkback: picks the machine, and serves the disks that toolstacks order in its backend directory, until it is told to stop. Whoever starts
 * it again goes on where it was, with the guests none the wiser. Decides nothing else.
 */
import { join } from 'node:path';
import { runBackend } from '../xenstored/client/program.ts';
import { sweepRecords } from '../xenstored/client/ringrecord.ts';
import { RawDisks } from './disk/raw.ts';
import { worthLookingMs } from './io/lookout.ts';
import { serveDisks } from './io/service.ts';

runBackend({
  name: 'blkback',
  about: 'Serves disks for guests: every device below /local/domain/<own>/backend/vbd, as it comes and goes.',
  platform: async (wanted, run) => {
    const { simIsThere, simPlatform } = await import('../osdep/sim/client.ts');
    if (wanted === 'sim' || (wanted === undefined && simIsThere(run))) return simPlatform({ run });
    return (await import('../osdep/xen/platform.ts')).xenPlatform();
  },
  service: async ({ platform, domid, run, store, log }) => {
    const media = new RawDisks();
    const recordDir = join(run, 'blkback', `${domid}`);
    const own = `/local/domain/${domid}/backend/vbd`;
    await sweepRecords(recordDir, (name) => store.exists(`${own}/${name.replace('-', '/')}`));
    const lookOutMs = await worthLookingMs(() => platform.clock.now());
    return serveDisks({ platform, recordDir, openMedium: (order) => media.open(order), lookOutMs, log })
      .service;
  },
});
