/**
 * The daemon's program: what a command line asks for is done, or is told why not, in one line and exit code 1. Serving, and all that
 * calls the C library, is loaded only where it is wanted: a machine on which that does not load is still told about.
 */
import { OsError } from '../../osdep/errno.ts';
import type { Platform } from '../../osdep/platform.ts';
import { DatabaseError } from './database-error.ts';
import { type Environment, type Options, parseOptions } from './options.ts';

export interface RunOptions {
  readonly args: readonly string[];
  readonly env: Environment;
  /** `undefined`: there is no hypervisor. Throws OsError or Fatal where the one asked for cannot be had. */
  readonly openPlatform: (options: Options) => Promise<Machinery | undefined>;
  readonly checkHost: (options: Options) => Promise<HostCheck>;
}

export interface Machinery {
  readonly platform: Platform;
  /** Tells one run of the hypervisor from another, where the kernel's boot does not. */
  readonly instance: string;
}

export interface HostCheck {
  readonly able: boolean;
  /** What is in the way, or to be known. */
  readonly lines: readonly string[];
}

export async function run({ args, env, openPlatform, checkHost }: RunOptions): Promise<void> {
  const parsed = parseOptions(args, env);
  for (const notice of parsed.notices) process.stderr.write(`${notice}\n`);
  if (parsed.kind === 'fatal') {
    die(parsed.text);
  } else if (parsed.kind === 'help') {
    const { usage } = await import('./usage.ts');
    process.stderr.write(usage);
  } else if (parsed.kind === 'check') {
    const { able, lines } = await checkHost(parsed.options);
    for (const line of lines) process.stdout.write(`${line}\n`);
    process.exitCode = able ? 0 : 1;
  } else {
    const { serve } = await import('./serve.ts').catch((error: Error) =>
      die(`the C library cannot be called: ${error.message.split('\n')[0]}; install again with npm`),
    );
    await serve(parsed.options, openPlatform).catch((error) => die(reason(error)));
  }
}

/** A line to end with. */
export class Fatal extends Error {}

function die(text: string): never {
  process.stderr.write(`FATAL: ${text}\n`);
  process.exit(1);
}

/** What is expected to go wrong is told in one line; anything else comes with its stack. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const expected = error instanceof Fatal || error instanceof DatabaseError || error instanceof OsError;
  return expected ? error.message : (error.stack ?? error.message);
}
