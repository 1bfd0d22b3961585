/**
 * The programs that a host consists of, as they are built into `dist`: their flags and the line by which each says that it serves. Knows
 * nothing of when they are started.
 */
import { join } from 'node:path';
import type { HostFile } from '../core/host.ts';
import type { Command } from './child.ts';
import { packageRoot } from './hostfile.ts';

/** Domain's identity, or whatever else a process gets by its environment. */
type Environment = Readonly<Record<string, string>>;

/** Its standard input ends with us: it should, too. */
const lifeline: Environment = { STUBDOM0_LIFELINE: 'stdin' };

function program(path: string, args: readonly string[], env: Environment, ready: RegExp): Command {
  return { file: process.execPath, args: [join(packageRoot, 'dist', path), ...args], env, ready };
}

export function xenstored(
  run: string,
  { database, args }: HostFile['xenstored'],
  domain: Environment,
): Command {
  const place = database === 'memory' ? database : join(run, 'xenstored', database);
  const flags = ['--no-fork', '--platform', 'sim', '--run', run, '--database', place, ...args];
  // Said in full: whoever starts us may have these set for a host that he is looking at.
  const runDir = join(run, 'xenstored');
  const env = { ...domain, XENSTORED_RUNDIR: runDir, XENSTORED_PATH: join(runDir, 'socket') };
  return program('xenstored/main.js', flags, env, /xenstored is ready/);
}

/** The match's first group is its URL. */
export function xenstoreAdmin(run: string, port: number): Command {
  const flags = ['--run', run, '--port', `${port}`, '--token-file', join(run, 'admin.token')];
  return program('xenstored/admin/main.js', flags, lifeline, /xenstore-admin is ready at (\S+)/);
}

export function guest(domain: Environment): Command {
  return program('toolstack/guest/main.js', [], { ...domain, ...lifeline }, /guest is ready/);
}
