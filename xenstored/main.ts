#!/usr/bin/env node
/**
 * xenstored: picks the machine that the daemon runs on, and starts it.
 */
import type { Options } from './io/options.ts';
import { Fatal, type HostCheck, type Machinery, run } from './io/run.ts';

/**
 * What was asked for; else the simulated host whose hypervisor is in the run directory, else real Xen where this is its control domain, else
 * none: sockets alone.
 */
async function openPlatform(options: Options): Promise<Machinery | undefined> {
  const { platform, hostRunDir, stubDomain } = options;
  if (platform === 'xen' || (stubDomain && platform === undefined)) return xen(options);
  // Who was given a token is a domain: without its hypervisor it is nothing, and must not serve as if alone.
  if (platform === 'sim' || process.env.STUBDOM0_TOKEN !== undefined) return sim(hostRunDir);
  if (hostRunDir !== undefined) {
    const { simIsThere } = await import('../osdep/sim/client.ts');
    if (simIsThere(hostRunDir)) return sim(hostRunDir);
  }
  const { xenIsThere } = await import('../osdep/xen/platform.ts');
  return xenIsThere() ? xen(options) : undefined;
}

async function sim(run: string | undefined): Promise<Machinery> {
  const { simPlatform } = await import('../osdep/sim/client.ts');
  const machine = simPlatform(run === undefined ? {} : { run });
  return { platform: machine, instance: machine.instance };
}

/** The hypervisor lives as long as its control domain's kernel: that kernel's boot tells them both. */
async function xen({ stubDomain }: Options): Promise<Machinery> {
  const { xenIsThere, xenPlatform } = await import('../osdep/xen/platform.ts');
  if (!stubDomain && !xenIsThere()) {
    throw new Fatal(
      'not the control domain of a Xen host; in a domain made for the store, say --stub-domain',
    );
  }
  return { platform: xenPlatform(stubDomain ? { domid: 'ask' } : {}), instance: 'boot' };
}

async function checkHost({ runDir }: Options): Promise<HostCheck> {
  const { probeHost } = await import('../osdep/xen/probe.ts');
  const { canServe, findingsOf } = await import('../osdep/xen/findings.ts');
  const findings = findingsOf(await probeHost({ runDir }));
  const able = canServe(findings);
  const notable = findings
    .filter(({ verdict }) => verdict !== 'ok')
    .map(({ verdict, subject, text }) => `${verdict}: ${subject}: ${text}`);
  return { able, lines: [...notable, `xenstored can${able ? '' : 'not'} serve this machine`] };
}

await run({ args: process.argv.slice(2), env: process.env, openPlatform, checkHost });
