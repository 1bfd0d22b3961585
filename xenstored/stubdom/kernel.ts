/**
 * A Linux kernel for domains: Debian's own package, downloaded by apt and unpacked into a cache, never installed. What Xen and libxl boot is
 * the ELF file inside the bzImage: they take it as it is, and nothing has to be decompressed at each boot. Knows nothing of what runs on it.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { kept } from './folders.ts';
import { run } from './run.ts';

/** A kernel on disk. */
export interface Kernel {
  /** As `uname -r` says. */
  readonly release: string;
  /** Of its package. */
  readonly version: string;
  /** Differs whenever the files may. */
  readonly id: string;
  /** The ELF file. */
  readonly vmlinux: string;
  /** The file of a module, by its name, such as `xen-evtchn`; undefined when the kernel has it built in, or not at all. */
  module(name: string): string | undefined;
}

/** Folders of the package's modules that are kept: what a paravirtual domain can have a use for. */
const KEPT = [
  'arch',
  'crypto',
  'drivers/block',
  'drivers/net/*.ko',
  'drivers/net/xen-netback',
  'drivers/virtio',
  'drivers/xen',
  'fs',
  'lib',
  'net',
];

/** Debian's kernel for real machines, and for virtual ones: the latter is smaller and cannot be a control domain's. */
export type Flavour = 'amd64' | 'cloud-amd64';

/** Debian's current kernel, out of `cache`/kernel or into it. `say` gets a line before anything slow. Throws errors of one line. */
export async function debianKernel(
  cache: string,
  say: (line: string) => void,
  flavour: Flavour = 'amd64',
): Promise<Kernel> {
  const { name, version } = await newest(flavour);
  // What is kept of the package belongs to the name as much as which it is.
  const wanted = createHash('sha256').update(KEPT.join()).digest('hex').slice(0, 8);
  const id = `${name}_${version.replaceAll(':', '%')}_${wanted}`;
  const home = await kept(join(cache, 'kernel'), id, async (folder) => {
    say(`downloading ${name} ${version} (apt-get download; it is unpacked, not installed)`);
    await unpack(name, folder);
  });
  const modules = new Map<string, string>();
  for (const entry of await readdir(join(home, 'lib'), { recursive: true }))
    if (entry.endsWith('.ko')) modules.set(basename(entry, '.ko'), join(home, 'lib', entry));
  const [release] = await readdir(join(home, 'lib/modules'));
  return {
    release: release!,
    version,
    id,
    vmlinux: join(home, 'vmlinux'),
    module: (module) => modules.get(module),
  };
}

async function newest(flavour: Flavour): Promise<{ readonly name: string; readonly version: string }> {
  const latest = `linux-image-${flavour}`;
  const unknown = `apt knows no Debian kernel for amd64 (${latest}): run apt-get update, on a Debian of that architecture`;
  const depends = await run('apt-cache', ['depends', latest]).catch(() => Buffer.alloc(0));
  const name = /Depends: (linux-image-\d\S*)/.exec(depends.toString())?.[1];
  if (name === undefined) throw new Error(unknown);
  const shown = await run('apt-cache', ['show', '--no-all-versions', name]);
  const version = /^Version: (\S+)/m.exec(shown.toString())?.[1];
  if (version === undefined) throw new Error(unknown);
  return { name, version };
}

/** Debian packages, into `folder`: `name`, or `name=version`. Tries several times. Throws errors of one line. */
export async function download(packages: readonly string[], folder: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await run('apt-get', ['download', '-q', ...packages], { cwd: folder });
      return;
    } catch (error) {
      if (attempt === 4) throw new Error(`${(error as Error).message} (does apt-get update help?)`);
      await new Promise((resolve) => setTimeout(resolve, attempt * 3000));
    }
  }
}

/** Downloads the package into `work` and leaves there `vmlinux` and `lib/modules/RELEASE/kernel/...`. */
async function unpack(name: string, work: string): Promise<void> {
  await download([name], work);
  const deb = (await readdir(work)).find((file) => file.endsWith('.deb'))!;
  await run(
    'sh',
    [
      '-c',
      'dpkg-deb --fsys-tarfile "$0" | tar -x --wildcards "$@"',
      deb,
      './boot/vmlinuz-*',
      ...KEPT.map((folder) => `./lib/modules/*/kernel/${folder}`),
    ],
    { cwd: work },
  );
  const image = (await readdir(join(work, 'boot'))).find((file) => file.startsWith('vmlinuz-'))!;
  await writeFile(join(work, 'vmlinux'), await vmlinuxOf(await readFile(join(work, 'boot', image))));
  await rm(join(work, deb));
  await rm(join(work, 'boot'), { recursive: true });
}

/**
 * The compressed kernel inside a bzImage. Offsets are those of Linux's Documentation/arch/x86/boot.rst (setup_sects,
 * payload_offset, payload_length; protocol 2.08 and on). Throws when it is no bzImage or is compressed in another way.
 */
export function payloadOf(image: Uint8Array): {
  readonly compression: 'gzip' | 'lz4' | 'xz' | 'zstd';
  readonly payload: Uint8Array;
} {
  const view = Buffer.from(image.buffer, image.byteOffset, image.byteLength);
  if (view.length < 0x250 || view.toString('latin1', 0x202, 0x206) !== 'HdrS')
    throw new Error('not a bzImage');
  const start = ((view[0x1f1] || 4) + 1) * 512 + view.readUInt32LE(0x248);
  const payload = view.subarray(start, start + view.readUInt32LE(0x24c));
  // The build appends the unpacked size, four bytes; gzip ends with it by itself.
  const stripped = payload.subarray(0, -4);
  if (payload.readUInt16BE(0) === 0x1f8b) return { compression: 'gzip', payload };
  if (payload.readUInt32BE(0) === 0xfd377a58) return { compression: 'xz', payload: stripped };
  if (payload.readUInt32BE(0) === 0x28b52ffd) return { compression: 'zstd', payload: stripped };
  if (payload.readUInt32BE(0) === 0x02214c18) return { compression: 'lz4', payload: stripped };
  throw new Error('a bzImage that is compressed neither with gzip nor with lz4, xz or zstd');
}

/** The ELF file out of a bzImage. Throws as `payloadOf` does, and when the unpacker is missing. */
export async function vmlinuxOf(image: Uint8Array): Promise<Buffer> {
  const { compression, payload } = payloadOf(image);
  const elf =
    compression === 'gzip' ? gunzipSync(payload) : await run(compression, ['-dc'], { input: payload });
  if (elf.toString('latin1', 0, 4) !== '\x7fELF')
    throw new Error('the kernel inside the bzImage is not an ELF file');
  return elf;
}
