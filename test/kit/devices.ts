/**
 * Devices as a toolstack makes and takes them: both ends' nodes written and removed as libxl does, what every kind of device wants filled in. Knows no
 * backend and no driver.
 */
import type { DeviceNode } from '../../xenstored/xenbus/attach.ts';
import { deviceNodes } from '../../xenstored/xenbus/attach.ts';
import type { Keys } from '../../xenstored/xenbus/backend-events.ts';
import {
  backendPath,
  type DeviceName,
  errorPath,
  frontendPath,
  libxlPath,
} from '../../xenstored/xenbus/path.ts';
import { parseState, stateName, type XenbusState } from '../../xenstored/xenbus/state.ts';
import type { Nodes } from './nodes.ts';

export interface DeviceOrder {
  /** The backend's directory: `vbd`, `vif`, or a kind of one's own. */
  readonly kind: string;
  readonly guest: { readonly domid: number };
  /** Default: 0; a disk's 51712 (xvda). */
  readonly devid?: number;
  /** Who serves it. Default: the control domain. */
  readonly in?: { readonly domid: number };
  /** Keys of each end besides those that every device has. `vbd` and `vif` have some that can be replaced. */
  readonly backend?: Keys;
  readonly frontend?: Keys;
  /** Keys in the frontend's directory that the guest may not change. */
  readonly frontendReadOnly?: Keys;
}

interface Defaults {
  readonly devid: number;
  readonly backend: Keys;
  readonly frontend: Keys;
  readonly frontendReadOnly: Keys;
}

/** What libxl writes for kinds that it knows. */
function defaultsOf(kind: string, devid: number | undefined): Defaults {
  const nothing = { devid: devid ?? 0, backend: {}, frontend: {}, frontendReadOnly: {} };
  if (kind === 'vbd') {
    const id = devid ?? 51712;
    const drive = { 'device-type': 'disk' };
    return {
      ...nothing,
      devid: id,
      backend: { ...drive, mode: 'w', type: 'phy', dev: 'xvda', removable: '0', params: '/disk' },
      frontend: { ...drive, 'virtual-device': `${id}` },
    };
  }
  if (kind !== 'vif') return nothing;
  const mac = `00:16:3e:00:00:${nothing.devid.toString(16).padStart(2, '0')}`;
  return {
    ...nothing,
    backend: { handle: `${nothing.devid}`, type: 'vif', mac },
    frontend: { handle: `${nothing.devid}` },
    frontendReadOnly: { mac },
  };
}

/** A device in the store. */
export class Device {
  readonly name: DeviceName;
  /** Its directories: `host.read(`${device.back}/sectors`)`. */
  readonly back: string;
  readonly front: string;
  readonly #nodes: Nodes;

  constructor(nodes: Nodes, name: DeviceName) {
    this.#nodes = nodes;
    this.name = name;
    this.back = backendPath(name);
    this.front = frontendPath(name);
  }

  /** What the ends' state nodes say now; 0: no such node. */
  get states(): { readonly back: XenbusState; readonly front: XenbusState } {
    const state = (path: string): XenbusState => parseState(this.#nodes.read(`${path}/state`));
    return { back: state(this.back), front: state(this.front) };
  }

  /** Why an end gave up: its error node. */
  get errors(): { readonly back: string | undefined; readonly front: string | undefined } {
    const error = (path: string): string | undefined => this.#nodes.read(errorPath(path));
    return { back: error(this.back), front: error(this.front) };
  }

  toString(): string {
    const { states, errors } = this;
    const end = (which: 'back' | 'front'): string =>
      `${which}end ${stateName(states[which])}${errors[which] === undefined ? '' : ` (${errors[which]})`}`;
    return `${this.back}: ${end('back')}, ${end('front')}`;
  }
}

/** Writes a device's nodes. */
export function attachDevice(nodes: Nodes, order: DeviceOrder): Device {
  const { kind, guest } = order;
  const defaults = defaultsOf(kind, order.devid);
  const backendDomid = order.in?.domid ?? 0;
  const name = { kind, backendDomid, frontendDomid: guest.domid, devid: defaults.devid };
  const device = new Device(nodes, name);
  const written: readonly DeviceNode[] = deviceNodes({
    device: name,
    backend: { ...defaults.backend, ...order.backend },
    frontend: { ...defaults.frontend, ...order.frontend },
    frontendReadOnly: { ...defaults.frontendReadOnly, ...order.frontendReadOnly },
  });
  nodes.together(() => {
    for (const path of [device.front, device.back, libxlPath(name)])
      if (nodes.read(path) !== undefined) nodes.remove(path);
    for (const { path, value, perms } of written) {
      nodes.write(path, value);
      nodes.setPerms(path, perms);
    }
  });
  return device;
}

/** Asks the backend to let go. */
export function orderDetach(nodes: Nodes, { back }: Device): void {
  const state = nodes.read(`${back}/state`);
  if (state === undefined) return;
  nodes.together(() => {
    nodes.write(`${back}/online`, '0');
    if (state !== '6') nodes.write(`${back}/state`, '5');
  });
}

/** Removes a device's nodes, and what is empty above them. */
export function removeDevice(nodes: Nodes, { name, front, back }: Device): void {
  for (const path of [front, back, libxlPath(name)]) {
    nodes.remove(path);
    const top = /^.*?\/(device|backend)(?=\/)/.exec(path)![0];
    let above = path.slice(0, path.lastIndexOf('/'));
    while (above.length > top.length && nodes.list(above).length === 0) {
      nodes.remove(above);
      above = above.slice(0, above.lastIndexOf('/'));
    }
  }
}
