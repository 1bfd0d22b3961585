#!/usr/bin/env node
/**
 * netback: picks the machine, and serves the network interfaces that toolstacks order in its backend directory, until it is told to stop.
 * Whoever starts it again goes on with guests that are connected. Decides nothing else.
 */
import { openMachine } from '../../osdep/machine.ts';
import { runBackend } from '../../xenstored/client/program.ts';
import { flags, wiringOf } from './io/flags.ts';
import { serveVifs } from './io/service.ts';

runBackend({
  name: 'netback',
  linux: { driver: 'vif', module: 'xen-netback' },
  about:
    'Serves network interfaces for guests: every device below /local/domain/<own>/backend/vif, as it comes and goes.',
  platform: openMachine,
  flags,
  service: async ({ platform, run, store, recordDir, log }, values) => {
    const wiring = wiringOf(values, platform.name === 'sim' ? 'switch' : 'tap');
    const vifs = serveVifs({ platform, wiring, recordDir, captureDir: run, log });
    await vifs.sweep((path) => store.exists(`${path}/state`));
    return vifs.service;
  },
});
