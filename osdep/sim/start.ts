/**
 * Bringing up a simulated machine: the hypervisor process and the tokens by which other processes become its domains.
 * For a toolstack; whoever merely runs in a domain needs `simPlatform` alone.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Errno, OsError } from '../errno.ts';

/** Node runs what was built, also when the tests run this file as it is. */
const PROGRAM = import.meta.url.endsWith('.ts')
  ? '../../dist/osdep/sim/hypervisor-main.js'
  : './hypervisor-main.js';

/** Where a hypervisor's files are, in a run directory. */
export interface HypervisorPaths {
  readonly socket: string;
  /** The control domain's token. */
  readonly token: string;
  readonly log: string;
}

export function hypervisorPaths(run: string): HypervisorPaths {
  const dir = join(run, 'hypervisor');
  return { socket: join(dir, 'socket'), token: join(dir, 'token'), log: join(dir, 'log') };
}

export interface HypervisorProcess {
  readonly pid: number;
  /** By which a process becomes the control domain. */
  readonly token: string;
  /** Resolves when the process has ended, with its exit code, or undefined after a signal. */
  readonly ended: Promise<number | undefined>;
  /** Ends it, and with it all domains; resolves when it is gone. */
  stop(): Promise<void>;
}

export interface StartOptions {
  /** The run directory; it exists. */
  readonly run: string;
  /** Memory of the machine, in pages of 4096 bytes; default: one gibibyte. */
  readonly pages?: number;
}

/**
 * Starts a hypervisor that ends with this process at the latest. Resolves when domains may connect; rejects with OsError
 * (EADDRINUSE: that run directory has one already).
 */
export async function startHypervisor(options: StartOptions): Promise<HypervisorProcess> {
  const program = fileURLToPath(new URL(PROGRAM, import.meta.url));
  const args = [program, '--run', options.run, '--with-parent'];
  if (options.pages !== undefined) args.push('--pages', String(options.pages));
  // Its own group: a Ctrl-C is for the toolstack, which takes things down in order.
  const child = spawn(process.execPath, args, { detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = new Promise<number | undefined>((resolve) => {
    child.once('exit', (code) => resolve(code ?? undefined));
    child.once('error', () => resolve(undefined));
  });
  await ready(child);
  return {
    pid: child.pid!,
    token: readFileSync(hypervisorPaths(options.run).token, 'latin1'),
    ended,
    stop: async () => {
      // Its end is waited for now, so it keeps this process going.
      child.ref();
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** Waits for the first words; afterwards the pipes keep nobody alive. */
async function ready(child: ChildProcess): Promise<void> {
  let complaint = '';
  child.stderr?.on('data', (text: Buffer) => {
    complaint += text.toString();
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('error', reject);
    child.once('close', () => {
      const errno = complaint.includes('EADDRINUSE') ? Errno.EADDRINUSE : Errno.EIO;
      reject(new OsError(errno, complaint.trim() || 'the hypervisor ended at once'));
    });
  });
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr]) {
    (stream as { unref?: () => void } | null)?.unref?.();
  }
}
