#!/usr/bin/env node
/**
 * `npm run stubdom-image`: kernel and initramfs of a domain that serves the store, and the line that starts it. Runs from a clone, as
 * anybody; builds with Debian's tools and says which are missing.
 */
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { withoutPvh } from './elf.ts';
import { buildImage, type Image } from './image.ts';
import { debianKernel } from './kernel.ts';

const top = fileURLToPath(new URL('../../..', import.meta.url));
const NAME = 'xenstored-stubdom';
/** The smallest size at which it was seen to serve; see README.md. */
const MEMORY_MIB = 192;

const usage = `Usage: npm run stubdom-image [-- OPTIONS]

Builds ${NAME}.vmlinux and ${NAME}.initrd, for Xen's init-xenstore-domain.

  --out DIR      where to put them (default: the current folder)
  --words TEXT   words that stand on every kernel command line of the image, such as
                 "shell" or "-- --quota nodes=2000"; see xenstored/stubdom/README.md
`;

/** Programs, and the Debian packages that they come in. */
const tools: readonly (readonly [string, string])[] = [
  ['apt-get', 'apt'],
  ['dpkg-deb', 'dpkg'],
  ['xz', 'xz-utils'],
  ['strip', 'binutils'],
  ['mksquashfs', 'squashfs-tools'],
  ['ldd', 'libc-bin'],
  ['busybox', 'busybox-static'],
];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { out: { type: 'string' }, words: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) return void process.stdout.write(usage);
  if (process.arch !== 'x64')
    throw new Error('the image is for x86-64, and is built from this machine: it is not one');
  const paths = await findTools();
  const out = resolve(values.out ?? process.env.INIT_CWD ?? '.');
  const say = (line: string): void => void process.stderr.write(`${line}\n`);

  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'stubdom0/kernels');
  const kernel = await debianKernel(cache, say);
  say('packing Node and the daemon');
  const vmlinux = withoutPvh(await readFile(kernel.vmlinux));
  const image = await buildImage({
    kernel,
    daemon: fileURLToPath(new URL('../main.js', import.meta.url)),
    scripts: join(top, 'xenstored/stubdom'),
    node: process.execPath,
    busybox: paths.get('busybox')!,
    words: values.words ?? '',
  });
  await mkdir(out, { recursive: true });
  const files = { kernel: join(out, `${NAME}.vmlinux`), initrd: join(out, `${NAME}.initrd`) };
  await writeFile(files.kernel, vmlinux);
  await writeFile(files.initrd, image.initrd);
  process.stdout.write(report(files, vmlinux.length, kernel.release, image));
}

function report(
  files: { readonly kernel: string; readonly initrd: string },
  kernelBytes: number,
  release: string,
  { initrd, sizes }: Image,
): string {
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1).padStart(6)} MiB`;
  return `
${mib(kernelBytes)}  ${files.kernel}   Linux ${release}, an ELF file without its PVH entry
${mib(initrd.length)}  ${files.initrd}
        ${mib(sizes.packed)}  of it Node and the daemon, compressed; unpacked:
        ${mib(sizes.node)}    Node ${process.version}
        ${mib(sizes.libraries)}    its libraries
        ${mib(sizes.daemon)}    xenstored

On the Xen host, with no xenstored started since it booted:

  init-xenstore-domain --memory ${MEMORY_MIB} --kernel ${files.kernel} \\
    --ramdisk ${files.initrd} --param loglevel=1
`;
}

/** Where each of the programs is. Throws when one is not there, and says how to get it. */
async function findTools(): Promise<ReadonlyMap<string, string>> {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const found = new Map<string, string>();
  for (const [tool] of tools) {
    for (const folder of folders) {
      const path = join(folder, tool);
      if (
        !found.has(tool) &&
        (await access(path).then(
          () => true,
          () => false,
        ))
      )
        found.set(tool, path);
    }
  }
  const missing = tools.filter(([tool]) => !found.has(tool));
  if (missing.length > 0) {
    const packages = missing.map(([, name]) => name).join(' ');
    throw new Error(`missing ${missing.map(([tool]) => tool).join(', ')}: apt-get install ${packages}`);
  }
  return found;
}

await main().catch((error: Error) => {
  process.stderr.write(`stubdom-image: ${error.message}\n`);
  process.exitCode = 1;
});
