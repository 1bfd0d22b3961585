#!/usr/bin/env node
/**
 * xenstored: picks the machine that the daemon runs on, and starts it.
 */
import { existsSync } from 'node:fs';
import type { Options } from './io/options.ts';
import { Fatal, type Machinery, run } from './io/run.ts';

const EVENT_DEVICE = '/dev/xen/evtchn';

/** Real Xen where there is one, else the simulated host whose hypervisor is in the run directory, else none: sockets alone. */
async function openPlatform({ platform, hostRunDir }: Options): Promise<Machinery | undefined> {
  if (platform === 'xen' || (platform === undefined && existsSync(EVENT_DEVICE))) {
    throw new Fatal('real Xen is not served yet: there is no /dev/xen driver in this version');
  }
  // Who was given a token is a domain: without its hypervisor it is nothing, and must not serve as if alone.
  const sim = platform === 'sim' || process.env.STUBDOM0_TOKEN !== undefined;
  if (!sim && hostRunDir === undefined) return undefined;
  const { simIsThere, simPlatform } = await import('../osdep/sim/client.ts');
  if (!sim && !simIsThere(hostRunDir)) return undefined;
  const machine = simPlatform(hostRunDir === undefined ? {} : { run: hostRunDir });
  return { platform: machine, instance: machine.instance };
}

await run({ args: process.argv.slice(2), env: process.env, openPlatform });
