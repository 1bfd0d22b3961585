#!/usr/bin/env node
/**
 * blkback: picks the machine and the store, and serves the disks that toolstacks order in its backend directory, until it is told to stop.
 * Whoever starts it again goes on where it was, with the guests none the wiser. Decides nothing else.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Platform } from '../osdep/platform.ts';
import { serveBackends } from '../xenstored/client/backend.ts';
import { connect } from '../xenstored/client/connect.ts';
import { RawDisks } from './disk/raw.ts';
import { serveDisks } from './io/service.ts';

const usage = `usage: blkback [--platform xen|sim] [--run DIR]

Serves disks for guests: every device below /local/domain/<own>/backend/vbd, as it comes and goes.

  --platform xen|sim  the machine; default: sim where a hypervisor of ours is in DIR, else xen
  --run DIR           the host's run directory (STUBDOM0_RUN); default: /run/stubdom0
`;

interface Settings {
  readonly platform: string | undefined;
  readonly run: string;
}

class Complaint extends Error {}

function settings(): Settings | undefined {
  const options = {
    platform: { type: 'string' },
    run: { type: 'string' },
    help: { type: 'boolean' },
  } as const;
  let values: { platform?: string; run?: string; help?: boolean };
  try {
    ({ values } = parseArgs({ options }));
  } catch (error) {
    throw new Complaint(error instanceof Error ? error.message : String(error));
  }
  const { platform, help } = values;
  if (help) return undefined;
  if (platform !== undefined && platform !== 'xen' && platform !== 'sim')
    throw new Complaint(`--platform ${platform}: neither xen nor sim`);
  return { platform, run: values.run ?? process.env.STUBDOM0_RUN ?? '/run/stubdom0' };
}

async function openPlatform({ platform, run }: Settings): Promise<Platform> {
  const { simIsThere, simPlatform } = await import('../osdep/sim/client.ts');
  if (platform === 'sim' || (platform === undefined && simIsThere(run))) return simPlatform({ run });
  const { xenPlatform } = await import('../osdep/xen/platform.ts');
  return xenPlatform();
}

function say(line: string): void {
  process.stderr.write(`blkback: ${line}\n`);
}

async function main(): Promise<void> {
  const chosen = settings();
  if (chosen === undefined) {
    process.stdout.write(usage);
    return;
  }
  const platform = await openPlatform(chosen);
  // A domain has the store behind its own ring; the control domain has a socket.
  const own = platform.domid !== 0 && platform.name === 'sim';
  const way = own ? { platform } : platform.name === 'sim' ? { run: chosen.run } : {};
  const store = await connect({ ...way, first: 'wait' });
  // On real Xen a driver domain's kernel does not tell; its store does.
  const domid = platform.domid ?? Number(await store.readText('domid'));
  const media = new RawDisks();
  const disks = serveDisks({
    platform,
    recordDir: join(chosen.run, 'blkback', `${domid}`),
    openMedium: (order) => media.open(order),
    log: say,
  });
  const served = await serveBackends(disks.service, { store, domid, log: say });
  say(`ready for domain ${domid}'s disks`);
  const stop = (): void => {
    void served.close().then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  if (process.env.STUBDOM0_LIFELINE === 'stdin') process.stdin.resume().once('end', stop);
  await served.ended;
}

main().catch((error: unknown) => {
  say(error instanceof Error ? error.message : String(error));
  process.exit(1);
});
