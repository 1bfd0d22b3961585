/**
 * What a boot starts from: hypervisor, kernel and first roots, built once into a cache outside the project and named by all that went into
 * them. Safe against two builders at once: each builds aside and renames, and the slower one throws its own away.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  copyFile,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { debianKernel, type Kernel } from '../../../xenstored/stubdom/kernel.ts';
import { XEN } from './packages.ts';
import { dom0Root, guestRoot } from './roots.ts';

/** A folder with `xen.elf`, `vmlinux`, `dom0.initrd` and `guest.cpio`. */
export interface BootFiles {
  readonly folder: string;
  readonly kernel: Kernel;
}

const KEPT_DAYS = 7;

/** `STUBDOM0_LAB`, or stubdom0/lab in the user's cache. */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  return env.STUBDOM0_LAB || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'stubdom0', 'lab');
}

/** The same ingredients have the same name, and nothing else has. */
export function nameOf(ingredients: readonly (string | Uint8Array)[]): string {
  const digest = createHash('sha256');
  for (const one of ingredients) digest.update(`${one.length} `).update(one);
  return `boot-${digest.digest('hex').slice(0, 16)}`;
}

/** Out of the cache, or built into it. `versions`: of the packages that the files come from. */
export async function bootFiles(
  cache: string,
  versions: readonly string[],
  say: (line: string) => void,
): Promise<BootFiles> {
  await mkdir(cache, { recursive: true });
  const kernel = await debianKernel(join(cache, 'kernel'), say);
  const recipe = ['roots', 'tree', 'bootfiles'].map((name) => join(import.meta.dirname, `${name}.js`));
  const sources = await Promise.all(recipe.map((path) => readFile(path)));
  const name = nameOf([kernel.id, ...versions, process.version, process.execPath, ...sources]);
  const folder = join(cache, name);
  if (!existsSync(folder)) {
    say('building the boot files');
    const work = await mkdtemp(join(cache, '.building-'));
    try {
      await build(work, kernel);
      await rename(work, folder).catch((error: NodeJS.ErrnoException) => {
        if (!existsSync(folder)) throw error;
      });
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }
  await utimes(folder, new Date(), new Date());
  await forget(cache, name);
  return { folder, kernel };
}

async function build(work: string, kernel: Kernel): Promise<void> {
  const xen = await promisify(gunzip)(await readFile(`/boot/xen-${XEN}-amd64.gz`));
  await writeFile(join(work, 'xen.elf'), xen);
  await writeFile(join(work, 'guest.cpio'), guestRoot(kernel).archive());
  await writeFile(join(work, 'dom0.initrd'), await promisify(gzip)(dom0Root(kernel).archive(), { level: 1 }));
  // Not a second copy where the disk can do without.
  await link(kernel.vmlinux, join(work, 'vmlinux')).catch(() =>
    copyFile(kernel.vmlinux, join(work, 'vmlinux')),
  );
}

/** Removes what nobody has used for long, and what a killed builder left. */
async function forget(cache: string, used: string): Promise<void> {
  const before = Date.now() - KEPT_DAYS * 86_400_000;
  for (const entry of await readdir(cache)) {
    if (entry === used || !/^(boot-|\.building-)/.test(entry)) continue;
    const path = join(cache, entry);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    if (mtimeMs < before) await rm(path, { recursive: true, force: true });
  }
}
