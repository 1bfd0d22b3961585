/**
 * Linux's PV Calls drivers as modules: the frontend with the device by which programs reach it (test/real/pvcalls-glue), and the backend as it is.
 * Debian's kernel has none of it, so the source is taken out of Debian's linux-source and built for that very kernel, once into the cache. All
 * packages are downloaded by apt and unpacked, none is installed.
 */
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, kept } from '../../../xenstored/stubdom/folders.ts';
import { debianKernel, download, type Kernel } from '../../../xenstored/stubdom/kernel.ts';
import { run } from '../../../xenstored/stubdom/run.ts';

const GLUE = 'pvcalls-glue';
const MODULES = [GLUE, 'pvcalls-back'];
const KERNEL_FILES = ['pvcalls-front.c', 'pvcalls-front.h', 'pvcalls-back.c'];

/** Fills `folder`/guest/pvcalls-glue.ko and pvcalls-back.ko. `top`: the project. */
export async function stagePvcalls(folder: string, _built: string, top: string): Promise<void> {
  const cache = cacheFolder(process.env);
  const kernel = await debianKernel(cache, console.error);
  const glue = join(top, 'test/real', GLUE);
  const name = `pvcalls-${(await digestOf(glue, kernel)).slice(0, 16)}`;
  const home = await kept(join(cache, 'lab'), name, (work) => build(kernel, glue, work));
  await mkdir(join(folder, 'guest'), { recursive: true });
  for (const module of MODULES) await cp(join(home, `${module}.ko`), join(folder, 'guest', `${module}.ko`));
}

async function digestOf(glue: string, kernel: Kernel): Promise<string> {
  const digest = createHash('sha256').update(kernel.id);
  for (const path of [...(await sourcesOf(glue)), import.meta.filename]) digest.update(await readFile(path));
  return digest.digest('hex');
}

async function sourcesOf(glue: string): Promise<readonly string[]> {
  const names = (await readdir(glue)).filter((name) => /\.[ch]$/.test(name)).sort();
  return names.map((name) => join(glue, name));
}

/** Leaves the modules in `work`, and nothing else. */
async function build({ release, version }: Kernel, glue: string, work: string): Promise<void> {
  const series = /^\d+\.\d+/.exec(release)![0];
  const common = release.replace(/-[^-]+$/, '-common');
  const [headers, source] = [`linux-headers-${release}`, `linux-source-${series}`];
  const packages = [headers, `linux-headers-${common}`, `linux-kbuild-${series}`, source];
  await download(
    packages.map((name) => `${name}=${version}`),
    work,
  );
  const root = join(work, 'root');
  for (const deb of (await readdir(work)).filter((file) => file.endsWith('.deb'))) {
    if (!deb.startsWith(source)) await run('dpkg-deb', ['-x', join(work, deb), root]);
    else await unpackDrivers(join(work, deb), series, work);
  }
  const tree = join(root, 'usr/src', headers);
  // It says where the package would be installed.
  const makefile = await readFile(join(tree, 'Makefile'), 'utf8');
  await writeFile(join(tree, 'Makefile'), makefile.replaceAll('/usr/src/', join(root, 'usr/src/')));
  const build = join(work, 'build');
  await mkdir(build);
  for (const path of await sourcesOf(glue)) await cp(path, join(build, path.slice(glue.length + 1)));
  for (const name of KERNEL_FILES)
    await cp(join(work, `linux-source-${series}/drivers/xen`, name), join(build, name));
  await writeFile(join(build, 'Kbuild'), `obj-m := ${MODULES.map((module) => `${module}.o`).join(' ')}\n`);
  await run('make', ['-s', '-C', tree, `M=${build}`, 'modules']);
  const files = MODULES.map((module) => `${module}.ko`);
  for (const file of files) {
    await run('strip', ['--strip-debug', join(build, file)]);
    await cp(join(build, file), join(work, file));
  }
  for (const name of await readdir(work))
    if (!files.includes(name)) await rm(join(work, name), { recursive: true });
}

/** A few files of a large archive in a larger package. */
async function unpackDrivers(deb: string, series: string, work: string): Promise<void> {
  const script =
    'dpkg-deb --fsys-tarfile "$0" | tar -xO "./usr/src/$1.tar.xz" | xz -dc -T0 | tar -x --wildcards "$1/drivers/xen/pvcalls-*"';
  await run('bash', ['-o', 'pipefail', '-c', script, deb, `linux-source-${series}`], { cwd: work });
}
