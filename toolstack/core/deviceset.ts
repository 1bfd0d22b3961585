/**
 * The devices of a domain's configuration: their names and numbers, what is filled in before it is made, one more and one less. Knows no host.
 */
import type { DeviceConfig, DomainConfig, SocketsConfig, VifConfig } from './config.ts';
import { diskNumber } from './vdev.ts';

/** In the order in which libxl makes them. */
export function devicesIn(config: DomainConfig): DeviceConfig[] {
  return [...config.disks, ...config.vifs, ...config.sockets];
}

/** Its number below its kind; undefined: of a vif or sockets that have not been filled in, or a disk whose name is none. */
export function devidOf(device: DeviceConfig): number | undefined {
  return device.kind === 'vbd' ? diskNumber(device.vdev) : device.devid;
}

/** What people call it: `xvda`, `vif0`, `sockets0`. */
export function labelOf(kind: DeviceConfig['kind'], devid: number, vdev?: string): string {
  if (kind === 'vbd') return vdev ?? `${devid}`;
  return kind === 'vif' ? `vif${devid}` : `sockets${devid}`;
}

/**
 * Nothing left open that stays the same over a domain's life, its reboots included: numbers of interfaces as libxl counts them, their addresses.
 * `randomBytes`: so many. `taken`: addresses that others have; in 23 random bits, two of a thousand interfaces are the same one time in seventeen.
 */
export function filledIn(
  config: DomainConfig,
  randomBytes: (length: number) => Uint8Array,
  taken: Iterable<string> = [],
): DomainConfig {
  const macs = new Set([...taken, ...config.vifs.flatMap(({ mac }) => mac ?? [])]);
  return {
    ...config,
    vifs: numbered(config.vifs).map(
      (vif): VifConfig => ({ ...vif, mac: vif.mac ?? freeMac(macs, randomBytes) }),
    ),
    sockets: numbered(config.sockets),
  };
}

/** A device more, filled in; the same one if it takes the place of one that has its number. */
export function withDevice(
  config: DomainConfig,
  device: DeviceConfig,
  randomBytes: (length: number) => Uint8Array,
  taken: Iterable<string> = [],
): { readonly config: DomainConfig; readonly device: DeviceConfig } {
  const rest = withoutDevice(config, device.kind, devidOf(device));
  switch (device.kind) {
    case 'vbd':
      return { config: { ...rest, disks: [...rest.disks, device] }, device };
    case 'vif': {
      const made = filledIn({ ...rest, vifs: [...rest.vifs, device] }, randomBytes, taken);
      return { config: made, device: made.vifs.at(-1)! };
    }
    case 'pvcalls': {
      const sockets = numbered<SocketsConfig>([...rest.sockets, device]);
      return { config: { ...rest, sockets }, device: sockets.at(-1)! };
    }
  }
}

/** A device beside others of its kind, of which these numbers are known: filled in. */
export function besides<D extends DeviceConfig>(
  device: D,
  devids: readonly number[],
  randomBytes: (length: number) => Uint8Array,
): D {
  if (device.kind === 'vbd') return device;
  const devid = device.devid ?? Math.max(-1, ...devids) + 1;
  if (device.kind === 'pvcalls') return { ...device, devid };
  return { ...device, devid, mac: device.mac ?? xenMac(randomBytes(3)) };
}

/** A device less, if it has that one. */
export function withoutDevice(
  config: DomainConfig,
  kind: DeviceConfig['kind'],
  devid: number | undefined,
): DomainConfig {
  if (devid === undefined) return config;
  const others = <D extends DeviceConfig>(devices: readonly D[]): D[] =>
    devices.filter((device) => device.kind !== kind || devidOf(device) !== devid);
  return {
    ...config,
    disks: others(config.disks),
    vifs: others(config.vifs),
    sockets: others(config.sockets),
  };
}

/** The first device whose number another one of its kind has, too; undefined: all is well. */
export function deviceTwice(config: DomainConfig): DeviceConfig | undefined {
  const taken = new Set<string>();
  return devicesIn(config).find((device) => {
    const devid = devidOf(device);
    const key = `${device.kind} ${devid}`;
    if (devid === undefined || !taken.has(key)) {
      taken.add(key);
      return false;
    }
    return true;
  });
}

/** The same for people. */
export function deviceClash(config: DomainConfig): string | undefined {
  const twice = deviceTwice(config);
  if (twice === undefined) return undefined;
  return `${labelOf(twice.kind, devidOf(twice)!, twice.kind === 'vbd' ? twice.vdev : undefined)} is there twice`;
}

/** Those without a number get the next ones after the highest. */
function numbered<D extends { readonly devid: number | undefined }>(devices: readonly D[]): D[] {
  let last = Math.max(-1, ...devices.map(({ devid }) => devid ?? -1));
  return devices.map((device) => (device.devid === undefined ? { ...device, devid: ++last } : device));
}

const TRIES = 100;

/** From then on it is taken. */
function freeMac(taken: Set<string>, randomBytes: (length: number) => Uint8Array): string {
  let mac = xenMac(randomBytes(3));
  for (let tries = 1; taken.has(mac) && tries < TRIES; tries++) mac = xenMac(randomBytes(3));
  taken.add(mac);
  return mac;
}

/** Xen's own prefix, and as libxl the first bit of the rest is 0. */
function xenMac(random: Uint8Array): string {
  const bytes = [0x00, 0x16, 0x3e, random[0]! & 0x7f, random[1]!, random[2]!];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
