/**
 * The Debian packages that the lab takes its machine, its hypervisor and its peers from. Installs nothing: says what to install.
 */
import { spawnSync } from 'node:child_process';
import type { Need } from './scenario.ts';

/** The packages are named after it, and so are their folders. */
export const XEN = '4.17';

/** All of them are in test/apt.txt as well, for those who set up a machine for all tests. */
const ALWAYS: readonly string[] = [
  'qemu-system-x86',
  `xen-hypervisor-${XEN}-amd64`,
  `xen-utils-${XEN}`,
  'xen-utils-common',
  'xenstore-utils',
  'busybox-static',
  'e2fsprogs',
  'xz-utils',
  // The guests' own programs are compiled here.
  'gcc',
  'libc6-dev',
];
const FOR: Readonly<Record<Need, readonly string[]>> = {
  package: [],
  stubdom: ['squashfs-tools', 'lz4', 'binutils'],
  node: [],
  // What builds modules for Debian's kernel.
  pvcalls: ['gcc-12', 'make', 'libelf1'],
};

/** Where their packages are missing, their rows are skipped; for want of any other nothing runs. */
const OPTIONAL: readonly Need[] = ['pvcalls'];

export function packagesFor(needs: Iterable<Need>): readonly string[] {
  return [...ALWAYS, ...[...needs].flatMap((need) => FOR[need])];
}

export interface Installed {
  /** `package version`, of those that every boot is made of. */
  readonly versions: readonly string[];
  readonly missing: readonly string[];
}

export function installed(needs: Iterable<Need>): Installed {
  const wanted = packagesFor(needs);
  const { stdout, error } = spawnSync(
    'dpkg-query',
    ['-W', '-f', '${db:Status-Abbrev} ${Package} ${Version}\n', ...wanted],
    { encoding: 'utf8' },
  );
  if (error !== undefined) return { versions: [], missing: wanted };
  const there = stdout
    .split('\n')
    .filter((line) => line.startsWith('ii '))
    .map((line) => line.slice(2).trim());
  const nameOf = (line: string) => line.split(' ')[0]!;
  const names = new Set(there.map(nameOf));
  return {
    versions: there.filter((line) => ALWAYS.includes(nameOf(line))),
    missing: wanted.filter((name) => !names.has(name)),
  };
}

/** For want of which a scenario with these needs is skipped. */
export function lacking(needs: readonly Need[] = []): readonly string[] {
  const optional = OPTIONAL.filter((need) => needs.includes(need)).flatMap((need) => FOR[need]);
  if (optional.length === 0) return [];
  const { missing } = installed(needs);
  return optional.filter((name) => missing.includes(name));
}
