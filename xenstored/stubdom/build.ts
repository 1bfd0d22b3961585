/**
 * Kernel and initramfs of the store's domain as two files: what is needed for that on this machine, and the steps in their order. Prints
 * nothing.
 */
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withoutPvh } from './elf.ts';
import { buildImage, type Image } from './image.ts';
import { debianKernel } from './kernel.ts';

const NAME = 'xenstored-stubdom';

export interface BuildOptions {
  /** Where the two files go. */
  readonly out: string;
  /** Where downloaded kernels are kept, as `kernel.ts` has it. */
  readonly cache: string;
  /** As if they stood on every kernel command line of the image. */
  readonly words: string;
  /** Gets a line before anything slow. */
  readonly say: (line: string) => void;
}

export interface Built {
  readonly kernel: string;
  readonly kernelBytes: number;
  /** As `uname -r` says. */
  readonly release: string;
  readonly initrd: string;
  readonly initrdBytes: number;
  /** What is in the initrd, bytes each. */
  readonly sizes: Image['sizes'];
}

/** Programs, and the Debian packages that they come in. */
const tools: readonly (readonly [string, string])[] = [
  ['apt-get', 'apt'],
  ['dpkg-deb', 'dpkg'],
  ['lz4', 'lz4'],
  ['strip', 'binutils'],
  ['mksquashfs', 'squashfs-tools'],
  ['ldd', 'libc-bin'],
  ['busybox', 'busybox-static'],
];

/** Takes the daemon that this file was compiled with. Throws errors of one line, which say what to install where that helps. */
export async function buildStubdom({ out, cache, words, say }: BuildOptions): Promise<Built> {
  if (process.arch !== 'x64')
    throw new Error(`the image is for x86-64 and is built there; this is ${process.arch}`);
  const paths = await findTools();
  const busybox = paths.get('busybox')!;
  // A program that is not static names its loader in its first page.
  if ((await readFile(busybox)).subarray(0, 4096).includes('/ld-linux'))
    throw new Error(`${busybox} needs shared libraries: apt-get install busybox-static`);
  await mkdir(out, { recursive: true });
  const kernel = await debianKernel(cache, say, 'cloud-amd64');
  say('packing Node and the daemon');
  const elf = withoutPvh(await readFile(kernel.vmlinux));
  const { initrd, sizes } = await buildImage({
    kernel,
    daemon: fileURLToPath(new URL('../main.js', import.meta.url)),
    // The scripts are not compiled: they are in the sources, beside this file's.
    scripts: fileURLToPath(new URL('../../../xenstored/stubdom', import.meta.url)),
    node: process.execPath,
    busybox,
    words,
  });
  const files = { kernel: join(out, `${NAME}.vmlinux`), initrd: join(out, `${NAME}.initrd`) };
  await writeFile(files.kernel, elf);
  await writeFile(files.initrd, initrd);
  return { ...files, kernelBytes: elf.length, release: kernel.release, initrdBytes: initrd.length, sizes };
}

/** Where each of the programs is. Throws when one is not there, and says how to get it. */
async function findTools(): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    for (const [tool] of tools) {
      const path = join(folder, tool);
      const there = await access(path).then(
        () => true,
        () => false,
      );
      if (there && !found.has(tool)) found.set(tool, path);
    }
  }
  const missing = tools.filter(([tool]) => !found.has(tool));
  if (missing.length === 0) return found;
  const [names, packages] = [missing.map(([tool]) => tool), missing.map(([, name]) => name)];
  throw new Error(`no ${names.join(', ')} here: apt-get install ${packages.join(' ')}`);
}
