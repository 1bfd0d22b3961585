/**
 * What differs between the hypervisors from Xen 4.16 to 4.22, as far as this project calls them: the versions of the two
 * toolstack interfaces, and where fields lie in the structures that changed. Knows numbers alone and calls nothing.
 * (xen/include/public/domctl.h, sysctl.h at the tags RELEASE-4.16.0 to RELEASE-4.22.0)
 */
import { Errno, OsError } from '../errno.ts';

export interface Interface {
  /** As Node names it: `x64`, `arm64`. */
  readonly arch: string;
  /** sizeof(struct xen_domctl_getdomaininfo): its last member is of the processor's kind. */
  readonly domainInfoSize: number;
  /** XEN_DOMCTL_INTERFACE_VERSION and XEN_SYSCTL_INTERFACE_VERSION; another one is EACCES. */
  readonly domctl: number;
  readonly sysctl: number;
  /** Where `arch` starts in xen_domctl_createdomain. */
  readonly createArchAt: number;
  /** Where `total_pages` lies in xen_sysctl_physinfo; the other counts follow it. */
  readonly physinfoPagesAt: number;
}

type Numbers = Omit<Interface, 'arch' | 'domainInfoSize'>;

const LATEST: Numbers = {
  domctl: 0x18,
  sysctl: 0x16,
  createArchAt: 60,
  physinfoPagesAt: 40,
};

/** By minor version of Xen 4. */
const interfaces: ReadonlyMap<number, Numbers> = new Map([
  [16, { domctl: 0x14, sysctl: 0x14, createArchAt: 52, physinfoPagesAt: 32 }],
  [17, { ...LATEST, domctl: 0x15, sysctl: 0x15, createArchAt: 56 }],
  [18, { ...LATEST, domctl: 0x16, sysctl: 0x15, createArchAt: 56 }],
  [19, { ...LATEST, domctl: 0x17, sysctl: 0x15 }],
  [20, { ...LATEST, domctl: 0x17, sysctl: 0x15 }],
  [21, { ...LATEST, domctl: 0x17 }],
  [22, LATEST],
]);

/** The oldest and the newest minor version of Xen 4 that are known. */
export const KNOWN: readonly [first: number, last: number] = [
  Math.min(...interfaces.keys()),
  Math.max(...interfaces.keys()),
];

/** `version` as xen_version answers: major in the upper half. EACCES for one that this project was not written for. */
export function interfaceOf(version: number, arch: string): Interface {
  const [major, minor] = [version >>> 16, version & 0xffff];
  const found = major === 4 ? interfaces.get(minor) : undefined;
  if (found === undefined) {
    const [first, last] = KNOWN;
    throw new OsError(
      Errno.EACCES,
      `this hypervisor is Xen ${major}.${minor}: its toolstack interface is known for 4.${first} to 4.${last}`,
    );
  }
  return { ...found, arch, domainInfoSize: arch === 'arm64' ? 120 : 112 };
}
