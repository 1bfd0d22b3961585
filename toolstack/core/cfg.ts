/**
 * xl.cfg(5): a text in, what the domain is to be out, or every mistake with its line and what was expected. Follows xl_parse.c of Xen 4.17 to 4.22 where
 * that takes something; where it goes on with a warning and a value that nobody wrote, here is a mistake. Knows no file and no host.
 */
import { type Parsed, parseSockets, parseVif } from './cfgdevices.ts';
import { parseDisk } from './cfgdisk.ts';
import { type CfgKey, keyWarning } from './cfgkeys.ts';
import { type CfgMistake, type CfgSetting, type CfgValue, readSettings } from './cfgsettings.ts';
import {
  type DeviceConfig,
  type DomainConfig,
  type DomainType,
  type EventAction,
  eventActions,
} from './config.ts';
import { deviceTwice, devidOf } from './deviceset.ts';

export type { CfgMistake };

export type CfgResult =
  | { readonly ok: true; readonly config: DomainConfig; readonly warnings: readonly CfgMistake[] }
  /** In the order of their lines; at least one. */
  | { readonly ok: false; readonly errors: readonly CfgMistake[]; readonly warnings: readonly CfgMistake[] };

/** As libxl's. */
const DEFAULT_MEMORY_MB = 32;
const MEMORY_MAX_MB = 2 ** 31 - 1;
const VCPUS_MAX = 4096;

/** Never throws. `reader`: xl reads it as well, and what means something to xl alone is right. */
export function parseCfg(text: string, reader?: 'xl'): CfgResult {
  const { settings, errors } = readSettings(text);
  const form = new Form(settings, reader);
  const config = configOf(form);
  const twice = deviceTwice(config);
  if (twice?.kind === 'vbd') form.complain('disk', `expected each disk once: ${twice.vdev} is there twice`);
  else if (twice !== undefined)
    form.complain('vif', `expected each devid once: ${devidOf(twice)} is there twice`);
  const all = [...errors, ...form.errors].sort((a, b) => a.line - b.line);
  const warnings = [...form.warnings].sort((a, b) => a.line - b.line);
  return all.length === 0 ? { ok: true, config, warnings } : { ok: false, errors: all, warnings };
}

/** `g1.cfg:3: expected ...` */
export function mistakeLine(file: string, { line, text }: CfgMistake): string {
  return `${file}:${line}: ${text}`;
}

function configOf(form: Form): DomainConfig {
  const memoryMb = form.number('memory', 1, MEMORY_MAX_MB) ?? DEFAULT_MEMORY_MB;
  const vcpus = form.number('vcpus', 1, VCPUS_MAX) ?? 1;
  const maxmemMb = form.number('maxmem', 1, MEMORY_MAX_MB) ?? memoryMb;
  const maxvcpus = form.number('maxvcpus', 1, VCPUS_MAX) ?? vcpus;
  if (maxmemMb < memoryMb)
    form.complain('maxmem', `expected maxmem of at least memory, which is ${memoryMb}`);
  if (maxvcpus < vcpus) form.complain('maxvcpus', `expected maxvcpus of at least vcpus, which are ${vcpus}`);
  return {
    name: nameOf(form),
    type: typeOf(form),
    uuid: uuidOf(form),
    kernel: form.text('kernel'),
    ramdisk: form.text('ramdisk'),
    cmdline: cmdlineOf(form),
    memoryMb,
    maxmemMb,
    vcpus,
    maxvcpus,
    disks: form.devices('disk', parseDisk),
    vifs: form.devices('vif', parseVif),
    sockets: [...form.devices('pvcalls', parseSockets), ...form.devices('xensock', parseSockets)],
    serial: serialOf(form),
    deviceModel: deviceModelOf(form),
    driverDomain: (form.number('driver_domain', -(2 ** 31), 2 ** 31 - 1) ?? 0) !== 0,
    onPoweroff: actionOf(form, 'on_poweroff', 'destroy'),
    onReboot: actionOf(form, 'on_reboot', 'restart'),
    onCrash: actionOf(form, 'on_crash', 'destroy'),
    onWatchdog: actionOf(form, 'on_watchdog', 'destroy'),
    onSoftReset: actionOf(form, 'on_soft_reset', 'soft-reset'),
    data: dataOf(form),
  };
}

