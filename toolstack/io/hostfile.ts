/**
 * Reads a host file: JSON, checked against host.schema.json, its defaults filled in. Knows the file's shape and nothing of a host's life.
 */
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import type { DiskFile } from '../core/devices.ts';
import { type HostFile, mistakes } from '../core/host.ts';
import { Fault, reasonOf } from './fault.ts';

/** Where the package is installed: the same whether this runs from its source or from `dist`. */
export const packageRoot: string = (() => {
  const here = dirname(fileURLToPath(import.meta.url));
  return here.endsWith(join('dist', 'toolstack', 'io')) ? join(here, '../../..') : join(here, '../..');
})();

/** What comes with the package: hosts, guests. */
export const hosts: string = join(packageRoot, 'toolstack/hosts');

/** The host that comes with the package. */
export const shippedHost: string = join(hosts, 'small.json');

/** Its paths are from where it is. Throws Fault. */
export function readHostFile(path: string): HostFile {
  let host: unknown;
  try {
    host = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Fault(`${path}: ${reasonOf(error)}`);
  }
  const ajv = new Ajv({ useDefaults: true, allErrors: true, strict: true, verbose: true });
  const valid = ajv.compile<HostFile>(JSON.parse(readFileSync(join(hosts, 'host.schema.json'), 'utf8')));
  if (!valid(host)) {
    const errors = valid.errors!.map(({ instancePath, keyword, message, params, parentSchema }) => {
      const where = instancePath === '' ? 'the host' : instancePath.slice(1).replaceAll('/', '.');
      const extra = 'additionalProperty' in params ? ` (${params.additionalProperty})` : '';
      // Nobody reads a pattern.
      if (keyword === 'pattern') return `${where} must be like ${parentSchema!.examples[0]}`;
      return `${where} ${message}${extra}`;
    });
    throw new Fault(`${path}: ${errors.join('; ')}`);
  }
  const wrong = mistakes(host);
  if (wrong.length > 0) throw new Fault(`${path}: ${wrong.join('; ')}`);
  return {
    ...host,
    guests: host.guests.map((guest) => ({ ...guest, disks: guest.disks.map(placed) })),
    autostart: host.autostart.map((one) => resolve(dirname(path), one)),
  };

  function placed(disk: DiskFile): DiskFile {
    return disk.archive === undefined
      ? disk
      : { ...disk, archive: disk.archive.map((one) => resolve(dirname(path), one)) };
  }
}
