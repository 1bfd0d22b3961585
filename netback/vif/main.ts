#!/usr/bin/env node
/**
 * netback: picks the machine and the store, and serves the network interfaces that toolstacks order in its backend directory, until it is
 * told to stop. Whoever starts it again goes on with guests that are connected. Decides nothing else.
 */
import { parseArgs } from 'node:util';
import type { Platform } from '../../osdep/platform.ts';
import { serveBackends } from '../../xenstored/client/backend.ts';
import { connect } from '../../xenstored/client/connect.ts';
import { serveVifs } from './io/service.ts';

const usage = `usage: netback [--platform xen|sim] [--run DIR]

Serves network interfaces for guests: every device below /local/domain/<own>/backend/vif, as it comes and goes. All are on one network.

  --platform xen|sim  the machine; default: sim where a hypervisor of ours is in DIR, else xen
  --run DIR           the host's run directory (STUBDOM0_RUN); default: /run/stubdom0
`;

function say(line: string): void {
  process.stderr.write(`netback: ${line}\n`);
}

async function openPlatform(wanted: string | undefined, run: string): Promise<Platform> {
  if (wanted !== undefined && wanted !== 'xen' && wanted !== 'sim')
    throw new Error(`--platform ${wanted}: neither xen nor sim`);
  const { simIsThere, simPlatform } = await import('../../osdep/sim/client.ts');
  if (wanted === 'sim' || (wanted === undefined && simIsThere(run))) return simPlatform({ run });
  const { xenPlatform } = await import('../../osdep/xen/platform.ts');
  return xenPlatform();
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { platform: { type: 'string' }, run: { type: 'string' }, help: { type: 'boolean' } },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const run = values.run ?? process.env.STUBDOM0_RUN ?? '/run/stubdom0';
  const platform = await openPlatform(values.platform, run);
  const sim = platform.name === 'sim';
  // A domain has the store behind its own ring; the control domain has a socket.
  const way = sim ? (platform.domid === 0 ? { run } : { platform }) : {};
  const store = await connect({ ...way, first: 'wait' });
  // On real Xen a driver domain's kernel does not tell; its store does.
  const domid = platform.domid ?? Number(await store.readText('domid'));
  const vifs = serveVifs({ platform, log: say });
  const served = await serveBackends(vifs.service, { store, domid, log: say });
  say(`ready for domain ${domid}'s interfaces`);
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
