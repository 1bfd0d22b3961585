/**
 * Devices as pairs: what both ends have written into the store, and what of it makes shared memory and a bell. Read from the backends' directories,
 * and from the frontends' for those whose backend is gone; any kind, known or not. Guests write half of it: nothing is believed but what a
 * path says. Follows xen/docs/misc/xenstore-paths.pandoc. Knows no HTTP.
 */
import { errorPath, frontendPath } from '../xenbus/path.ts';
import { parseState, stateName } from '../xenbus/state.ts';
import { childrenOf, numbersBelow, type Reader, textOf } from './reader.ts';
import type { Secrets } from './secrets.ts';
import { childOf } from './store.ts';
import { encodeText } from './value.ts';

export interface DeviceEnd {
  readonly domid: number;
  /** Its directory. */
  readonly path: string;
  /** Is there such a directory? */
  readonly there: boolean;
  /** XenbusState; 0: none. */
  readonly state: number;
  readonly state_name: string;
  /** Text by key, relative to the directory; secrets are empty. */
  readonly keys: Readonly<Record<string, string>>;
  /** Why it failed, in its words. */
  readonly error?: string;
}

export interface Rings {
  /** Grant references by key. */
  readonly refs: Readonly<Record<string, number>>;
  /** Event channel ports of the frontend's domain by key. */
  readonly evtchn: Readonly<Record<string, number>>;
  readonly protocol?: string;
}

export interface Device {
  readonly kind: string;
  readonly devid: number;
  readonly frontend: DeviceEnd;
  readonly backend: DeviceEnd;
  readonly rings: Rings;
}

const KEYS_MAX = 512;
const DEPTH_MAX = 3;
const DEVICES_MAX = 20_000;
const DOMAIN = /^\/local\/domain\/(\d{1,5})\//;
const REF = /(?:^|\/)(?:(?:tx|rx|ctrl|evt|req)-)?ring-ref\d*$/;
const PORT = /(?:^|\/)(?:(?:event-channel|evt-event-channel|req-event-channel)(?:-(?:tx|rx|ctrl))?|port)$/;

/** `domid`: only those with an end there. */
export async function devicesOf(reader: Reader, secrets: Secrets, domid?: number): Promise<Device[]> {
  const devices: Device[] = [];
  const seen = new Set<string>();
  const domids = await numbersBelow(reader, '/local/domain');
  for (const at of domids) {
    for await (const found of backendsIn(reader, at)) {
      if (devices.length >= DEVICES_MAX) return devices;
      const front = await frontendOf(reader, found);
      seen.add(front.path);
      if (domid !== undefined && found.domid !== domid && front.domid !== domid) continue;
      devices.push(await pair(reader, secrets, found, front));
    }
  }
  for (const at of domids) {
    for await (const front of frontendsIn(reader, at)) {
      if (seen.has(front.path) || devices.length >= DEVICES_MAX) continue;
      const back = await backendOf(reader, front);
      if (domid !== undefined && at !== domid && back.domid !== domid) continue;
      devices.push(await pair(reader, secrets, { ...back, kind: front.kind, devid: front.devid }, front));
    }
  }
  return devices;
}

interface Place {
  readonly domid: number;
  readonly path: string;
}

interface Found extends Place {
  readonly kind: string;
  readonly devid: number;
}

async function* backendsIn(reader: Reader, domid: number): AsyncGenerator<Found & { front: number }> {
  const root = `/local/domain/${domid}/backend`;
  for (const kind of await childrenOf(reader, root)) {
    for (const front of await numbersBelow(reader, `${root}/${kind}`)) {
      for (const devid of await numbersBelow(reader, `${root}/${kind}/${front}`)) {
        yield { domid, kind, devid, front, path: `${root}/${kind}/${front}/${devid}` };
      }
    }
  }
}

