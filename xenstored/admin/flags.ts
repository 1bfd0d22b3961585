/**
 * The flags of `xenstore-admin`, and what they come to. Reads no file and listens nowhere.
 */
import { isIP } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

export const usage = `Usage: xenstore-admin [options]
Shows a xenstore over REST and as a web page, on the loopback interface; with a write token also changes it.

The store:
  --run DIR                run directory of a host, its store DIR/xenstored/socket (default: STUBDOM0_RUN)
  --socket PATH            the store's socket or device (default: as Xen's own clients find it)

Where it listens:
  --port PORT              0: any that is free (default: 7380)
  --listen-unix PATH       a unix socket, for its owner alone, instead of a port
  --listen ADDRESS         another address than 127.0.0.1; beyond loopback with --allowed-host only
  --allowed-host NAME      a further name or address under which it may be asked for; several times

Who may:
  --token-file FILE        holds the token that reads; made, for its owner alone, if it is not there
                           (default: admin.token in the run directory; or the token in XENSTORE_ADMIN_TOKEN)
  --write-token-file FILE  holds the token that also changes; made likewise (default: there is none)
  --audit-log FILE         who changed what (default: logs/admin-audit.log in the run directory)
  --secret-name PART       values of nodes with this in their name are secrets, too; several times
  --allow-control COMMAND  a further control command that is passed on; several times

  --help                   this text

It runs until SIGINT, SIGTERM or SIGHUP: exit code 0; 1 if it cannot start.
`;

export interface Settings {
  readonly run: string | undefined;
  readonly socket: string | undefined;
  readonly listen: Place;
  readonly hosts: readonly string[];
  readonly readToken: { readonly value: string } | { readonly file: string };
  readonly writeTokenFile: string | undefined;
  readonly auditLog: string | undefined;
  readonly secretNames: readonly string[];
  readonly control: readonly string[];
}

export type Place =
  | { readonly path: string }
  | {
      readonly host: string;
      /** 0: any. */
      readonly port: number;
    };

const several = { type: 'string', multiple: true, default: [] as string[] } as const;

const options = {
  run: { type: 'string' },
  socket: { type: 'string' },
  port: { type: 'string' },
  listen: { type: 'string' },
  'listen-unix': { type: 'string' },
  'allowed-host': several,
  'token-file': { type: 'string' },
  'write-token-file': { type: 'string' },
  'audit-log': { type: 'string' },
  'secret-name': several,
  'allow-control': several,
  help: { type: 'boolean', default: false },
} as const;

/** `undefined`: help was asked for. Throws with one line. */
export function settings(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Settings | undefined {
  const values = parsed(args);
  if (values.help) return undefined;
  const run = values.run ?? env.STUBDOM0_RUN;
  const inRun = (name: string): string | undefined => (run === undefined ? undefined : join(run, name));
  const writeTokenFile = values['write-token-file'];
  const auditLog = values['audit-log'] ?? inRun('logs/admin-audit.log');
  if (writeTokenFile !== undefined && auditLog === undefined)
    throw new Error('say where changes are recorded: --audit-log FILE, or --run DIR');
  if (values['secret-name'].includes('')) throw new Error('--secret-name: an empty name is in every name');
  const listen = place(values.listen, values.port, values['listen-unix'], values['allowed-host']);
  return {
    run,
    socket: values.socket,
    listen,
    hosts: [...values['allowed-host'], ...ownName(listen)],
    readToken: readToken(values['token-file'], env.XENSTORE_ADMIN_TOKEN, inRun('admin.token')),
    writeTokenFile,
    auditLog: writeTokenFile === undefined ? values['audit-log'] : auditLog,
    secretNames: values['secret-name'],
    control: values['allow-control'],
  };
}

/** The address that it is told to listen at is in the URL that it prints. All addresses are no name. */
function ownName(listen: Place): string[] {
  if ('path' in listen || ['127.0.0.1', '::1', '0.0.0.0', '::'].includes(listen.host)) return [];
  return [isIP(listen.host) === 6 ? `[${listen.host}]` : listen.host];
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    // The rest is advice on how to write what nobody wants to.
    throw new Error((error as Error).message.split('\n')[0]);
  }
}

function readToken(
  file: string | undefined,
  value: string | undefined,
  usual: string | undefined,
): Settings['readToken'] {
  if (file !== undefined) return { file };
  if (value !== undefined) return { value };
  if (usual !== undefined) return { file: usual };
  throw new Error('say where the token is: --token-file FILE, --run DIR or XENSTORE_ADMIN_TOKEN');
}

function place(
  host: string | undefined,
  portText: string | undefined,
  path: string | undefined,
  hosts: readonly string[],
): Place {
  if (path !== undefined) {
    if (host !== undefined || portText !== undefined)
      throw new Error('--listen-unix: a unix socket has no address and no port');
    return { path };
  }
  const port = Number(portText ?? '7380');
  if (!/^\d{1,5}$/.test(portText ?? '0') || port > 65_535) throw new Error(`--port: ${portText} is no port`);
  if (host === undefined) return { host: '127.0.0.1', port };
  if (isIP(host) === 0) throw new Error(`--listen: ${host} is no address`);
  const isLoopback = host === '::1' || host.startsWith('127.');
  if (!isLoopback && hosts.length === 0)
    throw new Error(
      '--listen: beyond the loopback interface say under which names, with --allowed-host NAME',
    );
  return { host, port };
}
