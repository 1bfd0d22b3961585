/**
 * A disk in the words of xl-disk-configuration(5): positional parameters, key=value, and the prefixes of old that are still understood. Answers as
 * xl's parser (libxlu_disk_l.l), but refuses what libxl would refuse later. Opens nothing.
 */
import type { Parsed } from './cfgdevices.ts';
import type { DiskConfig } from './config.ts';
import { diskNumber, VDEV_FORMS } from './vdev.ts';

/** Thrown and caught within this file. */
class Wrong extends Error {}

interface Draft {
  target?: string;
  format?: DiskConfig['format'];
  vdev?: string;
  access?: 'r' | 'w';
  cdrom?: boolean;
  backend?: string;
  backendtype?: NonNullable<DiskConfig['backendtype']>;
  script?: string;
  discard?: boolean;
  directIoSafe?: boolean;
  trusted?: boolean;
  /** A prefix of old: no positional format follows. */
  prefixed?: boolean;
  /** A positional access has been there. */
  accessed?: boolean;
  readonly ignored: string[];
}

const formats = ['raw', 'qcow', 'qcow2', 'vhd', 'empty', 'qed'] as const;
const backendtypes = ['phy', 'tap', 'qdisk', 'standalone'] as const;
const accesses: Readonly<Record<string, 'r' | 'w'>> = { r: 'r', ro: 'r', w: 'w', rw: 'w', '': 'w' };

const flags: Readonly<Record<string, (draft: Draft) => void>> = {
  cdrom: (draft) => (draft.cdrom = true),
  'direct-io-safe': (draft) => (draft.directIoSafe = true),
  discard: (draft) => (draft.discard = true),
  'no-discard': (draft) => (draft.discard = false),
  trusted: (draft) => (draft.trusted = true),
  untrusted: (draft) => (draft.trusted = false),
  colo: (draft) => draft.ignored.push('colo'),
  'no-colo': () => {},
};

const keys: Readonly<Record<string, (draft: Draft, value: string) => void>> = {
  format: setFormat,
  access: setAccess,
  devtype(draft, value) {
    if (value !== 'cdrom' && value !== 'disk') throw new Wrong('devtype= takes cdrom or disk');
    draft.cdrom = value === 'cdrom';
  },
  backend: (draft, value) => setOnce(draft, 'backend', value),
  backendtype(draft, value) {
    const type = backendtypes.find((one) => one === value);
    if (type === undefined) throw new Wrong(`backendtype= takes ${backendtypes.join(', ')}`);
    setOnce(draft, 'backendtype', type);
  },
  specification(_draft, value) {
    if (value !== 'xen') throw new Wrong('specification= takes xen');
  },
  vdev: (draft, value) => setOnce(draft, 'vdev', value),
  script: (draft, value) => setOnce(draft, 'script', value),
  ...Object.fromEntries(
    ['grant_usage', 'colo-host', 'colo-port', 'colo-export', 'active-disk', 'hidden-disk'].map((key) => [
      key,
      (draft: Draft) => draft.ignored.push(key),
    ]),
  ),
};

const PREFIX = /^([a-z][a-z0-9]*):/;
const oldFormats: Readonly<Record<string, DiskConfig['format']>> = {
  raw: 'raw',
  qcow: 'qcow',
  qcow2: 'qcow2',
  vhd: 'vhd',
};
const oldScripts: readonly string[] = ['iscsi', 'nbd', 'enbd', 'drbd'];
const oldWords: readonly string[] = ['tapdisk', 'tap', 'tap2', 'aio', 'ioemu', 'file', 'phy'];

/** One disk; several words are parts of it, as `block-attach` takes them. Never throws. */
export function parseDisk(words: readonly string[]): Parsed<DiskConfig> {
  const draft: Draft = { ignored: [] };
  try {
    for (const word of words) readWord(draft, word);
    return { ok: true, value: finished(draft), ignored: draft.ignored };
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    return { ok: false, error: `disk: ${error.message}` };
  }
}

function readWord(draft: Draft, word: string): void {
  let rest = word;
  for (;;) {
    rest = rest.replace(/^[ \t\n]+/, '');
    if (rest === '') return;
    // The last of them by its nature: it may have commas in it.
    if (rest.startsWith('target=')) {
      setOnce(draft, 'target', rest.slice(7).replace(/,$/, ''));
      return;
    }
    const prefix = PREFIX.exec(rest)?.[1];
    if (prefix !== undefined && readPrefix(draft, prefix, rest)) {
      rest = rest.slice(prefix.length + 1);
      continue;
    }
    const comma = rest.indexOf(',');
    readParameter(draft, comma < 0 ? rest : rest.slice(0, comma));
    rest = comma < 0 ? '' : rest.slice(comma + 1);
  }
}

