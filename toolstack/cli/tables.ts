/**
 * xl's tables, byte for byte (Xen 4.17 and 4.22): what a column holds and how wide it is. Knows entries and text, no toolstack.
 */
import type { DeviceEntry, DomainEntry } from '../core/toolstack.ts';

export interface ListColumns {
  readonly verbose: boolean;
  readonly context: boolean;
  readonly cpupool: boolean;
  readonly numa: boolean;
}

/** By ShutdownReason: poweroff, reboot, suspend, crash, watchdog, soft reset. */
const REASONS = '-rscwS';

export function domainTable(domains: readonly DomainEntry[], columns: ListColumns): string {
  const { verbose, context, cpupool, numa } = columns;
  let head = 'Name                                        ID   Mem VCPUs\tState\tTime(s)';
  if (verbose) head += '   UUID                            Reason-Code\tSecurity Label';
  else if (context) head += '   Security Label';
  if (cpupool) head += '         Cpupool';
  if (numa) head += ' NODE Affinity';
  return lines([
    head,
    ...domains.map((domain) => {
      const { name, domid, memoryMb, vcpus, uuid, shutdownReason } = domain;
      let row = `${left(name, 40)} ${right(domid, 5)} ${right(memoryMb, 5)} ${right(vcpus, 5)}     ${stateLetters(domain)}`;
      row += `  ${right(seconds(domain), 8)}`;
      if (verbose) row += ` ${uuid} ${right(shutdownReason?.toString(16) ?? '-', 8)}`;
      if (verbose || context) row += ` ${right('-', 16)}`;
      if (cpupool) row += right('Pool-0', 16);
      if (numa) row += ' all';
      return row;
    }),
  ]);
}

/** `-b----`: running, blocked, paused, shut down, why, dying. */
export function stateLetters({
  running,
  blocked,
  paused,
  dying,
  shutdownReason,
}: Pick<DomainEntry, 'running' | 'blocked' | 'paused' | 'dying' | 'shutdownReason'>): string {
  const letter = (is: boolean, what: string): string => (is ? what : '-');
  const reason = shutdownReason === undefined ? '-' : (REASONS[shutdownReason] ?? '?');
  return (
    letter(running, 'r') +
    letter(blocked, 'b') +
    letter(paused, 'p') +
    letter(shutdownReason !== undefined, 's') +
    reason +
    letter(dying, 'd')
  );
}

export function vmTable(domains: readonly DomainEntry[]): string {
  return lines([
    'UUID                                  ID    name',
    ...domains.map(({ uuid, domid, name }) => `${uuid}  ${domid}    ${left(name, 30)}`),
  ]);
}

/** Which processor one is on, and how long each of several was, a toolstack does not tell: `-`. */
export function vcpuTable(domains: readonly DomainEntry[]): string {
  return lines([
    `${left('Name', 32)} ${right('ID', 5)} ${right('VCPU', 5)} ${right('CPU', 5)} ${right('State', 5)} ${right('Time(s)', 9)} Affinity (Hard / Soft)`,
    ...domains.flatMap((domain) =>
      Array.from({ length: domain.vcpus }, (_, vcpu) => {
        const state = `${domain.running ? 'r' : '-'}${domain.blocked ? 'b' : '-'}-`;
        const time = domain.vcpus === 1 ? seconds(domain) : '-';
        return `${left(domain.name, 32)} ${right(domain.domid, 5)} ${right(vcpu, 5)}${right('-', 5)}   ${state} ${right(time, 9)}  all / all`;
      }),
    ),
  ]);
}

export interface Uptime {
  readonly name: string;
  readonly domid: number;
  readonly seconds: number;
}

export function uptimeTable(rows: readonly Uptime[]): string {
  return lines([
    `${left('Name', 33)} ${right('ID', 4)} Uptime`,
    ...rows.map(
      ({ name, domid, seconds }) => `${left(name, 33)} ${right(domid, 4)} ${duration(seconds, 'long')}`,
    ),
  ]);
}

/** `clock`: the time of day, `12:34:56`. */
export function shortUptimes(rows: readonly Uptime[], clock: string): string {
  return lines(
    rows.map(
      ({ name, domid, seconds }) =>
        ` ${clock} up ${duration(seconds, 'short')}, ${printable(name)} (${domid})`,
    ),
  );
}

