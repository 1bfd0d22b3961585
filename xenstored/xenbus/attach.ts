/**
 * The nodes by which a toolstack makes a device, as libxl makes them (tools/libs/light/libxl_device.c): both ends' directories with their
 * permissions, and its own record, all to be written in one transaction after leftovers of the same name are removed. To detach:
 * in one transaction `online` = 0 and, unless it is 6 already, the backend's `state` = 5; the trees are removed when it has become 6.
 */
import type { Keys } from './backend-events.ts';
import { backendPath, type DeviceName, frontendPath, libxlPath } from './path.ts';

export interface DeviceNode {
  readonly path: string;
  readonly value: string;
  /** As in SET_PERMS: `n5` is the owner with nothing for others, `r0` lets domain 0 read. */
  readonly perms: readonly string[];
}

export interface DeviceSpec {
  readonly device: DeviceName;
  /** Keys besides those that every device has. */
  readonly backend: Keys;
  readonly frontend: Keys;
  /** Keys in the frontend's directory that the guest may not change. */
  readonly frontendReadOnly: Keys;
}

/** Parents come before their children. */
export function deviceNodes({
  device,
  backend,
  frontend,
  frontendReadOnly,
}: DeviceSpec): readonly DeviceNode[] {
  const { backendDomid, frontendDomid } = device;
  const paths = { front: frontendPath(device), back: backendPath(device), libxl: libxlPath(device) };
  const guests = [`n${frontendDomid}`, `r${backendDomid}`];
  const theirs = [`n${backendDomid}`, `r${frontendDomid}`];
  const ours = ['n0'];
  const back = {
    frontend: paths.front,
    'frontend-id': `${frontendDomid}`,
    online: '1',
    state: '1',
    ...backend,
  };
  const front = { backend: paths.back, 'backend-id': `${backendDomid}`, state: '1', ...frontend };
  return [
    { path: paths.front, value: '', perms: guests },
    ...below(paths.front, front, guests),
    ...below(paths.front, frontendReadOnly, theirs),
    { path: paths.back, value: '', perms: theirs },
    ...below(paths.back, back, theirs),
    { path: paths.libxl, value: '', perms: ours },
    ...below(paths.libxl, { ...back, backend: paths.back }, ours),
  ];
}

function below(directory: string, keys: Keys, perms: readonly string[]): readonly DeviceNode[] {
  return Object.entries(keys).map(([key, value]) => ({ path: `${directory}/${key}`, value, perms }));
}
