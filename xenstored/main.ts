#!/usr/bin/env node
/**
 * xenstored: picks the machine that the daemon runs on, and starts it.
 */
import { existsSync } from 'node:fs';
import type { Platform } from '../osdep/platform.ts';
import type { Options } from './io/options.ts';
import { run } from './io/run.ts';

const EVENT_DEVICE = '/dev/xen/evtchn';

/** Real Xen where there is one, else the simulated host whose token this process was given, else none: sockets alone. */
async function openPlatform({ platform }: Options): Promise<Platform | undefined> {
  const wanted =
    platform ?? (existsSync(EVENT_DEVICE) ? 'xen' : process.env.STUBDOM0_TOKEN ? 'sim' : undefined);
  if (wanted === undefined) return undefined;
  throw new Error(`platform ${wanted} is not there`);
}

await run({ args: process.argv.slice(2), env: process.env, openPlatform });
