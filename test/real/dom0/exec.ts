/**
 * Programs of dom0, run with a limit: what they print, how they end, and nothing left of them when their time or their scenario's is up.
 */
import { spawn } from 'node:child_process';
import type { ExecOptions, Result } from '../lab/scenario.ts';

const LIMIT_S = 120;
/** What a program's background children may hold its output open after its end. */
const LINGER_MS = 500;

/** Throws unless it ends with 0 or may fail. `signal`: kills it and throws. */
export async function exec(
  program: string,
  args: readonly string[],
  { input, limitS = LIMIT_S, mayFail = false, env }: ExecOptions,
  signal: AbortSignal,
): Promise<Result> {
  signal.throwIfAborted();
  const begun = performance.now();
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    detached: true,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.on('error', () => {});
  child.stdin.end(input ?? '');
  let late = false;
  const kill = () => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // It never began, or is gone.
    }
  };
  const timer = setTimeout(() => {
    late = true;
    kill();
  }, limitS * 1000);
  signal.addEventListener('abort', kill);
  const status = await new Promise<number>((resolve, reject) => {
    child.on('error', (error) => reject(new Error(`${program}: ${error.message}`)));
    child.on('close', (code) => resolve(code ?? -1));
    child.on('exit', (code) => setTimeout(resolve, LINGER_MS, code ?? -1));
  }).finally(() => {
    clearTimeout(timer);
    signal.removeEventListener('abort', kill);
  });
  child.stdout.destroy();
  child.stderr.destroy();
  signal.throwIfAborted();
  const result = { status, stdout, stderr, seconds: (performance.now() - begun) / 1000 };
  const line = [program, ...args].join(' ');
  if (late) throw new Error(`${line}: not done within ${limitS} s\n${said(result)}`);
  if (status !== 0 && !mayFail) throw new Error(`${line}: exit status ${status}\n${said(result)}`);
  return result;
}

function said({ stdout, stderr }: Result): string {
  return `${stdout}${stderr}`.trimEnd();
}
