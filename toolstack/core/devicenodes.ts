/**
 * What the store says of a device that is ordered: libxl's keys in libxl's order, with its permissions (libxl_device.c, libxl_disk.c, libxl_nic.c
 * and libxl_pvcalls.c of Xen 4.17 to 4.22). Knows no store.
 */
import type { PermEntry } from '../../xenstored/wire/reply.ts';
import { backendPath, type DeviceName, frontendPath, libxlPath } from '../../xenstored/xenbus/path.ts';
import type { DeviceConfig, DiskConfig, DomainType, SocketsConfig, VifConfig } from './config.ts';
import type { NodeSpec } from './domain.ts';

/** A device of which everything is decided that its nodes take. */
export interface PlacedDevice<Config extends DeviceConfig = DeviceConfig> {
  /** Its kind is the backend's: `qdisk` and `vbd3` serve disks, too. */
  readonly name: DeviceName;
  readonly config: Config;
  readonly domainType: DomainType;
}

interface DeviceKeys {
  readonly back: readonly Key[];
  readonly front: readonly Key[];
  /** In the frontend's directory, and not the guest's to change. */
  readonly frontReadOnly: readonly Key[];
}

type Key = readonly [key: string, value: string];

/** Interfaces that say none are connected to this one. */
const DEFAULT_BRIDGE = 'xenbr0';
const DEFAULT_MTU = 1500;
/** XenbusStateInitialising. */
const INITIALISING = '1';

/** The trees of a device, to be removed before its nodes are written and when it is gone. */
export function deviceTrees(name: DeviceName): { front: string; back: string; libxl: string } {
  return { front: frontendPath(name), back: backendPath(name), libxl: libxlPath(name) };
}

/** The nodes that order a device, to be written in one transaction once leftovers are removed. Parents come before children. */
export function deviceNodes(placed: PlacedDevice): NodeSpec[] {
  const { backendDomid, frontendDomid } = placed.name;
  const { front, back, libxl } = deviceTrees(placed.name);
  const keys = keysOf(placed);
  const guests: readonly PermEntry[] = perms(frontendDomid, backendDomid);
  const theirs: readonly PermEntry[] = perms(backendDomid, frontendDomid);
  return [
    { path: `${libxl}/frontend`, value: front },
    { path: `${libxl}/backend`, value: back },
    { path: front, value: '', perms: guests },
    { path: `${front}/backend`, value: back },
    ...below(front, keys.front, guests),
    ...below(front, keys.frontReadOnly, theirs),
    { path: back, value: '', perms: theirs },
    { path: `${back}/frontend`, value: front },
    ...below(back, keys.back),
    ...below(libxl, keys.back),
  ];
}

/** In front of a path, for backends that take more than one format. */
const formats: Readonly<Record<DiskConfig['format'], string>> = {
  raw: 'aio',
  empty: 'aio',
  qcow: 'qcow',
  qcow2: 'qcow2',
  vhd: 'vhd',
  qed: 'qed',
};

/** As `type` says it. */
const diskTypes: Readonly<Record<string, string>> = { vbd: 'phy', qdisk: 'qdisk', vbd3: 'vbd3' };

function keysOf({ name, config, domainType }: PlacedDevice): DeviceKeys {
  switch (config.kind) {
    case 'vbd':
      return diskKeys({ name, config, domainType });
    case 'vif':
      return vifKeys(name, config);
    case 'pvcalls':
      return socketsKeys(name, config);
  }
}

function diskKeys({ name, config, domainType }: PlacedDevice<DiskConfig>): DeviceKeys {
  const { target, format, script, vdev, access, devtype, discard, trusted } = config;
  return {
    back: [
      ['params', name.kind === 'vbd' ? target : `${formats[format]}:${target}`],
      ...given('script', script),
      ['frontend-id', `${name.frontendDomid}`],
      ['online', '1'],
      ['removable', flag(devtype === 'cdrom')],
      ['bootable', '1'],
      ['state', INITIALISING],
      ['dev', vdev],
      ['type', diskTypes[name.kind] ?? name.kind],
      ['mode', access],
      ['device-type', devtype],
      ...given('direct-io-safe', config.directIoSafe ? '1' : undefined),
      ['discard-enable', flag(discard ?? access === 'w')],
      ['specification', 'xen'],
    ],
    front: [
      ['backend-id', `${name.backendDomid}`],
      ['state', INITIALISING],
      ['virtual-device', `${name.devid}`],
      ['device-type', devtype],
      ['trusted', flag(trusted)],
      // Linux before 2.6.26 does not say it itself.
      ...given('protocol', domainType === 'pv' ? 'x86_64-abi' : undefined),
    ],
    frontReadOnly: [],
  };
}

function vifKeys({ backendDomid, frontendDomid, devid }: DeviceName, config: VifConfig): DeviceKeys {
  const { script, vifname, mac = '', ip, gatewaydev, rate, mtu = DEFAULT_MTU, vlan, type, trusted } = config;
  return {
    back: [
      ['frontend-id', `${frontendDomid}`],
      ['online', '1'],
      ['state', INITIALISING],
      ...given('script', script),
      ...given('vifname', vifname),
      ['mac', mac],
      ...given('ip', ip),
      ...given('gatewaydev', gatewaydev),
      ...given('rate', rate && `${rate.bytes},${rate.intervalUs}`),
      ...given('mtu', mtu === DEFAULT_MTU ? undefined : `${mtu}`),
      ...given('vlan', vlan),
      ['bridge', config.bridge ?? DEFAULT_BRIDGE],
      ['handle', `${devid}`],
      ['type', type === 'ioemu' ? 'vif_ioemu' : 'vif'],
      ['hotplug-status', ''],
    ],
    front: [
      ['backend-id', `${backendDomid}`],
      ['state', INITIALISING],
      ['handle', `${devid}`],
      ['mac', mac],
      ['trusted', flag(trusted)],
    ],
    frontReadOnly: [['mtu', `${mtu}`]],
  };
}

function socketsKeys({ backendDomid, frontendDomid }: DeviceName, _config: SocketsConfig): DeviceKeys {
  return {
    back: [
      ['frontend-id', `${frontendDomid}`],
      ['online', '1'],
      ['state', INITIALISING],
    ],
    front: [
      ['backend-id', `${backendDomid}`],
      ['state', INITIALISING],
    ],
    frontReadOnly: [],
  };
}

function given(key: string, value: string | undefined): Key[] {
  return value === undefined ? [] : [[key, value]];
}

function flag(set: boolean): string {
  return set ? '1' : '0';
}

function perms(owner: number, reader: number): readonly PermEntry[] {
  return [
    { letter: 'n', domid: owner },
    { letter: 'r', domid: reader },
  ];
}

function below(directory: string, keys: readonly Key[], perms?: readonly PermEntry[]): NodeSpec[] {
  return keys.map(([key, value]) => ({
    path: `${directory}/${key}`,
    value,
    ...(perms === undefined ? {} : { perms }),
  }));
}
