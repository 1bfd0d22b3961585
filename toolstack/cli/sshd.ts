/**
 * `stubdom0 sshd`: the toolstack over SSH, as a process of its own that holds nothing but a connection to the toolstack. In the foreground until a signal,
 * or until its standard input ends if it was started so. Exit code 0 after being asked to end.
 */
import { join } from 'node:path';
import { onStop } from '../../xenstored/client/stop.ts';
import { Fault, reasonOf } from '../io/fault.ts';
import { logToOutput } from '../io/log.ts';
import type { Toolstack } from '../io/toolstack.ts';
import { journal } from '../ssh/journal.ts';
import { clientKey, hostKey, KeyRing, ownKeyFiles } from '../ssh/keys.ts';
import { keepPlace, lastPort, statePath } from '../ssh/place.ts';
import { SshService } from '../ssh/service.ts';
import { complete } from './complete.ts';
import { runCommand } from './run.ts';
import type { Choice } from './verb.ts';

export const sshdChoices: readonly Choice[] = [
  { flags: '--port <port>', text: 'TCP port; 0: any, and the same again when started again (default: 2222)' },
  { flags: '--listen <address>', text: 'address to listen at (default: 127.0.0.1)' },
  {
    flags: '--state <dir>',
    text: 'where keys are kept (default: STUBDOM0_STATE, or a place that fits the user)',
  },
  { flags: '--authorized-keys <file>', text: 'who may come in, instead of all files that usually say so' },
  {
    flags: '--host-key <file>',
    text: "the host's private key (default: ssh/host_key in the state directory)",
  },
  { flags: '--no-user-keys', text: 'the keys of the user who runs this let nobody in' },
];

export interface SshdOptions {
  readonly run: string;
  readonly port?: string;
  readonly listen?: string;
  readonly state?: string;
  readonly authorizedKeys?: string;
  readonly hostKey?: string;
  /** false: not. */
  readonly userKeys?: boolean;
}

export async function sshd(options: SshdOptions, toolstack: Toolstack): Promise<number> {
  const asked = options.port ?? '2222';
  const port = Number(asked);
  if (!/^\d{1,5}$/.test(asked) || port > 65_535)
    throw new Fault(`--port: ${asked} is no port`, { kind: 'usage' });
  const listen = options.listen ?? '127.0.0.1';
  const ending = new Promise<void>((resolve) => onStop(resolve));

  const folder = join(statePath(options.state, process.env), 'ssh');
  const key = hostKey({ folder, hostKey: options.hostKey });
  const identity = clientKey(folder);
  const files =
    options.authorizedKeys === undefined
      ? [
          join(folder, 'authorized_keys'),
          ...ownKeyFiles(folder, options.userKeys === false ? 'without the user' : 'with the user'),
        ]
      : [options.authorizedKeys];
  const pino = logToOutput();
  const log = journal(
    (what, detail) => pino.info(detail, what),
    () => performance.now(),
  );
  const ring = new KeyRing(files, (line) => pino.warn(line));

  const open = (wanted: number): Promise<SshService> =>
    SshService.open({
      listen,
      port: wanted,
      hostKey: key.privateKey,
      find: (blob) => ring.find(blob),
      host: { toolstack, commands: { run: runCommand, complete }, log },
    });
  const service = await opened(open, port === 0 ? lastPort(options.run) : port, port, listen);
  keepPlace({
    run: options.run,
    port: service.port,
    listen,
    identity,
    knownHosts: join(folder, 'known_hosts'),
  });
  console.log(`sshd is ready on ${listen}:${service.port} ${key.fingerprint}`);
  await ending;
  await service.close();
  await toolstack.close();
  // Else it would be waited for its end.
  process.stdin.destroy();
  return 0;
}

/** `wanted`, or if that was only the port of before, any. */
async function opened(
  open: (port: number) => Promise<SshService>,
  wanted: number,
  asked: number,
  listen: string,
): Promise<SshService> {
  try {
    return await open(wanted);
  } catch (error) {
    if (asked === 0 && wanted !== 0) return await opened(open, 0, 0, listen);
    throw new Fault(`cannot listen at ${listen}:${wanted}: ${reasonOf(error)}`);
  }
}
