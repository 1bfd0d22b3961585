/**
 * What a boot starts from: hypervisor, kernel and first roots, built once into a cache outside the project and named by all that went into
 * them.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, link, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { kept } from '../../../xenstored/stubdom/folders.ts';
import { debianKernel, type Kernel } from '../../../xenstored/stubdom/kernel.ts';
import { XEN } from './packages.ts';
import { dom0Root, EXTRAS, guestRoot } from './roots.ts';

/** A folder with `xen.elf`, `vmlinux`, `dom0.initrd` and `guest.cpio`. */
export interface BootFiles {
  readonly folder: string;
  readonly kernel: Kernel;
}

/** The same ingredients have the same name, and nothing else has. */
export function nameOf(ingredients: readonly (string | Uint8Array)[]): string {
  const digest = createHash('sha256');
  for (const one of ingredients) digest.update(`${one.length} `).update(one);
  return `boot-${digest.digest('hex').slice(0, 16)}`;
}

/** Out of `cache`/lab, or built into it. `versions`: of the packages that the files come from. */
export async function bootFiles(
  cache: string,
  versions: readonly string[],
  say: (line: string) => void,
): Promise<BootFiles> {
  const kernel = await debianKernel(cache, say);
  const recipe = ['roots.js', 'tree.js', 'bootfiles.js', '../../../xenstored/stubdom/cpio.js'];
  const sources = await Promise.all(recipe.map((name) => readFile(join(import.meta.dirname, name))));
  const extras = EXTRAS.filter((program) => existsSync(program));
  const name = nameOf([kernel.id, ...versions, process.version, process.execPath, ...extras, ...sources]);
  const folder = await kept(join(cache, 'lab'), name, async (work) => {
    say('building the boot files');
    await build(work, kernel);
  });
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
