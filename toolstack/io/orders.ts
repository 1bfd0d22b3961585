/**
 * What may be asked of a toolstack over its socket, and in which shape: JSON schemas of the arguments, by the names of core/toolstack.ts. Anything else is
 * refused before anybody looks at it.
 */
import { join } from 'node:path';
import {
  type DeviceConfig,
  type DiskConfig,
  type DomainConfig,
  eventActions,
  type SocketsConfig,
  type VifConfig,
} from '../core/config.ts';
import type { Progress } from '../core/toolstack.ts';
import type { Toolstack } from './toolstack.ts';

/** Where it answers, for the host in this run directory. */
export function toolstackSocket(run: string): string {
  return join(run, 'toolstack', 'socket');
}

export type OrderName = Exclude<keyof Toolstack, 'close' | 'reader'>;

/** As JSON carries it: what is undefined is left out. */
type Schema = Readonly<Record<string, unknown>>;

/** A line of an answer: how far it has come, and at the end what came of it. */
export type AnswerLine =
  | { readonly progress: Progress }
  | { readonly result: unknown }
  | { readonly fault: { readonly message: string; readonly kind?: string; readonly exitCode: number } }
  /** A mistake of ours. */
  | { readonly error: string };

const text = { type: 'string', maxLength: 4096 } as const;
const bool = { type: 'boolean' } as const;
const count = { type: 'integer', minimum: 0, maximum: 2 ** 40 } as const;
const devid = { type: 'integer', minimum: 0, maximum: 2 ** 32 - 1 } as const;

function oneOf(...values: readonly string[]): Schema {
  return { enum: values };
}

/** `optional`: fields that may be left out. */
function shape<Name extends string>(
  fields: Readonly<Record<Name, Schema>>,
  optional: readonly Name[] = [],
): Schema {
  const required = (Object.keys(fields) as Name[]).filter((name) => !optional.includes(name));
  return { type: 'object', additionalProperties: false, properties: fields, required };
}

function list(items: Schema): Schema {
  return { type: 'array', items, maxItems: 1024 };
}

const disk: Record<keyof DiskConfig, Schema> = {
  kind: { const: 'vbd' },
  target: text,
  format: oneOf('raw', 'qcow', 'qcow2', 'vhd', 'qed', 'empty'),
  vdev: text,
  access: oneOf('r', 'w'),
  devtype: oneOf('disk', 'cdrom'),
  backend: text,
  backendtype: oneOf('phy', 'tap', 'qdisk', 'standalone'),
  script: text,
  discard: bool,
  directIoSafe: bool,
  trusted: bool,
};

const vif: Record<keyof VifConfig, Schema> = {
  kind: { const: 'vif' },
  mac: { type: 'string', pattern: '^[0-9a-f]{2}(:[0-9a-f]{2}){5}$' },
  bridge: text,
  ip: text,
  gatewaydev: text,
  mtu: { type: 'integer', minimum: 68, maximum: 65_535 },
  rate: shape({ bytes: count, intervalUs: count }),
  vlan: text,
  model: text,
  type: oneOf('vif', 'ioemu'),
  vifname: text,
  script: text,
  devid,
  backend: text,
  trusted: bool,
};

const sockets: Record<keyof SocketsConfig, Schema> = { kind: { const: 'pvcalls' }, devid, backend: text };

const diskShape = shape(disk, ['backend', 'backendtype', 'script', 'discard']);
const vifShape = shape(
  vif,
  (Object.keys(vif) as (keyof VifConfig)[]).filter((name) => name !== 'kind' && name !== 'trusted'),
);
const socketsShape = shape(sockets, ['devid', 'backend']);

const event = oneOf(...eventActions);

const config: Record<keyof DomainConfig, Schema> = {
  name: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[^\\u0000-\\u001f/]+$' },
  type: oneOf('pv', 'pvh', 'hvm'),
  uuid: { type: 'string', pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' },
  kernel: text,
  ramdisk: text,
  cmdline: text,
  memoryMb: { type: 'integer', minimum: 1, maximum: 1 << 20 },
  maxmemMb: { type: 'integer', minimum: 1, maximum: 1 << 20 },
  vcpus: { type: 'integer', minimum: 1, maximum: 128 },
  maxvcpus: { type: 'integer', minimum: 1, maximum: 128 },
  disks: list(diskShape),
  vifs: list(vifShape),
  sockets: list(socketsShape),
  serial: text,
  deviceModel: text,
  driverDomain: bool,
  onPoweroff: event,
  onReboot: event,
  onCrash: event,
  onWatchdog: event,
  onSoftReset: event,
  data: {
    type: 'object',
    additionalProperties: { type: 'string', maxLength: 2048 },
    propertyNames: { pattern: '^[A-Za-z0-9_@:-]+(/[A-Za-z0-9_@:-]+)*$', maxLength: 256 },
    maxProperties: 256,
  },
};

const order = shape({
  config: shape(config, ['uuid', 'kernel', 'ramdisk', 'serial', 'deviceModel']),
  start: oneOf('running', 'paused'),
});
const domain = { type: 'string', minLength: 1, maxLength: 255 } as const;
const kind: Record<DeviceConfig['kind'], true> = { vbd: true, vif: true, pvcalls: true };
const kinds = oneOf(...Object.keys(kind));

/** Of the body of each order. */
export const orderSchemas: Readonly<Record<OrderName, Schema>> = {
  list: shape({}),
  info: shape({}),
  plan: shape({ order }),
  create: shape({ order }),
  destroy: shape({ domain }),
  shutdown: shape({ domain, how: oneOf('poweroff', 'reboot', 'halt'), wait: oneOf('wait', 'return') }),
  pause: shape({ domain }),
  unpause: shape({ domain }),
  rename: shape({ domain, name: config.name }),
  sysrq: shape({ domain, letter: { type: 'string', minLength: 1, maxLength: 1 } }),
  devices: shape({ domain, kind: kinds }),
  attach: shape({ domain, device: { anyOf: [diskShape, vifShape, socketsShape] } }),
  detach: shape({
    domain,
    kind: kinds,
    device: { type: 'string', maxLength: 255 },
    how: oneOf('orderly', 'force'),
  }),
  consoleNode: shape({
    domain,
    type: oneOf('pv', 'serial'),
    number: { type: 'integer', minimum: 0, maximum: 255 },
  }),
  readNode: shape({ path: text }),
  dmesg: shape({ clear: oneOf('clear', 'keep') }),
  gc: shape({}),
};
