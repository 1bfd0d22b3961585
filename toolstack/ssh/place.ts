/**
 * Where this service keeps things: what outlives a host in the state directory, what goes with it in the run directory. Knows no key.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { Fault, reasonOf } from '../io/fault.ts';

/** `--state`, STUBDOM0_STATE, or a place that fits who asks. */
export function statePath(given: string | undefined, env: NodeJS.ProcessEnv): string {
  const named = given ?? env.STUBDOM0_STATE;
  if (named !== undefined && named !== '') return resolve(named);
  if (process.getuid?.() === 0) return '/var/lib/stubdom0';
  return resolve(env.XDG_STATE_HOME || join(homedir(), '.local/state'), 'stubdom0');
}

/** The port that this host's service had before it was started again; 0: none. */
export function lastPort(run: string): number {
  try {
    return Number(/^[1-9]\d{0,4}$/.exec(readFileSync(join(run, 'ssh/port'), 'utf8').trim())?.[0] ?? 0);
  } catch {
    return 0;
  }
}

export interface Reached {
  readonly run: string;
  readonly port: number;
  readonly listen: string;
  /** A private key's file. */
  readonly identity: string;
  readonly knownHosts: string;
}

/** For the next start, and `config`, with which `ssh -F RUN/ssh/config stubdom0 list` asks nothing. Throws Fault. */
export function keepPlace({ run, port, listen, identity, knownHosts }: Reached): void {
  const folder = join(run, 'ssh');
  const any = listen === '0.0.0.0' || listen === '::';
  const lines = [
    'Host stubdom0',
    `  HostName ${any ? '127.0.0.1' : listen}`,
    `  Port ${port}`,
    '  User admin',
    `  IdentityFile "${identity}"`,
    '  IdentitiesOnly yes',
    '  HostKeyAlias stubdom0',
    `  UserKnownHostsFile "${knownHosts}"`,
    '  StrictHostKeyChecking yes',
  ];
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Fault(`${folder}: ${reasonOf(error)}`);
  }
  replace(join(folder, 'config'), `${lines.join('\n')}\n`);
  replace(join(folder, 'port'), `${port}\n`);
}

/** Whole or not at all, for whoever reads it meanwhile and whoever else writes it; left alone if it says so already. Throws Fault. */
export function replace(path: string, text: string, mode = 0o600): void {
  const fresh = `${path}.${process.pid}`;
  try {
    if (existsSync(path) && readFileSync(path, 'utf8') === text) return;
    writeFileSync(fresh, text, { mode });
    renameSync(fresh, path);
  } catch (error) {
    throw new Fault(`${path}: ${reasonOf(error)}`);
  }
}
