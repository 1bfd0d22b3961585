/** Debian's xl as a parser: what it reads out of a cfg file or a disk's words, without a hypervisor. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const XL = '/usr/lib/xen-4.17/bin/xl';

export interface XlPeer {
  /** What `create` would make of it; undefined: it is refused. */
  create(text: string): Record<string, unknown> | undefined;
  /** What `block-attach` would attach; undefined: it is refused. */
  attachBlock(words: readonly string[]): Record<string, unknown> | undefined;
  close(): void;
}

/** Or why there is none. */
export function xlPeer(): XlPeer | { readonly missing: string } {
  if (!existsSync(XL)) return { missing: 'xl is not installed (Debian: xen-utils-4.17)' };
  const dir = mkdtempSync(join(tmpdir(), 'stubdom0-xl-'));
  const shim = join(dir, 'unprivileged.so');
  const source = fileURLToPath(new URL('unprivileged.c', import.meta.url));
  try {
    execFileSync('gcc', ['-shared', '-fPIC', '-o', shim, source], { stdio: 'pipe' });
  } catch {
    rmSync(dir, { recursive: true });
    return { missing: 'what takes the place of a hypervisor cannot be compiled (Debian: gcc, libxen-dev)' };
  }
  const ask = (words: readonly string[]): Record<string, unknown> | undefined => {
    const { status, stdout } = spawnSync(XL, ['-N', ...words], {
      env: { LD_PRELOAD: shim, PATH: process.env.PATH },
      encoding: 'utf8',
    });
    if (status !== 0) return undefined;
    return JSON.parse(stdout.slice(stdout.indexOf('{')));
  };
  return {
    create(text) {
      const file = join(dir, 'domain.cfg');
      writeFileSync(file, text);
      return ask(['create', '-q', file]);
    },
    attachBlock: (words) => ask(['block-attach', '0', ...words]),
    close: () => rmSync(dir, { recursive: true }),
  };
}
