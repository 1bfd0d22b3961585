/**
 * Xen's own `xl`: where it is, run with a limit to patience, and what it has to say for itself in one line. Knows no command of it.
 */
import { spawn } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { Fault } from './fault.ts';
import { isProgram, namesIn } from './lookup.ts';

/** Where distributions keep it: Debian in a folder of its version. */
const LIBRARIES = '/usr/lib';

export interface XlOptions {
  /** Ends it, and what it has started, at once. */
  readonly signal?: AbortSignal;
}

export interface Xl {
  /** What it wrote to its standard output. Throws Fault with what it complained of; AbortError after the signal, when it is gone. */
  run(words: readonly string[], options?: XlOptions): Promise<string>;
}

/** The one of this machine. `env`: where PATH is. Throws Fault when it is asked and there is none. */
export function xlProgram(env: NodeJS.ProcessEnv): Xl {
  let file: string | undefined;
  return {
    run: async (words, options = {}) => {
      file ??= findXl(env);
      return await runXl(file, words, options);
    },
  };
}

function findXl(env: NodeJS.ProcessEnv): string {
  const folders = [
    ...(env.PATH ?? '').split(delimiter).filter((folder) => folder !== ''),
    '/usr/sbin',
    '/usr/local/sbin',
    ...namesIn(LIBRARIES)
      .filter((name) => /^xen-\d/.test(name))
      .sort()
      .reverse()
      .map((name) => join(LIBRARIES, name, 'bin')),
  ];
  const found = folders.map((folder) => join(folder, 'xl')).find(isProgram);
  if (found === undefined)
    throw new Fault('there is no xl, neither in PATH nor in /usr/lib/xen-*/bin: Xen comes with it');
  return found;
}

function runXl(file: string, words: readonly string[], { signal }: XlOptions): Promise<string> {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    // A session of its own: what a user types to us is not for it.
    const child = spawn(file, words, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const [out, err] = [child.stdout, child.stderr].map((stream) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      return chunks;
    }) as [Buffer[], Buffer[]];
    const kill = (): void => {
      try {
        process.kill(-child.pid!, 'SIGKILL');
      } catch {
        // It is gone.
      }
    };
    signal?.addEventListener('abort', kill);
    child.on('error', (error) => reject(new Fault(`${file}: ${error.message}`)));
    child.on('close', (code) => {
      signal?.removeEventListener('abort', kill);
      const said = Buffer.concat(err).toString('utf8');
      if (signal?.aborted) reject(signal.reason as Error);
      else if (code === 0) resolve(Buffer.concat(out).toString('utf8'));
      else reject(new Fault(`xl ${words[0]}: ${complaint(said) ?? `exit code ${code}`}`));
    });
  });
}

/** The first thing that went wrong: what follows is what came of it. Without libxl's places in its source. */
export function complaint(said: string): string | undefined {
  const lines = said
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const logged = lines.map(loggedError).find((text) => text !== undefined);
  const own = lines.find((line) => !/^(libxl: |xc: |Parsing config)/.test(line));
  return logged ?? own ?? lines.at(-1);
}

/** Without the place in its source. */
function loggedError(line: string): string | undefined {
  const libxl = /^libxl: (?:error|critical): [^:]+:\d+:\w+: ?(.*)$/.exec(line)?.[1];
  return libxl ?? /^xc: error: (?:panic: )?(?:\S+:\d+: )?(.*?)(?:: Internal error)?$/.exec(line)?.[1];
}