/** False: it is none, and part of a target. */
function readPrefix(draft: Draft, prefix: string, rest: string): boolean {
  const format = Object.hasOwn(oldFormats, prefix) ? oldFormats[prefix] : undefined;
  if (format !== undefined) setFormat(draft, format);
  else if (oldScripts.includes(prefix)) setOnce(draft, 'script', `block-${prefix}`);
  else if (!oldWords.includes(prefix)) {
    if (/^[a-z0-9]/.test(rest.slice(prefix.length + 1))) return false;
    throw new Wrong(`${prefix}: is no prefix that is known; a target with a colon in it is given as target=`);
  }
  draft.prefixed = true;
  return true;
}

function readParameter(draft: Draft, text: string): void {
  const equals = text.indexOf('=');
  const name = text.slice(0, equals);
  if (Object.hasOwn(flags, text)) flags[text]!(draft);
  else if (equals < 0) readPositional(draft, text);
  else if (Object.hasOwn(keys, name)) keys[name]!(draft, text.slice(equals + 1));
  else throw new Wrong(`${name}= is no parameter that is known; a target with = in it is given as target=`);
}

/** In their order: target, format, vdev, access. */
function readPositional(draft: Draft, text: string): void {
  if (draft.target === undefined) draft.target = text;
  else if (draft.prefixed !== true && draft.format === undefined) {
    // `,hdc:cdrom`: no target and no format.
    if (draft.target === '' && setVdevAndType(draft, text)) draft.format = 'empty';
    else setFormat(draft, text);
  } else if (draft.vdev === undefined) {
    if (!setVdevAndType(draft, text)) draft.vdev = text;
  } else if (draft.accessed !== true) {
    draft.accessed = true;
    setAccess(draft, text);
  } else throw new Wrong(`${text}: there are no more than target, format, vdev and access`);
}

/** `xvdc:cdrom`; false: it is not of that form. */
function setVdevAndType(draft: Draft, text: string): boolean {
  const colon = text.lastIndexOf(':');
  if (colon < 0) return false;
  setOnce(draft, 'vdev', text.slice(0, colon));
  const type = text.slice(colon + 1);
  if (type !== 'cdrom' && type !== 'disk') throw new Wrong(`${text}: behind the colon stands cdrom or disk`);
  draft.cdrom = type === 'cdrom';
  return true;
}

function setFormat(draft: Draft, text: string): void {
  const format = text === '' ? 'raw' : formats.find((one) => one === text);
  if (format === undefined) throw new Wrong(`${text} is no format: it is one of ${formats.join(', ')}`);
  if (draft.format !== undefined && draft.format !== format)
    throw new Wrong(`the format is both ${draft.format} and ${format}`);
  draft.format = format;
}

function setAccess(draft: Draft, text: string): void {
  const access = Object.hasOwn(accesses, text) ? accesses[text] : undefined;
  if (access === undefined) throw new Wrong(`${text} is no access: it is r or w`);
  draft.access = access;
}

/** Twice is a mistake, unless it was empty. */
function setOnce<K extends 'target' | 'vdev' | 'backend' | 'script' | 'backendtype'>(
  draft: Draft,
  key: K,
  value: NonNullable<Draft[K]>,
): void {
  const before = draft[key];
  if (before !== undefined && before !== '' && !(key === 'backendtype' && before === value))
    throw new Wrong(`${key} is given twice, ${before} and ${value}`);
  draft[key] = value;
}

function finished(draft: Draft): DiskConfig {
  const { target = '', vdev = '', cdrom = false } = draft;
  const format = cdrom && target === '' ? 'empty' : (draft.format ?? 'raw');
  if (vdev === '') throw new Wrong(`expected what the guest calls it: vdev=, or third, as ${VDEV_FORMS}`);
  if (diskNumber(vdev) === undefined)
    throw new Wrong(`${vdev} is no name for a disk: expected ${VDEV_FORMS}`);
  if (!cdrom && format === 'empty') throw new Wrong('only a cdrom can be empty');
  if (format === 'empty' && target !== '') throw new Wrong(`it is empty, and ${target} is in it`);
  if (!cdrom && target === '')
    throw new Wrong('expected what it is kept in, a file or a device, first or as target=');
  return {
    kind: 'vbd',
    target,
    format,
    vdev,
    access: cdrom ? 'r' : (draft.access ?? 'w'),
    devtype: cdrom ? 'cdrom' : 'disk',
    backend: draft.backend,
    backendtype: draft.backendtype,
    script: draft.script,
    discard: draft.discard,
    directIoSafe: draft.directIoSafe ?? false,
    trusted: draft.trusted ?? true,
  };
}
