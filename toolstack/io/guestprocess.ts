/**
 * The process in a guest's domain: started so that it outlives us and that nothing of it runs before it is written down; its output in a file of its own;
 * and ended. Knows no domain.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Writable } from 'node:stream';
import { logName } from '../core/consolelog.ts';
import { modelName } from '../core/model.ts';
import type { RecordedProcess } from '../core/record.ts';
import type { Command } from './child.ts';
import { Fault } from './fault.ts';
import { ended, identify, isAlive } from './identity.ts';

const LOG_MAX_BYTES = 1 << 20;
const LOGS_KEPT = 64;
/** The program of which a process is that of many. */
export const BULK = 'bulk';
/** Becomes the program at a word of ours; without one, when we are gone before, it ends. */
const GATE = 'read -r go || exit 1; exec "$@" </dev/null';
/** The same, and what we say further is the program's to read. */
const OPEN_GATE = 'read -r go || exit 1; exec "$@"';
/** Ours alone, from whoever started us. */
const NOT_THEIRS = ['STUBDOM0_LIFELINE', 'STUBDOM0_TOKEN', 'STUBDOM0_RUN'];

/** Where a domain's process writes; a name may hold what a file's may not. */
export function guestLog(run: string, name: string): string {
  return join(run, 'logs', logName(name));
}

/** Where the processes write that many share; no guest's. */
export function bulkLog(run: string): string {
  return join(run, 'logs', 'bulk.log');
}

export interface Started {
  readonly id: RecordedProcess;
  /** Lets the program begin, once it is written down. */
  go(): void;
  /** Its end, if we are there to see it; for people. */
  readonly over: Promise<string>;
}

/** Throws Fault. */
export function startProcess(command: Omit<Command, 'ready'>, log: string): Started {
  const { child, id, over } = spawnAt(GATE, command, log);
  return { id, over, go: () => child.stdin!.end('go\n') };
}

/** One that is told more on its standard input, for as long as we are there. Throws Fault. */
export function startReader(
  command: Omit<Command, 'ready'>,
  log: string,
): Omit<Started, 'go'> & { readonly input: Writable } {
  const { child, id, over } = spawnAt(OPEN_GATE, command, log);
  child.stdin!.write('go\n');
  return { id, over, input: child.stdin! };
}

function spawnAt(
  gate: string,
  command: Omit<Command, 'ready'>,
  log: string,
): Omit<Started, 'go'> & { readonly child: ChildProcess } {
  mkdirSync(dirname(log), { recursive: true, mode: 0o700 });
  const file = openSync(log, 'a', 0o600);
  try {
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !NOT_THEIRS.includes(name)),
    );
    const child = spawn('/bin/sh', ['-c', gate, 'sh', command.file, ...command.args], {
      env: { ...env, ...command.env },
      stdio: ['pipe', file, file],
      detached: true,
    });
    const over = endOf(child);
    child.stdin!.on('error', () => {});
    const id = child.pid === undefined ? undefined : identify(child.pid);
    if (id === undefined) throw new Fault('cannot start another process on this machine');
    return { child, id, over };
  } finally {
    closeSync(file);
  }
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `exit code ${code}` : `ended by ${signal}`),
    );
  });
}

/** Until it is gone; one that is gone already is fine, one that others share stays. */
export async function endProcess(id: RecordedProcess | undefined): Promise<void> {
  if (id === undefined || id.shared || !isAlive(id)) return;
  try {
    process.kill(-id.pid, 'SIGKILL');
  } catch {
    // It was quicker.
  }
  await ended(id);
}

/** What a domain that was never handed over has written, and its device model. */
export function removeLogs(run: string, name: string): void {
  for (const one of [name, modelName(name)]) rmSync(guestLog(run, one), { force: true });
}

/** Of domains that are gone the last ones are kept, and of their consoles. */
export function pruneLogs(run: string, names: readonly string[]): void {
  const theirs = names.flatMap((name) => [guestLog(run, name), guestLog(run, modelName(name))]);
  prune(join(run, 'logs'), new Set(theirs.map((path) => basename(path))));
  prune(join(run, 'logs', 'console'), new Set(names.map(logName)));
}

/** `kept`: logs whose domains are there. Those that were set aside go with theirs. */
function prune(folder: string, kept: ReadonlySet<string>): void {
  const files = new Map<string, string[]>();
  for (const file of existsSync(folder) ? readdirSync(folder) : []) {
    const log = /^(guest-.*\.log)(\.\d+)?$/.exec(file)?.[1];
    if (log !== undefined && !kept.has(log)) files.set(log, [...(files.get(log) ?? []), join(folder, file)]);
  }
  if (files.size <= LOGS_KEPT) return;
  const age = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const youngest = (paths: readonly string[]): number => Math.max(...paths.map(age));
  const gone = [...files.values()].map((paths) => ({ paths, age: youngest(paths) }));
  const oldest = gone.sort((a, b) => a.age - b.age).slice(0, gone.length - LOGS_KEPT);
  for (const path of oldest.flatMap(({ paths }) => paths)) rmSync(path, { force: true });
}

/** A log that has grown too long begins anew, and what it held is kept beside it. Whoever writes to it goes on. */
export function boundLog(log: string): void {
  try {
    if ((statSync(log, { throwIfNoEntry: false })?.size ?? 0) <= LOG_MAX_BYTES) return;
    copyFileSync(log, `${log}.1`);
    truncateSync(log);
  } catch {
    // A full disk must cost nobody his guest.
  }
}
