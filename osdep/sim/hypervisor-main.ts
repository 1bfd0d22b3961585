/**
 * The hypervisor as a program: `node hypervisor-main.js --run DIR`. In DIR it makes `hypervisor/` with its `socket`, the
 * control domain's `token`, its `log`, all for this user alone, and prints `ready` when domains may connect. SIGTERM and
 * SIGINT end it, and so does the end of its standard input with `--with-parent`: nothing is left behind but the log.
 */
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OsError } from '../errno.ts';
import { protectFromPeers } from '../os/host.ts';
import { Hypervisor } from './hypervisor.ts';
import { hypervisorPaths } from './start.ts';

const LOG_BYTES = 64 << 20;

function main(): void {
  const { values } = parseArgs({
    options: {
      run: { type: 'string' },
      pages: { type: 'string' },
      'with-parent': { type: 'boolean', default: false },
    },
  });
  if (values.run === undefined) fail('--run DIR is missing');
  const pages = values.pages === undefined ? undefined : Number(values.pages);
  if (pages !== undefined && !(Number.isInteger(pages) && pages > 0))
    fail(`--pages ${values.pages}: not a number of pages`);

  const paths = hypervisorPaths(values.run);
  mkdirSync(join(paths.socket, '..'), { recursive: true, mode: 0o700 });
  protectFromPeers();
  const logFile = openSync(paths.log, 'a', 0o600);
  let logged = 0;
  const log = (line: string): void => {
    const text = `${new Date().toISOString()} ${line}\n`;
    logged += text.length;
    if (logged > LOG_BYTES) return;
    try {
      writeSync(logFile, text);
    } catch {
      // A full disk must not take the machine down.
    }
  };
  const hypervisor = new Hypervisor({
    socket: paths.socket,
    log,
    ...(pages !== undefined && { limits: { totalPages: pages } }),
  });
  writeFileSync(paths.token, hypervisor.controlToken, { mode: 0o600 });
  log(`hypervisor ${hypervisor.instance} up, process ${process.pid}`);

  const end = (why: string): void => {
    log(`hypervisor down: ${why}`);
    hypervisor.close();
    rmSync(paths.token, { force: true });
    rmSync(paths.socket, { force: true });
    closeSync(logFile);
    process.exit(0);
  };
  process.once('SIGTERM', () => end('SIGTERM'));
  process.once('SIGINT', () => end('SIGINT'));
  if (values['with-parent']) {
    process.stdin
      .on('end', () => end('whoever started it is gone'))
      .on('error', () => end('standard input'))
      .resume();
  }
  process.stdout.on('error', () => {});
  process.stdout.write('ready\n');
}

function fail(message: string): never {
  process.stderr.write(`hypervisor: ${message}\n`);
  process.exit(1);
}

try {
  main();
} catch (error) {
  if (!(error instanceof OsError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
  fail((error as Error).message);
}
