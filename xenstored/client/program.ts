/**
 * A backend as a program: its flags, its machine, its store, and its life from a command line to a signal. Knows no kind of device and picks no
 * machine by itself.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { replaceFile } from '../../osdep/os/wholefile.ts';
import type { Platform } from '../../osdep/platform.ts';
import { backendRoot } from '../xenbus/path.ts';
import { type BackendService, serveBackends } from './backend.ts';
import { limitLog } from './loglimit.ts';
import { sweepRecords } from './ringrecord.ts';
import { claimDomain, storeOfHost } from './servicelife.ts';
import { onStop } from './stop.ts';
import type { Client } from './store.ts';

/** Where a service runs. */
export interface ServiceHost {
  readonly platform: Platform;
  readonly domid: number;
  /** The host's run directory. */
  readonly run: string;
  readonly store: Client;
  /** For the records of its devices' rings, each named `<domid>-<devid>`; those of devices that went meanwhile are gone. */
  readonly recordDir: string;
  readonly log: (line: string) => void;
}

/** Flags of a program's own, as given. */
export type FlagValues = Readonly<
  Record<string, string | boolean | readonly (string | boolean)[] | undefined>
>;

export interface ProgramFlags {
  /** For `parseArgs`. */
  readonly options: NonNullable<ParseArgsConfig['options']>;
  /** Lines of two blanks, flag, meaning. */
  readonly help: string;
  /** Before anything else is done. Throws an Error of one line. */
  readonly check: (values: FlagValues) => void;
}

export interface BackendProgram<K> {
  readonly name: string;
  /** Linux's driver of the same devices: its directory's name below the bus `xen-backend`, and its module. */
  readonly linux: { readonly driver: string; readonly module: string };
  /** What `--help` says between the line of flags and their list. */
  readonly about: string;
  /** `wanted`: what the flag says. Rejects with an Error of one line. */
  readonly platform: (wanted: string | undefined, run: string) => Promise<Platform>;
  readonly flags?: ProgramFlags;
  readonly service: (host: ServiceHost, flags: FlagValues) => BackendService<K> | Promise<BackendService<K>>;
}

const flags = `
  --platform xen|sim  the machine; default: sim where a hypervisor of ours is in DIR, else xen
  --run DIR           the host's run directory (STUBDOM0_RUN); default: /run/stubdom0
  --statistics S      writes what devices count every S seconds; on SIGUSR2 it does so anyway
`;

/** Serves until the process is told to stop. Ends it with 0, or with 1 and one line. */
export function runBackend<K>(program: BackendProgram<K>): void {
  const log = limitLog(
    (line) => void process.stderr.write(`${program.name}: ${line}\n`),
    () => performance.now(),
  );
  serve(program, log).catch((error: unknown) => {
    log(error instanceof Error ? error.message : String(error));
    process.exit(1);
  });
}

async function serve<K>(program: BackendProgram<K>, log: (line: string) => void): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...program.flags?.options,
      platform: { type: 'string' },
      run: { type: 'string' },
      statistics: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  const { platform: wanted, run = process.env.STUBDOM0_RUN ?? '/run/stubdom0' } = values;
  if (values.help) {
    const own = program.flags === undefined ? '' : ' [FLAGS]';
    process.stdout.write(
      `usage: ${program.name} [--platform xen|sim] [--run DIR]${own}\n\n${program.about}\n${flags}${program.flags?.help ?? ''}`,
    );
    return;
  }
  program.flags?.check(values);
  const everyS = seconds(values.statistics);
  const platform = await program.platform(wanted, run);
  if (platform.name === 'xen') refuseBesideLinux(program.linux);
  const store = await storeOfHost({ platform, run, log });
  // On real Xen a driver domain's kernel does not tell; its store does.
  const domid = platform.domid ?? Number(await store.readText('domid'));
  const recordDir = join(run, program.name, `${domid}`);
  claimDomain({ directory: join(run, program.name), domid, name: program.name, what: 'devices' });
  const service = await program.service({ platform, domid, run, store, recordDir, log }, values);
  const own = backendRoot(domid, service.kind);
  await sweepRecords(recordDir, (name) => store.exists(`${own}/${name.replace('-', '/')}`));
  const served = await serveBackends(service, { store, domid, log });
  const counted = (): void => {
    writeStatistics(join(run, program.name), domid, service, log);
  };
  // SIGUSR1 is Node's own.
  process.on('SIGUSR2', counted);
  if (everyS !== undefined) setInterval(counted, everyS * 1000).unref();
  log(`ready for domain ${domid}'s devices`);
  onStop(() => void served.close().then(() => process.exit(0)));
  await served.ended;
}

/** Both would take each device. */
function refuseBesideLinux({ driver, module }: BackendProgram<unknown>['linux']): void {
  if (existsSync(`/sys/bus/xen-backend/drivers/${driver}`))
    throw new Error(
      `Linux's own backend is loaded: modprobe -r ${module}, and keep it from being loaded again`,
    );
}

function seconds(text: unknown): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!(value > 0 && value <= 86_400)) throw new Error(`--statistics ${text}: not a number of seconds`);
  return value;
}

/** `statistics-<domid>.json` in a directory: `time` (ISO 8601), and the counters of each device by its directory in the store. */
function writeStatistics<K>(
  directory: string,
  domid: number,
  service: BackendService<K>,
  log: (line: string) => void,
): void {
  const devices = Object.fromEntries(
    Array.from(service.statistics?.() ?? [], ({ path, counters }) => [path, counters]),
  );
  const path = join(directory, `statistics-${domid}.json`);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    replaceFile(path, `${JSON.stringify({ time: new Date().toISOString(), devices }, null, 1)}\n`, 0o644);
  } catch (error) {
    log(`statistics are not written: ${error instanceof Error ? error.message : String(error)}`);
  }
}
