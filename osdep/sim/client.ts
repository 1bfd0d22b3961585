/**
 * A domain of a simulated machine across processes, as a Platform. Which machine and which domain come from options or
 * from the environment: STUBDOM0_RUN (the run directory) and STUBDOM0_TOKEN (who this process is; without it, the control
 * domain, for whoever may read its token file).
 */
import { existsSync, readFileSync } from 'node:fs';
import { Errno, OsError } from '../errno.ts';
import { platformOn, type SimPlatform } from './platform.ts';
import type { TokenArgs } from './protocol.ts';
import { RemoteMachine } from './remote.ts';
import { hypervisorPaths } from './start.ts';

export const RUN_VARIABLE = 'STUBDOM0_RUN';
export const TOKEN_VARIABLE = 'STUBDOM0_TOKEN';

export interface RemoteSimOptions {
  readonly run?: string;
  /** The hypervisor's socket, instead of the one in `run`. */
  readonly socket?: string;
  readonly token?: string;
  /**
   * The hypervisor has ended this domain, or is gone. Default: the process says so and exits with code 1, since for a
   * domain there is nothing after that; with several domains in one process each wants its own answer.
   */
  readonly onLost?: () => void;
}

export interface RemoteSimPlatform extends SimPlatform {
  /** Differs between any two runs of a hypervisor: what was stored under another one is of no use. */
  readonly instance: string;
  /**
   * For the control domain: a token by which a process becomes a domain, any number of times while the domain lives.
   * `restartable`: the domain outlives its processes. Throws OsError: EPERM, ESRCH.
   */
  issueToken(args: TokenArgs): string;
}

/** Whether a hypervisor's socket is there (it may still refuse). */
export function simIsThere(run: string | undefined = process.env[RUN_VARIABLE]): boolean {
  return run !== undefined && existsSync(hypervisorPaths(run).socket);
}

/** Throws OsError: ENOENT or ECONNREFUSED without a hypervisor, EACCES for a token that is none (any more). */
export function simPlatform(options: RemoteSimOptions = {}): RemoteSimPlatform {
  const run = options.run ?? process.env[RUN_VARIABLE];
  const paths = run === undefined ? undefined : hypervisorPaths(run);
  const socket = options.socket ?? paths?.socket;
  if (socket === undefined)
    throw new OsError(Errno.ENOENT, `no simulated machine: ${RUN_VARIABLE} is not set`);
  const token = options.token ?? process.env[TOKEN_VARIABLE] ?? controlToken(paths?.token);
  const machine = new RemoteMachine({ socket, token, onLost: options.onLost ?? exitWhenLost });
  return {
    ...platformOn(machine),
    instance: machine.instance,
    issueToken: (args) => machine.issueToken(args),
  };
}

function controlToken(path: string | undefined): string {
  if (path === undefined) throw new OsError(Errno.EACCES, `no token: ${TOKEN_VARIABLE} is not set`);
  try {
    return readFileSync(path, 'latin1');
  } catch {
    throw new OsError(Errno.EACCES, `no token in ${TOKEN_VARIABLE}, and none in ${path}`);
  }
}

function exitWhenLost(): void {
  process.stderr.write('the hypervisor has ended this domain\n');
  process.exit(1);
}
