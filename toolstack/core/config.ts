/**
 * What a domain is to be: what an xl.cfg says, with nothing yet decided that only a host can decide (ids, who serves a device). Follows
 * xl.cfg(5), xl-disk-configuration(5) and xl-network-configuration(5). Knows no file and no text: toolstack/core/cfg.ts reads those.
 */

export type DomainType = 'pv' | 'pvh' | 'hvm';

/** What becomes of a domain that ended (xl.cfg, "Event Actions"). */
export const eventActions = [
  'destroy',
  'restart',
  'rename-restart',
  'preserve',
  'coredump-destroy',
  'coredump-restart',
  'soft-reset',
] as const;
export type EventAction = (typeof eventActions)[number];

export interface DiskConfig {
  readonly kind: 'vbd';
  /** Path of a file or block device; empty: no medium (cdrom only). */
  readonly target: string;
  readonly format: 'raw' | 'qcow' | 'qcow2' | 'vhd' | 'qed' | 'empty';
  /** `xvda`, `sdb`, `hda1`, `d0p0` ... */
  readonly vdev: string;
  readonly access: 'r' | 'w';
  readonly devtype: 'disk' | 'cdrom';
  /** Name or id of the domain that serves it; undefined: the host's. */
  readonly backend: string | undefined;
  readonly backendtype: 'phy' | 'tap' | 'qdisk' | 'standalone' | undefined;
  readonly script: string | undefined;
  /** undefined: where it may be written to. */
  readonly discard: boolean | undefined;
  readonly directIoSafe: boolean;
  /** Does its guest trust who serves it? */
  readonly trusted: boolean;
}

export interface VifConfig {
  readonly kind: 'vif';
  /** Lower case; undefined: one is made below 00:16:3e. */
  readonly mac: string | undefined;
  readonly bridge: string | undefined;
  /** As written, for the backend's script; on the simulator the guest's own address, `10.53.0.9/24` or `dhcp`. */
  readonly ip: string | undefined;
  readonly gatewaydev: string | undefined;
  readonly mtu: number | undefined;
  /** Bytes an interval, and the interval. */
  readonly rate: { readonly bytes: number; readonly intervalUs: number } | undefined;
  readonly vlan: string | undefined;
  readonly model: string | undefined;
  readonly type: 'vif' | 'ioemu' | undefined;
  readonly vifname: string | undefined;
  readonly script: string | undefined;
  /** undefined: the next one. */
  readonly devid: number | undefined;
  readonly backend: string | undefined;
  readonly trusted: boolean;
}

/** `pvcalls=["backend=DOM"]`, and ours, `xensock=[...]`, which means the same. */
export interface SocketsConfig {
  readonly kind: 'pvcalls';
  readonly devid: number | undefined;
  readonly backend: string | undefined;
}

export type DeviceConfig = DiskConfig | VifConfig | SocketsConfig;

export interface DomainConfig {
  readonly name: string;
  readonly type: DomainType;
  /** 36 characters, lower case; undefined: made up. */
  readonly uuid: string | undefined;
  /** On the simulator a guest program: a built-in name (`guest`, `blkback` ...) or a file's path; undefined: `guest`. */
  readonly kernel: string | undefined;
  readonly ramdisk: string | undefined;
  /** Kernel command line (`extra` and `root`, or `cmdline`); on the simulator the program's arguments. */
  readonly cmdline: string;
  readonly memoryMb: number;
  /** At least memoryMb. */
  readonly maxmemMb: number;
  readonly vcpus: number;
  readonly maxvcpus: number;
  readonly disks: readonly DiskConfig[];
  readonly vifs: readonly VifConfig[];
  readonly sockets: readonly SocketsConfig[];
  /** What goes to whoever a guest's serial port is emulated by; undefined: none. `pty`. */
  readonly serial: string | undefined;
  /** On the simulator: `serial` starts this project's small ioreq server in a domain of its own. */
  readonly deviceModel: string | undefined;
  /** It serves devices of other domains. */
  readonly driverDomain: boolean;
  readonly onPoweroff: EventAction;
  readonly onReboot: EventAction;
  readonly onCrash: EventAction;
  readonly onWatchdog: EventAction;
  readonly onSoftReset: EventAction;
  /** For the guest's own use, below `vm-data` (ours: `vm_data=["key=value"]`). */
  readonly data: Readonly<Record<string, string>>;
}
