/** Small C programs over Xen's public headers, compiled once: what our pages are compared with. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The program's path, or why there is none. */
export function compileAgainstXen(
  source: string,
): { readonly program: string } | { readonly missing: string } {
  if (!existsSync('/usr/include/xen/io/ring.h')) {
    return { missing: "Xen's headers are not installed (Debian: libxen-dev)" };
  }
  const path = fileURLToPath(new URL(source, import.meta.url));
  const digest = createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16);
  const dir = join(tmpdir(), `stubdom0-pages-${process.getuid?.() ?? 0}`);
  const program = join(dir, digest);
  if (!existsSync(program)) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const unfinished = `${program}.${process.pid}`;
    try {
      execFileSync('gcc', ['-O2', '-Wall', '-o', unfinished, path], { stdio: 'pipe' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        return { missing: 'there is no C compiler (Debian: gcc, libc6-dev)' };
      }
      throw error;
    }
    renameSync(unfinished, program);
  }
  return { program };
}
