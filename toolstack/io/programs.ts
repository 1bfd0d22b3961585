/**
 * The programs that a host consists of, as they are built into `dist`: their flags and the line by which each says that it serves. Knows
 * nothing of when they are started.
 */
import { statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { DomainConfig } from '../core/config.ts';
import type { HostFile, ServiceFile } from '../core/host.ts';
import type { Uplink } from '../core/uplink.ts';
import type { Command } from './child.ts';
import { Fault } from './fault.ts';
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
  const tokens = [
    '--token-file',
    join(run, 'admin.token'),
    '--write-token-file',
    join(run, 'admin-write.token'),
  ];
  const flags = ['--run', run, '--port', `${port}`, ...tokens];
  return program('xenstored/admin/main.js', flags, lifeline, /xenstore-admin is ready at (http:\/\/[^/\s]+)/);
}

/** What a backend's devices count is in a file for xenstore-admin's metrics, so many seconds old at most. */
const counting = ['--statistics', '5'];

export function blkback(run: string, { args }: ServiceFile, domain: Environment): Command {
  return backend('blkback/main.js', run, [...counting, ...args], domain);
}

/** `uplink` left out: guests reach each other only. */
export function netback(
  run: string,
  { args }: ServiceFile,
  uplink: Uplink | undefined,
  domain: Environment,
): Command {
  const way = uplink === undefined ? [] : ['--uplink', uplink.name, '--uplink-address', uplink.address];
  return backend('netback/vif/main.js', run, [...counting, ...way, ...args], domain);
}

/** `policy`: the file's path. */
export function xensock(run: string, { args }: ServiceFile, policy: string, domain: Environment): Command {
  return backend('netback/xensock/main.js', run, [...counting, '--policy', policy, ...args], domain);
}

export function consoled(run: string, { args }: ServiceFile, domain: Environment): Command {
  return backend('toolstack/console/main.js', run, ['--log', join(run, 'logs/console'), ...args], domain);
}

/** The domain manager: a second process of the control domain. */
export function toolstack(run: string): Command {
  return program('toolstack/main.js', ['serve', '--run', run], lifeline, /toolstack is ready/);
}

/** The match's groups are its address, its port and its key's fingerprint. */
export function sshd(run: string, port: number, args: readonly string[]): Command {
  const flags = ['sshd', '--run', run, '--port', `${port}`, ...args];
  return program('toolstack/main.js', flags, lifeline, /^sshd is ready on (\S+):(\d+) (\S+)/);
}

function backend(path: string, run: string, args: readonly string[], domain: Environment): Command {
  const flags = ['--platform', 'sim', '--run', run, ...args];
  return program(path, flags, { ...domain, ...lifeline }, /ready for domain/);
}

/** Programs for a guest's domain by what a `kernel=` calls them; those of services serve other domains' devices from it. */
const guests: Readonly<Record<string, string>> = {
  guest: 'toolstack/guest/main.js',
  serial: 'toolstack/guest/serial-main.js',
};
const drivers: Readonly<Record<string, string>> = {
  blkback: 'blkback/main.js',
  netback: 'netback/vif/main.js',
  xensock: 'netback/xensock/main.js',
  console: 'toolstack/console/main.js',
};

/** What runs in a domain. Throws Fault: there is no such program. */
export function guestCommand(
  { kernel = 'guest', cmdline }: Pick<DomainConfig, 'kernel' | 'cmdline'>,
  run: string,
  domain: Environment,
): Omit<Command, 'ready'> {
  const file = process.execPath;
  const words = wordsOf(cmdline);
  const [guest, driver] = [guests[kernel], drivers[kernel]];
  if (guest !== undefined) return { file, args: [join(packageRoot, 'dist', guest), ...words], env: domain };
  if (driver !== undefined) {
    const flags = ['--platform', 'sim', '--run', run, ...words];
    return { file, args: [join(packageRoot, 'dist', driver), ...flags], env: domain };
  }
  return { file, args: [kernel, ...words], env: domain };
}

/** A process for many guests, which are handed over to it one by one. */
export function bulkCommand(environment: Environment): Omit<Command, 'ready'> {
  const args = [join(packageRoot, 'dist/toolstack/guest/bulk-main.js')];
  return { file: process.execPath, args, env: environment };
}

/** Of a device model with a serial port. */
export function modelCommand(run: string, domain: Environment): Omit<Command, 'ready'> {
  const args = [join(packageRoot, 'dist/toolstack/model/main.js'), '--platform', 'sim', '--run', run];
  return { file: process.execPath, args, env: domain };
}

/** Throws Fault: a kernel is neither one of ours nor a file. */
export function checkKernel({ kernel = 'guest' }: Pick<DomainConfig, 'kernel'>): void {
  const known = [...Object.keys(guests), 'bulk', ...Object.keys(drivers)];
  if (known.includes(kernel)) return;
  if (!isAbsolute(kernel) || statSync(kernel, { throwIfNoEntry: false })?.isFile() !== true)
    throw new Fault(`kernel ${kernel}: no such file, and no program of ours (${known.join(', ')})`);
}

/** As a shell splits them, without anything else that a shell does. */
function wordsOf(cmdline: string): string[] {
  const words = cmdline.match(/(?:[^\s"']|"[^"]*"|'[^']*')+/g) ?? [];
  return words.map((word) => word.replaceAll(/"([^"]*)"|'([^']*)'/g, '$1$2'));
}
