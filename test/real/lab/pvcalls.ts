/**
 * Linux's PV Calls frontend as a module for guests, with the device by which programs reach it (test/real/pvcalls-glue): Debian's kernel has
 * neither, so the frontend's source is taken out of Debian's linux-source and built for that very kernel, once into the cache. All packages are
 * downloaded by apt and unpacked, none is installed.
 */
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, kept } from '../../../xenstored/stubdom/folders.ts';
import { debianKernel, download, type Kernel } from '../../../xenstored/stubdom/kernel.ts';
import { run } from '../../../xenstored/stubdom/run.ts';

const GLUE = 'pvcalls-glue';

/** Fills `folder`/guest/pvcalls-glue.ko. `top`: the project. */
export async function stagePvcalls(folder: string, _built: string, top: string): Promise<void> {
  const cache = cacheFolder(process.env);
  const kernel = await debianKernel(cache, console.error);
  const glue = join(top, 'test/real', GLUE);
  const name = `pvcalls-${(await digestOf(glue, kernel)).slice(0, 16)}`;
  const home = await kept(join(cache, 'lab'), name, (work) => build(kernel, glue, work));
  await mkdir(join(folder, 'guest'), { recursive: true });
  await cp(join(home, `${GLUE}.ko`), join(folder, 'guest', `${GLUE}.ko`));
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

/** Leaves the module in `work`, and nothing else. */
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
    else await unpackFront(join(work, deb), series, work);
  }
  const tree = join(root, 'usr/src', headers);
  // It says where the package would be installed.
  const makefile = await readFile(join(tree, 'Makefile'), 'utf8');
  await writeFile(join(tree, 'Makefile'), makefile.replaceAll('/usr/src/', join(root, 'usr/src/')));
  const build = join(work, 'build');
  await mkdir(build);
  for (const path of await sourcesOf(glue)) await cp(path, join(build, path.slice(glue.length + 1)));
  for (const name of ['pvcalls-front.c', 'pvcalls-front.h'])
    await cp(join(work, `linux-source-${series}/drivers/xen`, name), join(build, name));
  await writeFile(join(build, 'Kbuild'), `obj-m := ${GLUE}.o\n`);
  await run('make', ['-s', '-C', tree, `M=${build}`, 'modules']);
  await run('strip', ['--strip-debug', join(build, `${GLUE}.ko`)]);
  await cp(join(build, `${GLUE}.ko`), join(work, `${GLUE}.ko`));
  for (const name of await readdir(work))
    if (name !== `${GLUE}.ko`) await rm(join(work, name), { recursive: true });
}

/** Two files of a large archive in a larger package. */
async function unpackFront(deb: string, series: string, work: string): Promise<void> {
  const script =
    'dpkg-deb --fsys-tarfile "$0" | tar -xO "./usr/src/$1.tar.xz" | xz -dc -T0 | tar -x --wildcards "$1/drivers/xen/pvcalls-front.*"';
  await run('bash', ['-o', 'pipefail', '-c', script, deb, `linux-source-${series}`], { cwd: work });
}
