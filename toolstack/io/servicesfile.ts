/**
 * The host's own stub domains, as whoever brought them up tells whoever makes domains for them to serve: `toolstack/services.json` in the run directory. Plain
 * data.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '../../osdep/os/wholefile.ts';
import { Fault, reasonOf } from './fault.ts';

export interface ServiceDomain {
  /** `xenstored`, `blkback`, `netback`, `xensock`, `console`. */
  readonly name: string;
  readonly domid: number;
}

export function writeServices(run: string, services: readonly ServiceDomain[]): void {
  mkdirSync(join(run, 'toolstack'), { recursive: true, mode: 0o700 });
  replaceFile(servicesPath(run), `${JSON.stringify(services)}\n`);
}

/** Throws Fault. */
export function readServices(run: string): ServiceDomain[] {
  try {
    return JSON.parse(readFileSync(servicesPath(run), 'utf8')) as ServiceDomain[];
  } catch (error) {
    throw new Fault(`no host is up in ${run}: ${reasonOf(error)}`);
  }
}

function servicesPath(run: string): string {
  return join(run, 'toolstack', 'services.json');
}
