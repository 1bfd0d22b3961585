/**
 * How a device's keys are described: one row a key, so that the tables of vbd.ts, vif.ts and pvcalls.ts can be read and printed. Values are checked
 * by the readers beside those tables, through value.ts; this file holds only what all kinds have in common.
 */

/** `toolstack` is libxl, `script` a hotplug script or whoever stands for it. */
export type Writer = 'backend' | 'frontend' | 'toolstack' | 'script';

export interface DeviceKey {
  /** Relative to the directory; `%` stands for a number. */
  readonly key: string;
  readonly by: Writer;
  readonly type: 'flag' | 'number' | 'word' | 'text' | 'mac' | 'rate' | 'major:minor';
  /** The least and the most of a number, the words of a word. */
  readonly range: readonly [number, number] | readonly string[];
  /** What a missing key means; undefined: it has to be there. */
  readonly absent: string | undefined;
  /** With more than one queue: once below each `queue-%/`, and not at the top. */
  readonly perQueue: boolean;
  readonly says: string;
  /** Who defines it: a header of xen/include/public/io, a page of xen/docs/misc, `libxl`, `linux`, or `stubdom0`. */
  readonly from: string;
}

export interface DeviceKeys {
  readonly backend: readonly DeviceKey[];
  readonly frontend: readonly DeviceKey[];
}

type Row = Omit<DeviceKey, 'from'>;

export function from(source: string, rows: readonly Row[]): readonly DeviceKey[] {
  return rows.map((row) => ({ ...row, from: source }));
}

/** 0 or 1. */
export function flag(by: Writer, key: string, says: string, absent: '0' | '1' = '0'): Row {
  return { key, by, type: 'flag', range: [], absent, perQueue: false, says };
}

export function number(
  by: Writer,
  key: string,
  range: readonly [number, number],
  says: string,
  absent?: string,
): Row {
  return { key, by, type: 'number', range, absent, perQueue: false, says };
}

export function word(by: Writer, key: string, range: readonly string[], says: string, absent?: string): Row {
  return { key, by, type: 'word', range, absent, perQueue: false, says };
}

export function text(
  by: Writer,
  key: string,
  says: string,
  absent?: string,
  type: 'text' | 'mac' | 'rate' | 'major:minor' = 'text',
): Row {
  return { key, by, type, range: [], absent, perQueue: false, says };
}

export function perQueue(row: Row): Row {
  return { ...row, perQueue: true };
}

/** The keys that every kind has in its backend's directory (libxl_device.c). */
export const commonBackendKeys: readonly DeviceKey[] = from('libxl', [
  text('toolstack', 'frontend', 'the path of the other end, and the only place to learn it from'),
  number('toolstack', 'frontend-id', [0, 32751], "the other end's domain"),
  flag('toolstack', 'online', '1: the device outlives its closing; 0: it is detached'),
  number('backend', 'state', [0, 8], 'the toolstack writes 1 first, and 5 to detach', '0'),
  text('toolstack', 'script', 'the hotplug script', 'none'),
  text(
    'script',
    'hotplug-status',
    'connected, error or busy; Connected is not reached before `connected`',
    'not yet',
  ),
  text('script', 'hotplug-error', 'why hotplug-status is error', 'none'),
]);

/** The keys that every kind has in its frontend's directory. */
export const commonFrontendKeys: readonly DeviceKey[] = from('libxl', [
  text('toolstack', 'backend', 'the path of the other end'),
  number('toolstack', 'backend-id', [0, 32751], "the other end's domain"),
  number('frontend', 'state', [0, 8], 'the toolstack writes 1 first', '0'),
  flag('toolstack', 'trusted', '0: the guest is to distrust its backend', '1'),
]);
