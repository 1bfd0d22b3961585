/**
 * The programs that a host consists of, as they are built into `dist`: their flags and the line by which each says that it serves. Knows
 * nothing of when they are started.
 */
import { join } from 'node:path';
import type { HostFile, ServiceFile } from '../core/host.ts';
import type { Uplink } from '../core/uplink.ts';
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

export function blkback(run: string, { args }: ServiceFile, domain: Environment): Command {
  return backend('blkback/main.js', run, args, domain);
}

/** `uplink` left out: guests reach each other only. */
export function netback(
  run: string,
  { args }: ServiceFile,
  uplink: Uplink | undefined,
  domain: Environment,
): Command {
  const way = uplink === undefined ? [] : ['--uplink', uplink.name, '--uplink-address', uplink.address];
  return backend('netback/vif/main.js', run, [...way, ...args], domain);
}

/** `policy`: the file's path. */
export function xensock(run: string, { args }: ServiceFile, policy: string, domain: Environment): Command {
  return backend('netback/xensock/main.js', run, ['--policy', policy, ...args], domain);
}

function backend(path: string, run: string, args: readonly string[], domain: Environment): Command {
  const flags = ['--platform', 'sim', '--run', run, ...args];
  return program(path, flags, { ...domain, ...lifeline }, /ready for domain/);
}

export function guest(domain: Environment): Command {
  return program('toolstack/guest/main.js', [], { ...domain, ...lifeline }, /guest is ready/);
}
