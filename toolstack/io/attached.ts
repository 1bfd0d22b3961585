/**
 * What devices a domain has, and how they are: each is what the toolstack's own record below /libxl says, never what a guest does; their states, and what
 * either end has against one, are in the store for people to see. Changes nothing.
 */
import { type Client, XenstoreError } from '../../xenstored/client/index.ts';
import {
  backendPath,
  type DeviceName,
  errorPath,
  frontendPath,
  libxlPath,
  parseBackendPath,
} from '../../xenstored/xenbus/path.ts';
import type { DeviceConfig } from '../core/config.ts';
import { labelOf } from '../core/deviceset.ts';
import type { DeviceEntry } from '../core/toolstack.ts';
import { Fault } from './fault.ts';

type Kind = DeviceConfig['kind'];

export const deviceKinds: readonly Kind[] = ['vbd', 'vif', 'pvcalls'];

export class AttachedDevices {
  readonly #store: Client;

  constructor(store: Client) {
    this.#store = store;
  }

  /** What a domain has, in the order of kinds and then of numbers. */
  async list(domid: number, kind?: Kind): Promise<DeviceEntry[]> {
    const names = await this.names(domid, kind === undefined ? deviceKinds : [kind]);
    return await Promise.all(names.map((name) => this.entry(name)));
  }

  /** What either end has against a device of a domain: a line for each, `xvda: blkback (domain 2) says: ...`. */
  async complaints(domid: number): Promise<string[]> {
    const names = await this.names(domid, deviceKinds);
    const said = await Promise.all(
      names.map(async (name) => {
        const [vdev, text] = await Promise.all([
          this.#store.findText(`${libxlPath(name)}/dev`),
          this.said(name),
        ]);
        return text === undefined ? [] : [`${labelOf(kindOf(name), name.devid, vdev)}: ${text}`];
      }),
    );
    return said.flat();
  }

  /** By its number, its name (`xvda`, `vif0`), or a vif's mac. Throws Fault. */
  async find(domid: number, kind: Kind, text: string): Promise<DeviceEntry> {
    const wanted = text.toLowerCase();
    const entries = await this.list(domid, kind);
    const found =
      entries.find(({ name, mac }) => name === text || mac === wanted) ??
      entries.find(({ devid }) => `${devid}` === text);
    if (found === undefined) throw new Fault(`no device ${text}`, { kind: 'no device' });
    return found;
  }

  /** What the toolstack itself has written down. */
  async names(domid: number, wanted: readonly Kind[]): Promise<DeviceName[]> {
    const names: DeviceName[] = [];
    for (const kind of wanted) {
      const path = `/libxl/${domid}/device/${kind}`;
      const devids = await this.#children(path);
      for (const devid of devids.map(Number).sort((a, b) => a - b)) {
        const back = await this.#store.findText(`${path}/${devid}/backend`);
        const name = back === undefined ? undefined : parseBackendPath(back);
        if (name !== undefined) names.push(name);
      }
    }
    return names;
  }

  async entry(name: DeviceName): Promise<DeviceEntry> {
    const [front, back, libxl] = [frontendPath(name), backendPath(name), libxlPath(name)];
    const kind = kindOf(name);
    const read = (path: string): Promise<string | undefined> => this.#store.findText(path);
    const [vdev, mac, params, frontState, backState, port, txPort, ref, ref0, tx, rx] = await Promise.all([
      read(`${libxl}/dev`),
      read(`${libxl}/mac`),
      read(`${libxl}/params`),
      read(`${front}/state`),
      read(`${back}/state`),
      ...['event-channel', 'event-channel-tx', 'ring-ref', 'ring-ref0', 'tx-ring-ref', 'rx-ring-ref'].map(
        (key) => read(`${front}/${key}`),
      ),
    ]);
    const error = await this.said(name);
    return {
      kind,
      devid: name.devid,
      name: labelOf(kind, name.devid, vdev),
      domid: name.frontendDomid,
      backendDomid: name.backendDomid,
      frontendPath: front,
      backendPath: back,
      frontendState: numberOf(frontState, 0),
      backendState: numberOf(backState, 0),
      evtchn: numberOf(port ?? txPort, -1),
      ringRef: numberOf(tx ?? ref ?? ref0, -1),
      rxRingRef: numberOf(rx, -1),
      mac,
      target: params,
      ...(error !== undefined && { error }),
    };
  }

  /** What one end, the backend before the guest, has against a device. */
  async said({ frontendDomid, backendDomid, ...rest }: DeviceName): Promise<string | undefined> {
    const name = { frontendDomid, backendDomid, ...rest };
    const ends: readonly (readonly [string, number])[] = [
      [backendPath(name), backendDomid],
      [frontendPath(name), frontendDomid],
    ];
    for (const [path, domid] of ends) {
      const text = await this.#store.findText(errorPath(path));
      if (text !== undefined) return `${await this.nameOf(domid)} says: ${plain(text)}`;
    }
    return undefined;
  }

  /** For people: `blkback (domain 2)`. */
  async nameOf(domid: number): Promise<string> {
    const name = await this.#store.findText(`/local/domain/${domid}/name`);
    return name === undefined ? `domain ${domid}` : `${plain(name)} (domain ${domid})`;
  }

  async #children(path: string): Promise<string[]> {
    try {
      return await this.#store.directory(path);
    } catch (error) {
      if (error instanceof XenstoreError && error.code === 'ENOENT') return [];
      throw error;
    }
  }
}

export function kindOf({ kind }: DeviceName): Kind {
  return kind === 'vif' || kind === 'pvcalls' ? kind : 'vbd';
}

/** What others have written, as one line that does nothing to a terminal. */
function plain(text: string): string {
  return text.replace(/[^ -~]+/g, ' ').slice(0, 512);
}

/** Of a node that a guest may have written. */
export function numberOf(text: string | undefined, absent: number): number {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : absent;
}
