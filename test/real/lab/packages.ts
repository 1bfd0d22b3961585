/**
 * The Debian packages that the lab takes its machine, its hypervisor and its peers from. Installs nothing: says what to install.
 */
import { spawnSync } from 'node:child_process';

/** The packages are named after it, and so are their folders. */
export const XEN = '4.17';

/** In test/apt.txt as well, for those who set up a machine for all tests. */
export const PACKAGES: readonly string[] = [
  'qemu-system-x86',
  `xen-hypervisor-${XEN}-amd64`,
  `xen-utils-${XEN}`,
  'xen-utils-common',
  'xenstore-utils',
  'busybox-static',
  'xz-utils',
];

export interface Installed {
  /** `package version`, of those that are there. */
  readonly versions: readonly string[];
  readonly missing: readonly string[];
}

export function installed(): Installed {
  const { stdout, error } = spawnSync(
    'dpkg-query',
    ['-W', '-f', '${db:Status-Abbrev} ${Package} ${Version}\n', ...PACKAGES],
    { encoding: 'utf8' },
  );
  if (error !== undefined) return { versions: [], missing: PACKAGES };
  const versions = stdout
    .split('\n')
    .filter((line) => line.startsWith('ii '))
    .map((line) => line.slice(2).trim());
  const names = new Set(versions.map((line) => line.split(' ')[0]));
  return { versions, missing: PACKAGES.filter((name) => !names.has(name)) };
}
