/**
 * Where the two ends of a device live in the store (xen/docs/misc/xenstore-paths.pandoc). Makes and takes apart strings; a path that a
 * guest could have written is never taken for the identity of anybody.
 */
import { parseNumber } from './value.ts';

/** One device, named from the backend's side: `kind` is the backend's (`vbd`, `vif`, `qdisk`). */
export interface DeviceName {
  readonly backendDomid: number;
  readonly kind: string;
  readonly frontendDomid: number;
  readonly devid: number;
}

/** The frontend's name for kinds that differ: a disk is `vbd` to its guest whoever serves it. */
const frontendKinds: Readonly<Record<string, string>> = { qdisk: 'vbd', vbd3: 'vbd', xen_9pfs: '9pfs' };

function frontendKind(kind: string): string {
  return frontendKinds[kind] ?? kind;
}

/** `/local/domain/5/device/vbd/51712` */
export function frontendPath(device: DeviceName): string {
  return `/local/domain/${device.frontendDomid}/device/${frontendKind(device.kind)}/${device.devid}`;
}

/** `/local/domain/0/backend/vbd/5/51712` */
export function backendPath(device: DeviceName): string {
  return `${backendRoot(device.backendDomid, device.kind)}/${device.frontendDomid}/${device.devid}`;
}

/** What a service of a kind watches. */
export function backendRoot(backendDomid: number, kind: string): string {
  return `/local/domain/${backendDomid}/backend/${kind}`;
}

/** The toolstack's own record, which no guest can write: `/libxl/5/device/vbd/51712`. */
export function libxlPath(device: DeviceName): string {
  return `/libxl/${device.frontendDomid}/device/${frontendKind(device.kind)}/${device.devid}`;
}

/** Where an end says why it failed: `/local/domain/0/error/backend/vbd/5/51712/error`. The path must be an absolute one of a device. */
export function errorPath(devicePath: string): string {
  const [, home, rest] = /^(\/local\/domain\/\d+)\/(.+)$/.exec(devicePath)!;
  return `${home}/error/${rest}/error`;
}

const BACKEND =
  /^\/local\/domain\/(\d{1,5})\/backend\/([A-Za-z0-9_-]{1,32})\/(\d{1,5})\/(\d{1,10})(?:\/.*)?$/;

/** The device in or below whose backend directory a path lies, as a watch on the backend's root reports it; `undefined`: none. */
export function parseBackendPath(path: string): DeviceName | undefined {
  const match = BACKEND.exec(path);
  if (match === null) return undefined;
  const [backendDomid, frontendDomid] = [match[1], match[3]].map((text) => parseNumber(text, 0, 0x7fef));
  const devid = parseNumber(match[4], 0, 0xffff_ffff);
  if (backendDomid === undefined || frontendDomid === undefined || devid === undefined) return undefined;
  return { backendDomid, kind: match[2]!, frontendDomid, devid };
}