function duration(uptime: number, form: 'long' | 'short'): string {
  const days = Math.floor(uptime / 86_400);
  const two = (value: number): string => String(value).padStart(2, '0');
  const hours = String(Math.floor(uptime / 3_600) % 24).padStart(2, ' ');
  const clock = `${hours}:${two(Math.floor(uptime / 60) % 60)}${form === 'long' ? `:${two(uptime % 60)}` : ''}`;
  return days === 0 ? clock : `${days} day${days > 1 ? 's' : ''}, ${clock}`;
}

/** Of a vbd `handle` is the domain that has it, as xl has always shown it. */
export function blockTable(devices: readonly DeviceEntry[]): string {
  return lines([
    blockRow('Vdev', 'BE', 'handle', 'state', 'evt-ch', 'ring-ref', 'BE-path'),
    ...devices.map(({ devid, backendDomid, domid, frontendState, evtchn, ringRef, backendPath }) =>
      blockRow(devid, backendDomid, domid, frontendState, evtchn, ringRef, backendPath),
    ),
  ]);
}

/** Ours, as xl has it for disks; `handle` is the device's id. */
export function socketsTable(devices: readonly DeviceEntry[]): string {
  return lines([
    blockRow('Idx', 'BE', 'handle', 'state', 'evt-ch', 'ring-ref', 'BE-path'),
    ...devices.map(({ devid, backendDomid, frontendState, evtchn, ringRef, backendPath }) =>
      blockRow(devid, backendDomid, devid, frontendState, evtchn, ringRef, backendPath),
    ),
  ]);
}

function blockRow(...cells: readonly (string | number)[]): string {
  const widths = [5, 3, 6, 5, 6, 8, 30];
  return cells.map((cell, column) => left(cell, widths[column]!)).join(' ');
}

export function networkTable(devices: readonly DeviceEntry[]): string {
  const head = ['Idx', 'BE', 'Mac Addr.', 'handle', 'state', 'evt-ch'];
  const widths = [3, 2, 17, 6, 5, 6];
  const columns = head.map((title, column) => left(title, widths[column]!)).join(' ');
  return lines([
    `${columns} ${right('tx-', 5)}/${left('rx-ring-ref', 5)} ${left('BE-path', 30)}`,
    ...devices.map(({ devid, backendDomid, mac, frontendState, evtchn, ringRef, rxRingRef, backendPath }) => {
      const ids = `${left(devid, 3)} ${left(backendDomid, 2)} ${left(mac ?? '00:00:00:00:00:00', 17)}`;
      const ends = `${right(devid, 6)} ${right(frontendState, 5)} ${right(evtchn, 6)}`;
      return `${ids}${ends} ${right(ringRef, 5)}/${left(rxRingRef, 11)} ${left(backendPath, 30)}`;
    }),
  ]);
}

/** `name`: only fields whose names begin so, without their names, as `xl info NAME` has it. */
export function infoText(fields: readonly (readonly [string, string])[], name: string | undefined): string {
  if (name === undefined) return lines(fields.map(([key, value]) => `${left(key, 23)}: ${printable(value)}`));
  return lines(fields.filter(([key]) => key.startsWith(name)).map(([, value]) => printable(value)));
}

/** JSON as xl prints it: four spaces, and what is empty has a line of its own. */
export function xlJson(value: unknown, space = ''): string {
  const inner = `${space}    `;
  const wrap = (open: string, items: readonly string[], close: string): string =>
    `${open}\n${items.map((item) => inner + item).join(',\n')}\n${space}${close}`;
  if (Array.isArray(value))
    return wrap(
      '[',
      value.map((item) => xlJson(item, inner)),
      ']',
    );
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return wrap(
    '{',
    entries.map(([key, item]) => `${JSON.stringify(key)}: ${xlJson(item, inner)}`),
    '}',
  );
}

function seconds({ cpuTimeNs }: DomainEntry): string {
  return (cpuTimeNs / 1e9).toFixed(1);
}

function left(text: string | number, width: number): string {
  return printable(String(text)).padEnd(width);
}

function right(text: string | number, width: number): string {
  return String(text).padStart(width);
}

/** Some of it others have written, and a terminal obeys what it is told. */
export function printable(text: string): string {
  return text.replace(
    /[\x00-\x1f\x7f-\x9f]/g,
    (letter) => `\\x${letter.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join('');
}
