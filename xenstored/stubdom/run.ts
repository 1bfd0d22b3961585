/**
 * Programs of this machine that the builders use: what they print, or why not. Knows none of them.
 */
import { spawn } from 'node:child_process';

export interface RunOptions {
  readonly cwd?: string;
  /** For its standard input. Default: none, closed. */
  readonly input?: Uint8Array;
}

/** What a program prints. Throws one line, the last that it complained with. */
export function run(
  program: string,
  args: readonly string[],
  { cwd, input }: RunOptions = {},
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, stdio: ['pipe', 'pipe', 'pipe'] });
    const out: Buffer[] = [];
    let complaint = '';
    child.stdout.on('data', (bytes: Buffer) => out.push(bytes));
    child.stderr.on('data', (bytes: Buffer) => {
      complaint += bytes.toString();
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    child.on('error', (error) => reject(new Error(`${program}: ${error.message}`)));
    child.on('close', (status, signal) => {
      if (status === 0) resolve(Buffer.concat(out));
      else
        reject(
          new Error(`${program}: ${complaint.trim().split('\n').at(-1) || `ended with ${status ?? signal}`}`),
        );
    });
  });
}
