/**
 * A backend as a program: its flags, its machine, its store, and its life from a command line to a signal. Knows no kind of device and picks no
 * machine by itself.
 */
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { lockFile } from '../../osdep/os/lockfile.ts';
import type { Platform } from '../../osdep/platform.ts';
import { backendRoot } from '../xenbus/path.ts';
import { type BackendService, serveBackends } from './backend.ts';
import { connect } from './connect.ts';
import { limitLog } from './loglimit.ts';
import { sweepRecords } from './ringrecord.ts';
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
  readonly platform: (wanted: 'sim' | 'xen' | undefined, run: string) => Promise<Platform>;
  readonly flags?: ProgramFlags;
  readonly service: (host: ServiceHost, flags: FlagValues) => BackendService<K> | Promise<BackendService<K>>;
}

const flags = `
  --platform xen|sim  the machine; default: sim where a hypervisor of ours is in DIR, else xen
  --run DIR           the host's run directory (STUBDOM0_RUN); default: /run/stubdom0
  --statistics S      writes what devices count every S seconds; on SIGUSR2 it does so anyway
`;

/** It is told, then, what is missing. */
const STORE_PATIENCE_MS = 2000;

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
  if (wanted !== undefined && wanted !== 'xen' && wanted !== 'sim')
    throw new Error(`--platform ${wanted}: neither xen nor sim`);
  const everyS = seconds(values.statistics);
  const platform = await program.platform(wanted, run);
  // Without a hypervisor it ends here, rather than wait for a store for ever.
  platform.openEvtchn().close();
  if (platform.name === 'xen') refuseBesideLinux(program.linux);
  // A domain has the store behind its own ring; the control domain has a socket.
  const way = platform.name !== 'sim' ? {} : platform.domid === 0 ? { run } : { platform };
  const waits = setTimeout(() => log('waiting for the store'), STORE_PATIENCE_MS);
  const store = await connect({ ...way, first: 'wait' });
  clearTimeout(waits);
  // On real Xen a driver domain's kernel does not tell; its store does.
  const domid = platform.domid ?? Number(await store.readText('domid'));
  const recordDir = join(run, program.name, `${domid}`);
  claim(join(run, program.name), program.name, domid);
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
  const stop = (): void => {
    void served.close().then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  if (process.env.STUBDOM0_LIFELINE === 'stdin') process.stdin.resume().once('end', stop);
  await served.ended;
}

/** Both would take each device. */
function refuseBesideLinux({ driver, module }: BackendProgram<unknown>['linux']): void {
  if (existsSync(`/sys/bus/xen-backend/drivers/${driver}`))
    throw new Error(
      `Linux's own backend is loaded: modprobe -r ${module}, and keep it from being loaded again`,
    );
}

/** For as long as the process lives: two of a kind would take each other's devices for those of a dead one. */
function claim(directory: string, name: string, domid: number): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (lockFile(join(directory, `lock-${domid}`)) === undefined)
    throw new Error(`another ${name} serves domain ${domid}'s devices: stop that one first`);
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
    writeFileSync(`${path}.new`, `${JSON.stringify({ time: new Date().toISOString(), devices }, null, 1)}\n`);
    renameSync(`${path}.new`, path);
  } catch (error) {
    log(`statistics are not written: ${error instanceof Error ? error.message : String(error)}`);
  }
}
