/** The paths in a domain's configuration, against another directory: what a user wrote is from where they are. Knows no file system. */
import type { DeviceConfig, DiskConfig, DomainConfig } from './config.ts';

/** `resolve` makes a path absolute. A kernel without a slash in it is the name of a built-in program, and stays one. */
export function resolvedConfig(config: DomainConfig, resolve: (path: string) => string): DomainConfig {
  const { kernel, ramdisk, disks } = config;
  return {
    ...config,
    kernel: kernel?.includes('/') === true ? resolve(kernel) : kernel,
    ramdisk: ramdisk === undefined ? undefined : resolve(ramdisk),
    disks: disks.map((disk) => resolvedDisk(disk, resolve)),
  };
}

export function resolvedDevice(device: DeviceConfig, resolve: (path: string) => string): DeviceConfig {
  return device.kind === 'vbd' ? resolvedDisk(device, resolve) : device;
}

/** A target that a script finds, or that another domain serves, is no path of ours. */
function resolvedDisk(disk: DiskConfig, resolve: (path: string) => string): DiskConfig {
  const { target, script, backend } = disk;
  if (target === '' || script !== undefined || backend !== undefined) return disk;
  return { ...disk, target: resolve(target) };
}
