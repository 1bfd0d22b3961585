/**
 * The load generator as this side sees it: its C source (load/) compiled once per version into the cache, and one run of it as one JSON
 * object. Knows its flags and its answers, not what is measured with them.
 */
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** The core that the generator stays on, and the one that daemons stay on. */
export const LOAD_CORE = 1;
export const SERVER_CORE = 0;

export type Operation = 'read' | 'write' | 'directory' | 'transaction' | 'mixed' | 'connect';

/** What one measured second (or another time) gave. Rates are of whole operations: a transaction is five requests. */
export interface RunFigures {
  readonly perSecond: number;
  readonly requestsPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Transactions that ended with EAGAIN. */
  readonly conflicts: number;
  /** Shares of a core, 0 to 1. */
  readonly generatorCpu: number;
  readonly serverCpu: number;
  readonly rssKb: number;
}

export interface PopulateFigures {
  readonly seconds: number;
  readonly rssBeforeKb: number;
  readonly rssKb: number;
}

export interface CreateFigures {
  readonly firstMs: readonly number[];
  readonly lastMs: readonly number[];
  readonly requests: number;
  readonly rssKb: number;
}

export interface StartFigures {
  readonly acceptMs: number;
  readonly replyMs: number;
  readonly rssKb: number;
}

export interface Modes {
  populate: PopulateFigures;
  run: RunFigures;
  create: CreateFigures;
  start: StartFigures;
}

export interface LoadFlags {
  readonly op?: Operation;
  readonly connections?: number;
  readonly 'in-flight'?: number;
  readonly watches?: number;
  readonly nodes?: number;
  readonly domains?: number;
  readonly 'domids-known'?: boolean;
  readonly seconds?: number;
  readonly warmup?: number;
}

const ROOT: string = packageRoot();
const SOURCE = join(ROOT, 'test/bench/load');

/** The top of the package: the sources of C are not copied to dist/. */
function packageRoot(): string {
  let dir = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(dir, 'package.json'))) dir = dirname(dir);
  return dir;
}

let program: string | undefined;

/** Path of the generator. Compiled for the machine at hand. */
export function loadProgram(): string {
  if (program) return program;
  const files = readdirSync(SOURCE).sort();
  const digest = createHash('sha256');
  for (const file of files) digest.update(file).update(readFileSync(join(SOURCE, file)));
  const cache = join(ROOT, 'node_modules', '.cache', 'stubdom0');
  const path = join(cache, `load-${digest.digest('hex').slice(0, 16)}`);
  if (!existsSync(path)) {
    mkdirSync(cache, { recursive: true });
    const unfinished = `${path}.${process.pid}`;
    const sources = files.filter((file) => file.endsWith('.c')).map((file) => join(SOURCE, file));
    execFileSync('gcc', ['-O2', '-march=native', '-std=gnu17', '-Wall', '-o', unfinished, ...sources], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    renameSync(unfinished, path);
  }
  program = path;
  return path;
}

export interface LoadCommand {
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** One run. The generator bounds its own time; what it complains of becomes the error's message. */
export async function load<Mode extends keyof Modes>(
  mode: Mode,
  socketPath: string,
  flags: LoadFlags,
  command?: LoadCommand,
): Promise<Modes[Mode]> {
  const args = [mode, '--socket', socketPath, '--cpu', String(LOAD_CORE)];
  for (const [name, value] of Object.entries(flags)) {
    if (value === true) args.push(`--${name}`);
    else if (value !== undefined && value !== false) args.push(`--${name}`, String(value));
  }
  if (command) args.push('--', ...command.argv);
  try {
    const { stdout } = await promisify(execFile)(loadProgram(), args, { env: command?.env ?? process.env });
    return JSON.parse(stdout) as Modes[Mode];
  } catch (error) {
    const { stderr, signal, message } = error as { stderr?: string; signal?: string; message: string };
    throw new Error(stderr?.trim() || (signal ? `load: ended by ${signal}` : message));
  }
}
