/**
 * What is there of Xen on this machine: facts, as the kernel's files and device nodes tell them, and one trial of each device that a
 * daemon opens. Changes nothing and judges nothing (`findings.ts` does). Loads the C library only where there is a hypervisor, so
 * that it can say why that does not load. (linux/Documentation/ABI/stable/sysfs-hypervisor-xen, linux/drivers/xen/xenfs)
 */
import { accessSync, constants, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { release } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { DomainInfo } from '../ctrl.ts';
import type { Platform } from '../platform.ts';
import type { DeviceFile } from './device.ts';

/** A stub domain for the store is among the first. */
const MANY_DOMAINS = 64;

export type Presence = 'there' | 'missing' | 'denied';

export interface XenVersion {
  readonly major: number;
  readonly minor: number;
  /** As the hypervisor adds it: `.7`, `-rc2`. */
  readonly extra: string;
}

/** A process that serves a store, or says so by its name. */
export interface StoreProcess {
  readonly pid: number;
  readonly command: string;
  readonly ours: boolean;
}

/** What could be done with a device, or the line that says why not. `undefined`: not tried. */
export interface Trials {
  readonly library: string | undefined;
  readonly evtchn: string | undefined;
  readonly gnttab: string | undefined;
  readonly control: string | undefined;
  /** The domain, not dom0, that serves the store. */
  readonly storeDomid: number | undefined;
}

export interface HostFacts {
  /** Without its `v`. */
  readonly node: string;
  /** As Node names it: `x64`, `arm64`. */
  readonly arch: string;
  readonly kernel: string;
  readonly root: boolean;
  /** `undefined`: none, as far as the kernel says. */
  readonly hypervisor: string | undefined;
  readonly xen: XenVersion | undefined;
  /** `PV`, `PVH`, `HVM`. */
  readonly guestType: string | undefined;
  readonly xenfs: boolean;
  /** The control domain; `undefined` while xenfs is not there to tell. */
  readonly control: boolean | undefined;
  readonly files: Readonly<Record<XenFile, Presence>>;
  /** Kernel lockdown: `none`, `integrity`, `confidentiality`. */
  readonly lockdown: string | undefined;
  readonly stores: readonly StoreProcess[];
  readonly runDir: { readonly path: string; readonly filesystem: string; readonly writable: boolean };
  readonly trials: Trials;
}

const files = {
  evtchn: 'dev/xen/evtchn',
  gntdev: 'dev/xen/gntdev',
  privcmd: 'dev/xen/privcmd',
  hypercall: 'dev/xen/hypercall',
  gntalloc: 'dev/xen/gntalloc',
  xenbus: 'dev/xen/xenbus',
  storePage: 'proc/xen/xsd_kva',
  storePort: 'proc/xen/xsd_port',
} as const;

export type XenFile = keyof typeof files;

export interface ProbeOptions {
  /** Where the machine's files are; default: `/`. */
  readonly root?: string;
  /** Where the store's socket is to be; default: /run/xenstored. */
  readonly runDir?: string;
  /** Opens devices in earnest; default: yes. */
  readonly tryDevices?: () => Promise<Trials>;
}

export const untried: Trials = {
  library: undefined,
  evtchn: undefined,
  gnttab: undefined,
  control: undefined,
  storeDomid: undefined,
};

export async function probeHost(options: ProbeOptions = {}): Promise<HostFacts> {
  const { root = '/', runDir = '/run/xenstored', tryDevices = tryThem } = options;
  const text = (path: string): string | undefined => contents(join(root, path));
  const capabilities = text('proc/xen/capabilities');
  const hypervisor =
    text('sys/hypervisor/type') ?? (present(join(root, files.storePage)) === 'missing' ? undefined : 'xen');
  const isRoot = process.geteuid?.() === 0;
  return {
    node: process.versions.node,
    arch: process.arch,
    kernel: release(),
    root: isRoot,
    hypervisor,
    xen: version(text),
    guestType: text('sys/hypervisor/guest_type'),
    xenfs: capabilities !== undefined,
    control: capabilities?.includes('control_d'),
    files: Object.fromEntries(
      Object.entries(files).map(([name, path]) => [name, present(join(root, path))]),
    ) as Record<XenFile, Presence>,
    lockdown: /\[(\w+)\]/.exec(text('sys/kernel/security/lockdown') ?? '')?.[1],
    stores: storeProcesses(join(root, 'proc')),
    runDir: place(root, runDir),
    // In a guest without a store, opening a device can wait for ever.
    trials:
      hypervisor === 'xen' && isRoot && capabilities?.includes('control_d') ? await tryDevices() : untried,
  };
}

function version(text: (path: string) => string | undefined): XenVersion | undefined {
  const [major, minor, extra] = ['major', 'minor', 'extra'].map((name) =>
    text(`sys/hypervisor/version/${name}`),
  );
  if (major === undefined || minor === undefined) return undefined;
  return { major: Number(major), minor: Number(minor), extra: extra ?? '' };
}

/** What each device answers to the program that would use it. */
async function tryThem(): Promise<Trials> {
  const attempt = (body: () => void): string | undefined => {
    try {
      body();
      return undefined;
    } catch (error) {
      return (error as Error).message.split('\n')[0];
    }
  };
  let xen: typeof import('./device.ts');
  let platform: Platform;
  try {
    xen = await import('./device.ts');
    platform = (await import('./platform.ts')).xenPlatform();
  } catch (error) {
    return { ...untried, library: (error as Error).message.split('\n')[0] };
  }
  const open = (device: DeviceFile): string | undefined =>
    attempt(() => xen.closeDevice(xen.openDevice(device)));
  let domains: readonly DomainInfo[] = [];
  const trials = {
    library: undefined,
    evtchn: open(xen.devices.evtchn),
    gnttab: open(xen.devices.gntdev),
    control: attempt(() => {
      const ctrl = platform.openCtrl();
      try {
        domains = ctrl.getDomainInfoList(0, MANY_DOMAINS);
      } finally {
        ctrl.close();
      }
    }),
  };
  platform.close();
  return { ...trials, storeDomid: domains.find(({ domid, xenstore }) => xenstore && domid !== 0)?.domid };
}

/** Found by name: a process of which nothing can be read is none. */
function storeProcesses(proc: string): StoreProcess[] {
  const found: StoreProcess[] = [];
  for (const name of entries(proc)) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const words =
      contents(join(proc, name, 'cmdline'))
        ?.split('\0')
        .filter((word) => word !== '') ?? [];
    const [first = '', second = ''] = words;
    const plain = basename(first) === 'xenstored' || basename(first) === 'oxenstored';
    const ours = basename(linkOf(join(proc, name, 'exe')) ?? first) === 'node' && isOurs(second);
    if (plain || ours) found.push({ pid: Number(name), command: ours ? second : first, ours });
  }
  return found;
}

function isOurs(script: string): boolean {
  return basename(script) === 'xenstored' || /dist\/xenstored\/main\.js$/.test(script);
}

/** The nearest directory that there is already, on what kind of file system. */
function place(root: string, path: string): HostFacts['runDir'] {
  let there = join(root, path);
  while (present(there) === 'missing' && there !== dirname(there)) there = dirname(there);
  return { path, filesystem: filesystemOf(root, there), writable: writable(there) };
}

function filesystemOf(root: string, path: string): string {
  const real = realpathSync(path);
  let [longest, type] = ['', 'unknown'];
  for (const line of (contents(join(root, 'proc/mounts')) ?? '').split('\n')) {
    const [, mountPoint = '', kind = ''] = line.split(' ');
    const under = mountPoint === '/' || real === mountPoint || real.startsWith(`${mountPoint}/`);
    if (under && mountPoint.length >= longest.length) [longest, type] = [mountPoint, kind];
  }
  return type;
}

function present(path: string): Presence {
  try {
    accessSync(path, constants.R_OK);
    return 'there';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' ? 'denied' : 'missing';
  }
}

function writable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function contents(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return undefined;
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