function nameOf(form: Form): string {
  const name = form.text('name');
  if (name === undefined) {
    if (!form.has('name')) form.complain('name', 'expected a name for the domain: name="..."');
    return '';
  }
  if (!/^[A-Za-z0-9_.+:@-]{1,128}$/.test(name) || /^\.*$/.test(name))
    form.complain('name', 'expected a name of at most 128 letters, digits and _ . + : @ -');
  else if (/^[0-9]+$/.test(name))
    form.complain('name', `expected a name, not a number, which ${name} would be taken for`);
  return name;
}

function typeOf(form: Form): DomainType {
  const types: readonly DomainType[] = ['pv', 'pvh', 'hvm'];
  const type = form.word('type', types);
  const builder = form.word('builder', ['generic', 'hvm']);
  const built = builder === undefined ? undefined : builder === 'hvm' ? 'hvm' : 'pv';
  if (built !== undefined && type !== undefined && built !== type)
    form.complain('builder', `expected a builder that fits type="${type}"`);
  return type ?? built ?? 'pv';
}

function uuidOf(form: Form): string | undefined {
  const uuid = form.text('uuid')?.toLowerCase();
  if (uuid !== undefined && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid))
    form.complain('uuid', 'expected a uuid of 32 hexadecimal digits, 8-4-4-4-12');
  return uuid;
}

function cmdlineOf(form: Form): string {
  const [whole, root, extra] = [form.text('cmdline'), form.text('root'), form.text('extra')];
  if (whole === undefined)
    return [...(root === undefined ? [] : [`root=${root}`]), extra ?? []].flat().join(' ');
  if (root !== undefined || extra !== undefined)
    form.warn('cmdline', 'cmdline is taken, and root and extra are not');
  return whole;
}

/** A string, or a list with one. */
function serialOf(form: Form): string | undefined {
  const serial = form.list('serial') ?? [];
  if (serial.length > 1 && form.reader !== 'xl') form.complain('serial', 'expected one serial port');
  const port = serial[0];
  if (port !== undefined && port !== 'pty' && form.reader !== 'xl')
    form.complain('serial', 'expected serial="pty"');
  return port;
}

function deviceModelOf(form: Form): string | undefined {
  const model = form.text('device_model');
  if (model === 'serial' && form.reader === 'xl')
    form.complain('device_model', 'expected no device_model="serial": that is the simulator\'s');
  else if (model?.startsWith('/') === true)
    form.complain(
      'device_model',
      'expected device_model="serial", or none: paths of device models are of old',
    );
  else if (model !== undefined && model !== 'serial')
    form.complain('device_model', 'expected device_model="serial"');
  return model;
}

function actionOf(form: Form, key: CfgKey, usual: EventAction): EventAction {
  return form.word(key, eventActions) ?? usual;
}

