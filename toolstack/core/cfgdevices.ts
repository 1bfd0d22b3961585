/**
 * Devices in the words of xl.cfg and of `block-attach` and its like: a vif as in xl-network-configuration(5), sockets (PV Calls) as in xl.cfg(5),
 * and what all parsers of devices answer. xl goes on after what it does not know; here that is a mistake.
 */
import { parseRate } from './cfgrate.ts';
import type { SocketsConfig, VifConfig } from './config.ts';

export { parseDisk } from './cfgdisk.ts';

/** `ignored`: parts that mean something to xl and are not acted upon here. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T; readonly ignored: readonly string[] }
  | { readonly ok: false; readonly error: string };

type Draft = { -readonly [K in keyof VifConfig]?: VifConfig[K] } & { readonly ignored: string[] };

const MTU_MIN = 68;
const MTU_MAX = 65_535;

/** Answers what was expected; undefined: all is well. */
type Setter = (draft: Draft, value: string) => string | undefined;

function text(
  key: 'bridge' | 'ip' | 'script' | 'vifname' | 'model' | 'vlan' | 'gatewaydev' | 'backend',
): Setter {
  return (draft, value) => {
    if (value === '') return `something behind ${key}=`;
    draft[key] = value;
    return undefined;
  };
}

const setters: Readonly<Record<string, Setter>> = {
  mac(draft, value) {
    const mac = parseMac(value);
    if (mac === undefined) return 'mac= and six bytes, 00:16:3e:12:34:56';
    draft.mac = mac;
    return undefined;
  },
  type(draft, value) {
    if (value !== 'vif' && value !== 'ioemu') return 'type=vif or type=ioemu';
    draft.type = value;
    return undefined;
  },
  rate(draft, value) {
    draft.rate = parseRate(value);
    return draft.rate === undefined ? 'rate= as 10Mb/s or 250KB/s@20ms' : undefined;
  },
  mtu(draft, value) {
    draft.mtu = number(value, MTU_MIN, MTU_MAX);
    return draft.mtu === undefined ? `mtu= and bytes, from ${MTU_MIN} to ${MTU_MAX}` : undefined;
  },
  devid(draft, value) {
    draft.devid = number(value, 0, 65_535);
    return draft.devid === undefined ? 'devid= and a number' : undefined;
  },
  bridge: text('bridge'),
  ip: text('ip'),
  script: text('script'),
  vifname: text('vifname'),
  model: text('model'),
  vlan: text('vlan'),
  gatewaydev: text('gatewaydev'),
  netdev: text('gatewaydev'),
  backend: text('backend'),
};

/** Of COLO, and older. */
const IGNORED = /^(accel|forwarddev|colo_[a-z0-9_]+)$/;

/** One vif: `mac=...,bridge=...`, or a word each. Never throws. */
export function parseVif(words: readonly string[]): Parsed<VifConfig> {
  const draft: Draft = { ignored: [] };
  for (const part of parts(words)) {
    const expected = readPart(draft, part);
    if (expected !== undefined) return { ok: false, error: `vif: expected ${expected}, not ${part}` };
  }
  const { ignored, ...given } = draft;
  return { ok: true, value: { ...emptyVif, ...given }, ignored };
}

/** `backend=DOM`, or nothing. Never throws. */
export function parseSockets(words: readonly string[]): Parsed<SocketsConfig> {
  let backend: string | undefined;
  for (const part of parts(words)) {
    backend = /^backend=(.+)$/s.exec(part)?.[1];
    if (backend === undefined)
      return { ok: false, error: `sockets: expected backend= and a domain, or nothing, not ${part}` };
  }
  return { ok: true, value: { kind: 'pvcalls', devid: undefined, backend }, ignored: [] };
}

const emptyVif: VifConfig = {
  kind: 'vif',
  mac: undefined,
  bridge: undefined,
  ip: undefined,
  gatewaydev: undefined,
  mtu: undefined,
  rate: undefined,
  vlan: undefined,
  model: undefined,
  type: undefined,
  vifname: undefined,
  script: undefined,
  devid: undefined,
  backend: undefined,
  trusted: true,
};

function readPart(draft: Draft, part: string): string | undefined {
  if (part === 'trusted' || part === 'untrusted') {
    draft.trusted = part === 'trusted';
    return undefined;
  }
  const equals = part.indexOf('=');
  const key = part.slice(0, equals);
  if (equals > 0 && Object.hasOwn(setters, key)) return setters[key]!(draft, part.slice(equals + 1));
  if (equals < 0 || !IGNORED.test(key))
    return 'mac=, bridge=, ip=, rate= or another key of xl-network-configuration(5)';
  draft.ignored.push(key);
  return undefined;
}

/** As strtok: what is empty is nothing. */
function parts(words: readonly string[]): string[] {
  return words.flatMap((word) =>
    word
      .split(',')
      .filter((part) => part !== '')
      .map((part) => part.replace(/^ +/, '')),
  );
}

function parseMac(text: string): string | undefined {
  const bytes = text.split(/[:-]/);
  if (bytes.length !== 6 || !bytes.every((byte) => /^[0-9a-f]{1,2}$/i.test(byte))) return undefined;
  return bytes.map((byte) => byte.toLowerCase().padStart(2, '0')).join(':');
}

function number(text: string, min: number, max: number): number | undefined {
  if (!/^[0-9]{1,9}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}
