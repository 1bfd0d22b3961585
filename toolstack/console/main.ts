#!/usr/bin/env node
/**
 * consoled: picks the machine, and serves the consoles of the domains whose toolstack says so, until it is told to stop. Whoever starts it again goes on where
 * it was. Decides nothing else.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { lockFile } from '../../osdep/os/lockfile.ts';
import type { Platform } from '../../osdep/platform.ts';
import { connect } from '../../xenstored/client/index.ts';
import { limitLog } from '../../xenstored/client/loglimit.ts';
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
/** It is told, then, what is missing. */
const STORE_PATIENCE_MS = 2000;

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
  const platform = await machine(values.platform, run);
  // Without a hypervisor it ends here, rather than wait for a store for ever.
  platform.openEvtchn().close();
  if (platform.name === 'xen') refuseBesideXens();
  const way = platform.name !== 'sim' ? {} : platform.domid === 0 ? { run } : { platform };
  const waits = setTimeout(() => log('waiting for the store'), STORE_PATIENCE_MS);
  const store = await connect({ ...way, first: 'wait' });
  clearTimeout(waits);
  const domid = platform.domid ?? Number(await store.readText('domid'));
  claim(join(run, 'console'), domid);
  const consoles = serveConsoles({
    platform,
    store,
    domid,
    logs: directory === undefined ? undefined : { ...logs, directory },
    log,
  });
  await consoles.ready;
  log(`ready for domain ${domid}'s consoles`);
  const stop = (): void => {
    void consoles.close().then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  if (process.env.STUBDOM0_LIFELINE === 'stdin') process.stdin.resume().once('end', stop);
  await consoles.ended;
}

async function machine(wanted: string | undefined, run: string): Promise<Platform> {
  if (wanted !== undefined && wanted !== 'xen' && wanted !== 'sim')
    throw new Error(`--platform ${wanted}: neither xen nor sim`);
  const { simIsThere, simPlatform } = await import('../../osdep/sim/client.ts');
  if (wanted === 'sim' || (wanted === undefined && simIsThere(run))) return simPlatform({ run });
  return (await import('../../osdep/xen/platform.ts')).xenPlatform();
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

/** For as long as the process lives: two would take each other's consoles. */
function claim(directory: string, domid: number): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (lockFile(join(directory, `lock-${domid}`)) === undefined)
    throw new Error(`another consoled serves domain ${domid}'s consoles: stop that one first`);
}

function number(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (!(Number.isSafeInteger(value) && value >= least))
    throw new Error(`${flag} ${text}: not a whole number from ${least} on`);
  return value;
}