function dataOf(form: Form): Record<string, string> {
  const data: Record<string, string> = {};
  for (const entry of form.list('vm_data') ?? []) {
    const [, key, value] = /^([A-Za-z0-9_@/-]+)=(.*)$/s.exec(entry) ?? [];
    if (key === undefined || /^\/|\/$|\/\//.test(key) || key.length > 256)
      form.complain('vm_data', `expected key=value, not ${entry.slice(0, 40)}`);
    else data[key] = value!;
  }
  return data;
}

/** The settings as a form that is filled in: asks for what it expects, and notes what it finds instead. */
class Form {
  readonly errors: CfgMistake[] = [];
  readonly warnings: CfgMistake[] = [];
  readonly reader: 'xl' | undefined;
  readonly #settings: ReadonlyMap<string, CfgSetting>;

  constructor(settings: ReadonlyMap<string, CfgSetting>, reader: 'xl' | undefined) {
    this.#settings = settings;
    this.reader = reader;
    for (const { name, line } of settings.values()) {
      const text = keyWarning(name, reader);
      if (text !== undefined) this.warnings.push({ line, text });
    }
  }

  has(key: CfgKey): boolean {
    return this.#settings.has(key);
  }

  /** A mistake in the line of a setting, or in the first one where that is missing. */
  complain(key: CfgKey, text: string): void {
    this.errors.push({ line: this.#line(key), text });
  }

  warn(key: CfgKey, text: string): void {
    this.warnings.push({ line: this.#line(key), text });
  }

  text(key: CfgKey): string | undefined {
    const setting = this.#settings.get(key);
    if (setting === undefined) return undefined;
    if (setting.value.kind === 'atom') return setting.value.text;
    this.complain(key, `expected one value for ${key}, not a list`);
    return undefined;
  }

  word<W extends string>(key: CfgKey, words: readonly W[]): W | undefined {
    const text = this.text(key);
    const word = words.find((one) => one === text);
    if (text !== undefined && word === undefined)
      this.complain(key, `expected ${key} to be one of ${words.join(', ')}`);
    return word;
  }

  number(key: CfgKey, min: number, max: number): number | undefined {
    const text = this.text(key);
    if (text === undefined) return undefined;
    const value = wholeNumber(text);
    if (this.#settings.get(key)!.added) this.complain(key, `expected ${key} =, since numbers are not added`);
    else if (value === undefined) this.complain(key, `expected a number for ${key}`);
    else if (value < min) this.complain(key, `expected ${key} of at least ${min}`);
    else if (value > max) this.complain(key, `expected ${key} of at most ${max}`);
    else return value;
    return undefined;
  }

  /** Strings; a single one is a list of one where xl takes either. */
  list(key: 'serial' | 'vm_data'): string[] | undefined {
    const value = this.#settings.get(key)?.value;
    if (value === undefined) return undefined;
    if (value.kind === 'atom' && key === 'serial') return [value.text];
    return this.#items(key, value).map(({ text }) => text);
  }

  devices<D extends DeviceConfig>(key: CfgKey, parse: (words: readonly string[]) => Parsed<D>): D[] {
    const value = this.#settings.get(key)?.value;
    if (value === undefined) return [];
    return this.#items(key, value).flatMap(({ text, line }) => {
      const parsed = parse([text]);
      if (!parsed.ok) {
        this.errors.push({ line, text: parsed.error });
        return [];
      }
      for (const part of this.reader === 'xl' ? [] : parsed.ignored)
        this.warnings.push({ line, text: `${key}: ${part} is not acted upon here` });
      return [parsed.value];
    });
  }

  #items(key: CfgKey, value: CfgValue): { readonly text: string; readonly line: number }[] {
    if (value.kind === 'atom') {
      this.complain(key, `expected a list for ${key}, as ${key} = [ "..." ]`);
      return [];
    }
    return value.items.flatMap((item) => {
      if (item.kind === 'atom') return [item];
      this.errors.push({ line: item.line, text: `expected strings in the list of ${key}, not another list` });
      return [];
    });
  }

  #line(key: CfgKey): number {
    return this.#settings.get(key)?.line ?? 1;
  }
}

/** As strtol with any base; undefined: none, or one that C would not hold. */
function wholeNumber(text: string): number | undefined {
  const match = /^[ \t\n\v\f\r]*([-+]?)(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)$/i.exec(text);
  if (match === null) return undefined;
  const digits = match[2]!;
  const value = /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
  if (!Number.isSafeInteger(value)) return undefined;
  return match[1] === '-' ? -value : value;
}
