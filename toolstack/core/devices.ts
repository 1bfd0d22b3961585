/**
 * The disks, network interfaces and socket devices of a host file: what is filled in, and what the file cannot say by its shape alone. Knows no store and no
 * file system.
 */
import { diskNumber } from './vdev.ts';

export interface DiskFile {
  /** `xvda`; left out: the next letter. */
  readonly vdev?: string;
  /** A name below the run directory's `disks`, or an absolute path; left out: after the guest and vdev. */
  readonly file?: string;
  /** MiB, of one that is made. */
  readonly sizeMb: number;
  readonly mode: 'r' | 'w';
  /** Files and directories that one that is made is an archive of; a directory's contents stand at its top. */
  readonly archive?: readonly string[];
}

export interface VifFile {
  /** Left out: one of Xen's, by the guest's place in the file. */
  readonly mac?: string;
  /** `10.53.0.2/24`, or `dhcp`; left out: none, the guest sees frames and answers none. */
  readonly address?: string;
  readonly mtu?: number;
}

/** As they stand in a host file. */
export interface DeviceFiles {
  readonly disks: readonly DiskFile[];
  readonly vifs: readonly VifFile[];
  /** Each is a device; there is nothing to say of one. */
  readonly sockets: readonly Readonly<Record<string, never>>[];
}

export interface Disk {
  readonly kind: 'vbd';
  /** `xvda` */
  readonly name: string;
  readonly devid: number;
  readonly file: string;
  readonly sizeMb: number;
  readonly mode: 'r' | 'w';
  /** What it is made of, if it is not there: nothing, or these. */
  readonly archive: readonly string[];
}

export interface Vif {
  readonly kind: 'vif';
  /** `vif0` */
  readonly name: string;
  readonly devid: number;
  readonly mac: string;
  readonly address: string | undefined;
  readonly mtu: number | undefined;
}

/** A guest's way to sockets in another domain (PV Calls). */
export interface Sockets {
  readonly kind: 'pvcalls';
  /** `sockets0` */
  readonly name: string;
  readonly devid: number;
}

/** As asked for of a server. */
const DHCP = 'dhcp';

export type Device = Disk | Vif | Sockets;

/** A guest's devices with everything filled in. `place`: of the guest, from 0. */
export function devicesOf(
  { name, disks, vifs, sockets }: DeviceFiles & { readonly name: string },
  place: number,
): Device[] {
  return [
    ...disks.map((disk, index): Disk => {
      const vdev = disk.vdev ?? `xvd${String.fromCharCode(97 + index)}`;
      const { sizeMb, mode, file = `${name}-${vdev}.img`, archive = [] } = disk;
      return { kind: 'vbd', name: vdev, devid: diskNumber(vdev)!, file, sizeMb, mode, archive };
    }),
    ...vifs.map((vif, index): Vif => {
      const mac = vif.mac?.toLowerCase() ?? xenMac(place, index);
      const { address, mtu } = vif;
      return { kind: 'vif', name: `vif${index}`, devid: index, mac, address, mtu };
    }),
    ...sockets.map((_, index): Sockets => ({ kind: 'pvcalls', name: `sockets${index}`, devid: index })),
  ];
}

/** Below Xen's prefix: the interface, and the guest counted from 1. */
function xenMac(place: number, index: number): string {
  const bytes = [0x00, 0x16, 0x3e, index, (place + 1) >> 8, (place + 1) & 0xff];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Where a guest is found, as far as the host file tells; without the length of the prefix. */
function givenAddress({ address }: Vif): string | undefined {
  return address === undefined || address === DHCP ? undefined : plain(address);
}

/** An address without the length of its prefix. */
function plain(address: string): string {
  return address.split('/')[0]!;
}

/** What host files cannot say by their shape alone, of the devices of all guests. */
export function deviceMistakes(
  guests: readonly (DeviceFiles & { readonly name: string })[],
  services: {
    readonly blkback: boolean;
    readonly netback: boolean;
    readonly xensock: boolean;
    /** The machine's own address among them. */
    readonly uplink?: string | undefined;
  },
): string[] {
  const wrong: string[] = [];
  const writers = new Map<string, string>();
  const readers = new Map<string, string>();
  const macs = new Map<string, string>();
  const addresses = new Map<string, string>();
  if (services.uplink !== undefined) addresses.set(plain(services.uplink), "the machine's uplink");
  const once = (taken: Map<string, string>, key: string, owner: string, text: string): void => {
    const other = taken.get(key);
    if (other !== undefined) wrong.push(`${owner} and ${other} ${text} ${key}`);
    else taken.set(key, owner);
  };
  for (const [place, guest] of guests.entries()) {
    if (guest.disks.length > 0 && !services.blkback)
      wrong.push(`guest ${guest.name} has disks, and the host no blkback`);
    if (guest.vifs.length > 0 && !services.netback)
      wrong.push(`guest ${guest.name} has vifs, and the host no netback`);
    if (guest.sockets.length > 0 && !services.xensock)
      wrong.push(`guest ${guest.name} has sockets, and the host no xensock`);
    const names = new Map<string, string>();
    for (const device of devicesOf(guest, place)) {
      const owner = `${guest.name}'s ${device.name}`;
      once(names, device.name, owner, 'are both called');
      if (device.kind === 'pvcalls') continue;
      if (device.kind === 'vif') {
        once(macs, device.mac, owner, 'have the same mac');
        const address = givenAddress(device);
        if (address !== undefined) once(addresses, address, owner, 'have the same address');
        continue;
      }
      const other = device.mode === 'w' ? readers.get(device.file) : writers.get(device.file);
      if (other !== undefined) wrong.push(`${owner} and ${other} share ${device.file}, which one writes to`);
      if (device.mode === 'w') once(writers, device.file, owner, 'both write to');
      else readers.set(device.file, owner);
    }
  }
  return wrong;
}
