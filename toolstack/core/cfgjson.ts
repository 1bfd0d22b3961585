/**
 * A domain's configuration with the names that libxl gives things (libxl_types.idl): what `xl list -l` and a dry run show. What is as libxl's own
 * default is left out, as there.
 */
import type {
  DeviceConfig,
  DiskConfig,
  DomainConfig,
  EventAction,
  SocketsConfig,
  VifConfig,
} from './config.ts';

export type Json = string | number | boolean | readonly Json[] | { readonly [key: string]: Json };

type Entry = readonly [key: string, value: Json | undefined];

export function configJson(config: DomainConfig): Json {
  const { disks, vifs, sockets } = config;
  const kib = (mb: number): number => mb * 1024;
  return object([
    [
      'c_info',
      object([
        ['type', config.type],
        ['name', config.name],
        ['uuid', config.uuid],
        ['driver_domain', config.driverDomain ? 'True' : undefined],
      ]),
    ],
    [
      'b_info',
      object([
        ['max_vcpus', config.maxvcpus],
        ['avail_vcpus', Array.from({ length: config.vcpus }, (_, vcpu) => vcpu)],
        ['max_memkb', kib(config.maxmemMb)],
        ['target_memkb', kib(config.memoryMb)],
        ['kernel', config.kernel],
        ['cmdline', config.cmdline === '' ? undefined : config.cmdline],
        ['ramdisk', config.ramdisk],
        ['device_model', config.deviceModel],
        ['serial', config.serial],
        [`type.${config.type}`, {}],
      ]),
    ],
    ['disks', listed(disks.map(diskJson))],
    ['nics', listed(vifs.map(vifJson))],
    ['pvcallsifs', listed(sockets.map(socketsJson))],
    ['on_poweroff', action(config.onPoweroff)],
    ['on_reboot', action(config.onReboot)],
    ['on_watchdog', action(config.onWatchdog)],
    ['on_crash', action(config.onCrash)],
    ['on_soft_reset', action(config.onSoftReset)],
    ['vm_data', Object.keys(config.data).length === 0 ? undefined : config.data],
  ]);
}

export function deviceJson(device: DeviceConfig): Json {
  switch (device.kind) {
    case 'vbd':
      return diskJson(device);
    case 'vif':
      return vifJson(device);
    case 'pvcalls':
      return socketsJson(device);
  }
}

function diskJson(disk: DiskConfig): Json {
  const cdrom = disk.devtype === 'cdrom';
  return object([
    ['backend_domname', disk.backend],
    ['pdev_path', disk.target === '' ? undefined : disk.target],
    ['vdev', disk.vdev],
    ['backend', disk.backendtype],
    ['format', disk.format],
    ['script', disk.script],
    ['removable', cdrom ? 1 : undefined],
    ['readwrite', disk.access === 'w' ? 1 : undefined],
    ['is_cdrom', cdrom ? 1 : undefined],
    ['direct_io_safe', disk.directIoSafe || undefined],
    ['discard_enable', disk.discard === undefined ? undefined : truth(disk.discard)],
    ['trusted', disk.trusted ? undefined : truth(false)],
  ]);
}

function vifJson(vif: VifConfig): Json {
  return object([
    ['backend_domname', vif.backend],
    ['devid', vif.devid],
    ['mtu', vif.mtu],
    ['model', vif.model],
    ['mac', vif.mac],
    ['ip', vif.ip],
    ['bridge', vif.bridge],
    ['ifname', vif.vifname],
    ['script', vif.script],
    ['nictype', vif.type === undefined ? undefined : vif.type === 'ioemu' ? 'vif_ioemu' : 'vif'],
    ['rate_bytes_per_interval', vif.rate?.bytes || undefined],
    ['rate_interval_usecs', vif.rate?.intervalUs],
    ['gatewaydev', vif.gatewaydev],
    ['vlan', vif.vlan],
    ['trusted', vif.trusted ? undefined : truth(false)],
  ]);
}

function socketsJson({ backend, devid }: SocketsConfig): Json {
  return object([
    ['backend_domname', backend],
    ['devid', devid],
  ]);
}

/** In libxl's words; the first of them it leaves out. */
function action(what: EventAction): string | undefined {
  if (what === 'destroy') return undefined;
  return what === 'rename-restart' ? 'restart_rename' : what.replaceAll('-', '_');
}

function truth(value: boolean): string {
  return value ? 'True' : 'False';
}

function listed(items: readonly Json[]): Json | undefined {
  return items.length === 0 ? undefined : items;
}

function object(entries: readonly Entry[]): Json {
  return Object.fromEntries(entries.filter((entry): entry is [string, Json] => entry[1] !== undefined));
}
