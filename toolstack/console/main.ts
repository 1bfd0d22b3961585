#!/usr/bin/env node
/**
 * consoled: picks the machine, and serves the consoles of the domains whose toolstack says so, until it is told to stop. Whoever starts it again goes on where
 * it was. Decides nothing else.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openMachine } from '../../osdep/machine.ts';
import { limitLog } from '../../xenstored/client/loglimit.ts';
import { claimDomain, storeOfHost } from '../../xenstored/client/servicelife.ts';
import { onStop } from '../../xenstored/client/stop.ts';
import { serveConsoles } from './service.ts';

const usage = `usage: consoled [--platform xen|sim] [--run DIR] [--log DIR [FLAGS]]

Serves the consoles of domains, as xenconsoled does: each as a terminal that its store's node tty names, and a log.

  --platform xen|sim  the machine; default: sim where a hypervisor of ours is in DIR, else xen
  --run DIR           the host's run directory (STUBDOM0_RUN); default: /run/stubdom0
  --log DIR           keeps what domains say in DIR/guest-NAME.log
  --timestamp         with the time in front of each line
  --log-size BYTES    such a file is set aside when it has so many; default: 1048576
  --log-count N       so many are kept besides; default: 4
`;

const XENS_PID_FILE = '/run/xen/xenconsoled.pid';

const log = limitLog(
  (line) => void process.stderr.write(`consoled: ${line}\n`),
  () => performance.now(),
);

serve().catch((error: unknown) => {
  log(error instanceof Error ? error.message : String(error));
  process.exit(1);
});

async function serve(): Promise<void> {
  const { values } = parseArgs({
    options: {
      platform: { type: 'string' },
      run: { type: 'string' },
      log: { type: 'string' },
      timestamp: { type: 'boolean' },
      'log-size': { type: 'string' },
      'log-count': { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const { run = process.env.STUBDOM0_RUN ?? '/run/stubdom0', log: directory } = values;
  const logs = {
    maxBytes: number('--log-size', values['log-size'] ?? '1048576', 1),
    keep: number('--log-count', values['log-count'] ?? '4', 0),
    times: values.timestamp ? 'stamped' : 'plain',
  } as const;
  const platform = await openMachine(values.platform, run);
  if (platform.name === 'xen') refuseBesideXens();
  const store = await storeOfHost({ platform, run, log });
  const domid = platform.domid ?? Number(await store.readText('domid'));
  claimDomain({ directory: join(run, 'console'), domid, name: 'consoled', what: 'consoles' });
  const consoles = serveConsoles({
    platform,
    store,
    domid,
    logs: directory === undefined ? undefined : { ...logs, directory },
    log,
  });
  await consoles.ready;
  log(`ready for domain ${domid}'s consoles`);
  onStop(() => void consoles.close().then(() => process.exit(0)));
  await consoles.ended;
}

/** Both would take each console. */
function refuseBesideXens(): void {
  let pid: string;
  try {
    pid = readFileSync(XENS_PID_FILE, 'latin1').trim();
  } catch {
    return;
  }
  if (/^\d+$/.test(pid) && existsSync(`/proc/${pid}`))
    throw new Error(`xenconsoled runs (process ${pid}): stop that one first`);
}

function number(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (!(Number.isSafeInteger(value) && value >= least))
    throw new Error(`${flag} ${text}: not a whole number from ${least} on`);
  return value;
}
