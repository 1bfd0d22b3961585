/**
 * The initramfs of the store's domain: a small outer one (busybox, init, drivers), and in it a compressed file system with Node and the
 * daemon, so that only what runs is unpacked in memory, and may be dropped from it again. Knows neither kernel versions nor domains.
 */
import { chmod, copyFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { type BundledFile, bundle } from './bundle.ts';
import { cpio, type Entry } from './cpio.ts';
import { inFolder } from './folders.ts';
import type { Kernel } from './kernel.ts';
import { run } from './run.ts';

export interface Recipe {
  readonly kernel: Kernel;
  /** The compiled daemon. */
  readonly daemon: string;
  /** Folder of the shell scripts that become the image's init. */
  readonly scripts: string;
  /** The Node to put in. */
  readonly node: string;
  readonly busybox: string;
  /** As if they stood on every kernel command line. */
  readonly words: string;
}

export interface Image {
  readonly initrd: Buffer;
  /** What is in it, bytes each. `packed`: of the compressed file system, as it lies in the image. */
  readonly sizes: {
    readonly node: number;
    readonly libraries: number;
    readonly daemon: number;
    readonly packed: number;
  };
}

/** Drivers in the order in which init loads them; what a kernel has built in is left out. */
const MODULES = ['loop', 'squashfs', 'xen-evtchn', 'xen-gntdev', 'xen-privcmd'];
const SCRIPTS = ['init', 'console.sh', 'cmdline.sh'];
const LOADER_FOLDER = 'lib64';

/** Builds it in memory, by way of a temporary folder. Throws errors of one line. */
export async function buildImage(recipe: Recipe): Promise<Image> {
  return inFolder(join(tmpdir(), 'stubdom-image-'), async (work) => {
    const { squashfs, sizes } = await daemonFiles(recipe, work);
    const initrd = cpio(await outer(recipe, squashfs));
    return { initrd, sizes: { ...sizes, packed: squashfs.length } };
  });
}

async function outer({ kernel, scripts, busybox, words }: Recipe, squashfs: Uint8Array): Promise<Entry[]> {
  const files: Entry[] = [];
  for (const name of SCRIPTS)
    files.push({ kind: 'file', path: name, bytes: await readFile(join(scripts, name)), program: true });
  for (const name of MODULES) {
    const module = kernel.module(name);
    if (module !== undefined)
      files.push({ kind: 'file', path: `modules/${name}.ko`, bytes: await readFile(module) });
  }
  const folders = ['bin', 'daemon', 'dev', 'modules', 'proc', 'run', 'sys', 'var'];
  return [
    ...folders.map((path): Entry => ({ kind: 'folder', path })),
    // What the kernel opens for init, before there is a /dev.
    { kind: 'device', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'link', path: 'lib', to: 'daemon/lib' },
    { kind: 'link', path: LOADER_FOLDER, to: `daemon/${LOADER_FOLDER}` },
    { kind: 'file', path: 'bin/busybox', bytes: await readFile(busybox), program: true },
    { kind: 'file', path: 'words', bytes: Buffer.from(`${words}\n`) },
    ...files,
    { kind: 'file', path: 'daemon.squashfs', bytes: squashfs },
  ];
}

/** Node, its libraries and the daemon, without symbols, as one compressed file system. */
async function daemonFiles(
  { daemon, node }: Recipe,
  work: string,
): Promise<{ readonly squashfs: Buffer; readonly sizes: Omit<Image['sizes'], 'packed'> }> {
  const root = join(work, 'root');
  const put = async (from: string, path: string): Promise<number> => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await copyFile(from, join(root, path));
    await chmod(join(root, path), 0o755);
    await run('strip', ['--strip-unneeded', join(root, path)]);
    return (await stat(join(root, path))).size;
  };
  const program = await put(node, 'node');
  const files = await bundle(daemon);
  for (const file of files) await unpack(file, root);
  const addons = files.filter(({ path }) => path.endsWith('.node')).map(({ path }) => join(root, path));
  for (const addon of addons) await run('strip', ['--strip-unneeded', addon]);
  let libraries = 0;
  for (const library of await librariesOf([node, ...addons])) {
    const folder = basename(library).startsWith('ld-') ? LOADER_FOLDER : 'lib';
    libraries += await put(library, `${folder}/${basename(library)}`);
  }
  const target = join(work, 'daemon.squashfs');
  await run('mksquashfs', [
    root,
    target,
    ...['-comp', 'zstd', '-Xcompression-level', '19', '-b', '128K'],
    ...[
      '-all-root',
      '-no-xattrs',
      '-no-exports',
      '-mkfs-time',
      '0',
      '-all-time',
      '0',
      '-quiet',
      '-no-progress',
    ],
  ]);
  const bytes = files.reduce((sum, file) => sum + file.bytes.length, 0);
  return { squashfs: await readFile(target), sizes: { node: program, libraries, daemon: bytes } };
}

async function unpack({ path, bytes }: BundledFile, root: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), bytes);
}

/** The shared libraries, the loader among them, that programs or addons need. */
async function librariesOf(files: readonly string[]): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const file of files)
    for (const [path] of (await run('ldd', [file])).toString().matchAll(/\/\S+/g))
      if (!path.endsWith(':')) found.add(path);
  return [...found].sort();
}
