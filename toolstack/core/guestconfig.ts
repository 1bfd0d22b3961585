/**
 * A guest of a host file as a domain's configuration, as if a cfg file had said it, and the disks to be made for it. Knows no file system but for a name's
 * directory.
 */
import type { DiskConfig, DomainConfig, SocketsConfig, VifConfig } from './config.ts';
import { type Device, type Disk, devicesOf, type Vif } from './devices.ts';
import type { GuestFile } from './host.ts';
import { programData } from './programs.ts';

/** `place`: in the file, from 0. `pathOf`: of a disk's file. */
export function guestConfig(guest: GuestFile, place: number, pathOf: (file: string) => string): DomainConfig {
  const devices = devicesOf(guest, place);
  return {
    name: guest.name,
    type: 'pvh',
    uuid: undefined,
    kernel: undefined,
    ramdisk: undefined,
    cmdline: '',
    memoryMb: guest.memoryMb,
    maxmemMb: guest.memoryMb,
    vcpus: guest.vcpus,
    maxvcpus: guest.vcpus,
    disks: devices.flatMap((device) => (device.kind === 'vbd' ? [diskConfig(device, pathOf)] : [])),
    vifs: devices.flatMap((device) => (device.kind === 'vif' ? [vifConfig(device)] : [])),
    sockets: devices.flatMap(({ kind, devid }) => (kind === 'pvcalls' ? [socketsConfig(devid)] : [])),
    serial: undefined,
    deviceModel: undefined,
    driverDomain: false,
    onPoweroff: 'destroy',
    onReboot: 'restart',
    onCrash: 'destroy',
    onWatchdog: 'destroy',
    onSoftReset: 'soft-reset',
    data: programData(guest),
  };
}

/** Those that it has files of. */
export function guestDisks(guest: GuestFile, place: number): Disk[] {
  const isDisk = (device: Device): device is Disk => device.kind === 'vbd';
  return devicesOf(guest, place).filter(isDisk);
}

function diskConfig({ name, file, mode }: Disk, pathOf: (file: string) => string): DiskConfig {
  return {
    kind: 'vbd',
    target: pathOf(file),
    format: 'raw',
    vdev: name,
    access: mode,
    devtype: 'disk',
    backend: undefined,
    backendtype: undefined,
    script: undefined,
    discard: undefined,
    directIoSafe: false,
    trusted: true,
  };
}

function vifConfig({ mac, address, mtu, devid }: Vif): VifConfig {
  const nothing = {
    bridge: undefined,
    gatewaydev: undefined,
    rate: undefined,
    vlan: undefined,
    model: undefined,
  };
  const more = { type: undefined, vifname: undefined, script: undefined, backend: undefined };
  return { kind: 'vif', mac, ip: address, mtu, devid, trusted: true, ...nothing, ...more };
}

function socketsConfig(devid: number): SocketsConfig {
  return { kind: 'pvcalls', devid, backend: undefined };
}
