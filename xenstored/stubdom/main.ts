#!/usr/bin/env node
/**
 * `npm run stubdom-image`: kernel and initramfs of a domain that serves the store, what is in them, and the line that starts it. Runs from a
 * clone, as anybody; builds with Debian's tools and says which are missing.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Built, buildStubdom } from './build.ts';
import { cacheFolder } from './folders.ts';

/** At which it was seen to serve, with room to grow; see README.md. */
const MEMORY_MIB = 192;

const usage = `Usage: npm run stubdom-image [-- OPTIONS]

Builds xenstored-stubdom.vmlinux and xenstored-stubdom.initrd, for Xen's init-xenstore-domain.

  --out DIR      where to put them (default: the current folder)
  --words TEXT   words that stand on every kernel command line of the image, such as
                 "shell" or "-- --quota nodes=2000"; see xenstored/stubdom/README.md
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { out: { type: 'string' }, words: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const built = await buildStubdom({
    out: resolve(process.env.INIT_CWD ?? '.', values.out ?? '.'),
    cache: cacheFolder(process.env),
    words: values.words ?? '',
    say: (line) => process.stderr.write(`${line}\n`),
  });
  process.stdout.write(report(built));
}

function report({ kernel, kernelBytes, release, initrd, initrdBytes, sizes }: Built): string {
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1).padStart(6)} MiB`;
  return `
${mib(kernelBytes)}  ${kernel}
            Linux ${release}, as an ELF file without its PVH entry
${mib(initrdBytes)}  ${initrd}
            of it ${mib(sizes.packed).trim()} Node and the daemon, compressed; unpacked they are
${mib(sizes.node)}    Node ${process.version}
${mib(sizes.libraries)}    its libraries
${mib(sizes.daemon)}    xenstored

On the Xen host, where no xenstored was started since it booted (Debian keeps the program in /usr/lib/xen-VERSION/bin):

  init-xenstore-domain --memory ${MEMORY_MIB} --kernel ${kernel} \\
    --ramdisk ${initrd} --param loglevel=1
`;
}

// An end by exit, so that what lies in temporary folders goes.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));

await main().catch((error: Error) => {
  process.stderr.write(`stubdom-image: ${error.message}\n`);
  process.exitCode = 1;
});
