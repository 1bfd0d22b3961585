/**
 * What xl is told of a domain: its cfg file as its user wrote it, with lines behind it where this project understands more than xl does, or where xl would look
 * for a file elsewhere; and devices as words of xl's commands. The last setting of a name counts (libxlu_cfg.c). Knows no file and no program.
 */

import { parseDisk } from './cfgdisk.ts';
import { readSettings } from './cfgsettings.ts';
import type { DiskConfig, DomainConfig, VifConfig } from './config.ts';

/** `uuid`: the domain's. `resolve` makes a path absolute, from where the file's paths are. `config` is what the text says. */
export function xlText(
  text: string,
  config: DomainConfig,
  { uuid, resolve }: { readonly uuid: string; readonly resolve: (path: string) => string },
): string {
  const { settings } = readSettings(text);
  const lines = [`uuid=${quoted(uuid)}`];
  // xl's own process for a domain that is made anew is elsewhere by then.
  if (config.kernel !== undefined) lines.push(`kernel=${quoted(resolve(config.kernel))}`);
  if (config.ramdisk !== undefined) lines.push(`ramdisk=${quoted(resolve(config.ramdisk))}`);
  const items = (name: string): string[] => {
    const value = settings.get(name)?.value;
    return value?.kind === 'list'
      ? value.items.flatMap((item) => (item.kind === 'atom' ? [item.text] : []))
      : [];
  };
  const disks = items('disk');
  const moved = disks.map((spec) => resolvedSpec(spec, resolve));
  if (moved.some((spec, index) => spec !== disks[index])) lines.push(`disk=${listed(moved)}`);
  const ours = items('xensock');
  if (ours.length > 0) lines.push(`pvcalls=${listed([...items('pvcalls'), ...ours])}`);
  const own = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  return `${own}${lines.join('\n')}\n`;
}

/** A disk as one word of `xl block-attach`. */
export function diskWord(disk: DiskConfig): string {
  const { format, vdev, access, devtype, backend, backendtype, script, discard, directIoSafe, trusted } =
    disk;
  return [
    ...(format === 'empty' ? [] : [`format=${format}`]),
    `vdev=${vdev}`,
    `access=${access === 'w' ? 'rw' : 'ro'}`,
    ...(devtype === 'cdrom' ? ['devtype=cdrom'] : []),
    ...pair('backend', backend),
    ...pair('backendtype', backendtype),
    ...pair('script', script),
    ...(discard === undefined ? [] : [discard ? 'discard' : 'no-discard']),
    ...(directIoSafe ? ['direct-io-safe'] : []),
    ...(trusted ? [] : ['untrusted']),
    // The rest of the word, whatever is in it.
    `target=${disk.target}`,
  ].join(',');
}

/** An interface as words of `xl network-attach`. */
export function vifWords(vif: VifConfig): string[] {
  const { rate } = vif;
  return [
    ...pair('mac', vif.mac),
    ...pair('bridge', vif.bridge),
    ...pair('ip', vif.ip),
    ...pair('gatewaydev', vif.gatewaydev),
    ...pair('mtu', vif.mtu),
    ...pair(
      'rate',
      rate && `${Math.round((rate.bytes * 1_000_000) / rate.intervalUs)}B/s@${rate.intervalUs}us`,
    ),
    ...pair('vlan', vif.vlan),
    ...pair('model', vif.model),
    ...pair('type', vif.type),
    ...pair('vifname', vif.vifname),
    ...pair('script', vif.script),
    ...pair('devid', vif.devid),
    ...pair('backend', vif.backend),
    ...(vif.trusted ? [] : ['untrusted']),
  ];
}

function pair(key: string, value: string | number | undefined): string[] {
  return value === undefined ? [] : [`${key}=${value}`];
}

/** Its target absolute; what a script finds, or another domain serves, is no path of ours. */
function resolvedSpec(spec: string, resolve: (path: string) => string): string {
  const parsed = parseDisk([spec]);
  if (!parsed.ok) return spec;
  const { target, script, backend } = parsed.value;
  if (target === '' || script !== undefined || backend !== undefined) return spec;
  const named = /(?:^|,)\s*target=/.exec(spec);
  const at = named === null ? spec.split(',', 1)[0]!.lastIndexOf(target) : spec.lastIndexOf(target);
  return at < 0 ? spec : spec.slice(0, at) + resolve(target) + spec.slice(at + target.length);
}

function listed(items: readonly string[]): string {
  return `[ ${items.map(quoted).join(', ')} ]`;
}

function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\t', '\\t')}"`;
}