async function* frontendsIn(reader: Reader, domid: number): AsyncGenerator<Found> {
  const home = `/local/domain/${domid}`;
  for (const kind of await childrenOf(reader, `${home}/device`)) {
    for (const devid of await numbersBelow(reader, `${home}/device/${kind}`)) {
      const path = `${home}/device/${kind}/${devid}`;
      // Directories such as device/suspend are no devices.
      if ((await textOf(reader, `${path}/backend`)) !== undefined) yield { domid, kind, devid, path };
    }
  }
  if ((await textOf(reader, `${home}/console/backend`)) !== undefined)
    yield { domid, kind: 'console', devid: 0, path: `${home}/console` };
}

/** Its own word, if that is a place of the domain that the backend's path names. */
async function frontendOf(
  reader: Reader,
  { domid, kind, devid, front, path }: Found & { front: number },
): Promise<Place> {
  const said = await textOf(reader, `${path}/frontend`);
  const usual = frontendPath({ backendDomid: domid, kind, frontendDomid: front, devid });
  const own = said !== undefined && Number(DOMAIN.exec(said)?.[1]) === front && isSound(said);
  return { domid: front, path: own ? said : usual };
}

async function backendOf(reader: Reader, front: Found): Promise<Place> {
  const said = (await textOf(reader, `${front.path}/backend`)) ?? '';
  const domid = DOMAIN.exec(said)?.[1];
  if (domid !== undefined && isSound(said)) return { domid: Number(domid), path: said };
  return { domid: 0, path: `/local/domain/0/backend/${front.kind}/${front.domid}/${front.devid}` };
}

function isSound(path: string): boolean {
  return /^(?:\/[A-Za-z0-9@_-]+)+$/.test(path) && path.length < 1024;
}

async function pair(reader: Reader, secrets: Secrets, back: Found, front: Place): Promise<Device> {
  const [frontend, backend] = await Promise.all([end(reader, secrets, front), end(reader, secrets, back)]);
  return { kind: back.kind, devid: back.devid, frontend, backend, rings: ringsOf(frontend.keys) };
}

async function end(reader: Reader, secrets: Secrets, { domid, path }: Place): Promise<DeviceEnd> {
  const keys: Record<string, string> = {};
  const directory = await reader.node(path);
  if (directory !== undefined) await collect(reader, secrets, path, '', DEPTH_MAX, keys);
  const state = parseState(keys.state);
  const error = DOMAIN.test(path) ? await textOf(reader, errorPath(path)) : undefined;
  return {
    domid,
    path,
    there: directory !== undefined,
    state,
    state_name: stateName(state),
    keys,
    ...(error !== undefined && { error }),
  };
}

/** Values below a directory; a directory that has none of its own is only its children. */
async function collect(
  reader: Reader,
  secrets: Secrets,
  path: string,
  prefix: string,
  depth: number,
  keys: Record<string, string>,
): Promise<void> {
  for (const name of await childrenOf(reader, path)) {
    if (Object.keys(keys).length >= KEYS_MAX) return;
    const child = childOf(path, name);
    const node = await reader.node(child);
    if (node === undefined) continue;
    const key = `${prefix}${name}`;
    if (node.value.length > 0 || node.children.length === 0)
      keys[key] = secrets.isSecret(child) ? '' : encodeText(node.value);
    if (depth > 1 && node.children.length > 0)
      await collect(reader, secrets, child, `${key}/`, depth - 1, keys);
  }
}

function ringsOf(keys: Readonly<Record<string, string>>): Rings {
  const refs: Record<string, number> = {};
  const evtchn: Record<string, number> = {};
  for (const [key, text] of Object.entries(keys)) {
    if (!/^\d{1,10}$/.test(text)) continue;
    if (REF.test(key)) refs[key] = Number(text);
    else if (PORT.test(key)) evtchn[key] = Number(text);
  }
  const { protocol } = keys;
  return { refs, evtchn, ...(protocol !== undefined && { protocol }) };
}
