/** The package as its users have it: packed, and unpacked into an empty folder with its dependencies; and what a strict TypeScript says of a program there. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const top = fileURLToPath(new URL('../..', import.meta.url));

/** A folder for whoever asks, who removes it. */
export async function unpack(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'stubdom0-packed-'));
  const pack = ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder];
  const { stdout } = await run('npm', pack, { cwd: top });
  const tarball = join(folder, stdout.trim().split('\n').at(-1)!);
  const unpacked = join(folder, 'node_modules/stubdom0');
  mkdirSync(unpacked, { recursive: true });
  await run('tar', ['-xzf', tarball, '-C', unpacked, '--strip-components=1']);
  for (const name of readdirSync(join(top, 'node_modules')))
    if (!name.startsWith('.') && name !== 'stubdom0')
      symlinkSync(join(top, 'node_modules', name), join(folder, 'node_modules', name));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  return folder;
}

/** Nothing: it is typed. */
export async function typeErrors(folder: string, source: string): Promise<string> {
  writeFileSync(join(folder, 'typed.ts'), source);
  const strict = ['--strict', '--noEmit', '--exactOptionalPropertyTypes', '--types', 'node'];
  const language = ['--module', 'nodenext', '--target', 'es2023', '--lib', 'es2024,esnext.disposable'];
  const tsc = join(folder, 'node_modules/typescript/bin/tsc');
  return run(process.execPath, [tsc, ...strict, ...language, 'typed.ts'], { cwd: folder }).then(
    ({ stdout }) => stdout,
    ({ stdout }: { readonly stdout: string }) => stdout,
  );
}
