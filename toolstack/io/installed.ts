/**
 * How Xen's daemons are started on this machine, by which script and with which settings: facts from files. Judges nothing.
 * (Xen's tools/hotplug/Linux/launch-xenstore and Debian's /etc/init.d/xen)
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Installed } from '../core/doctor.ts';
import { packageRoot } from './hostfile.ts';
import { isProgram } from './lookup.ts';

/** Where Debian's /etc/init.d/xen looks for programs, whatever the user's PATH is. */
const INIT_PATH = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Settings in the order in which a host has them: Debian's own, then Xen's, where a distribution puts them. */
const settingsFiles = ['/etc/default/xencommons', '/etc/sysconfig/xencommons'];

export interface LookOptions {
  /** Where the machine's files are; default: `/`. */
  readonly root?: string;
  /** The path by which this program was started. */
  readonly startedAs?: string;
}

export function lookInstalled({ root = '/', startedAs = '' }: LookOptions = {}): Installed {
  const at = (path: string): string => join(root, path);
  const debian = existsSync(at('/etc/init.d/xen'));
  const file = debian ? '/etc/default/xen' : settingsFiles.find((path) => existsSync(at(path)));
  return {
    launcher: debian ? 'init script' : 'launch-xenstore',
    settings: file === undefined ? undefined : { file, ...settingsIn(at(file)) },
    xl: toolDirectories(at).find((directory) => existsSync(at(join(directory, 'xl')))),
    program: programBeside(startedAs),
    nodeOnInitPath: INIT_PATH.some((directory) => isProgram(at(join(directory, 'node')))),
  };
}

function toolDirectories(at: (path: string) => string): string[] {
  let versions: string[] = [];
  try {
    versions = readdirSync(at('/usr/lib')).filter((name) => name.startsWith('xen-'));
  } catch {}
  return [...versions.map((name) => join('/usr/lib', name, 'bin')), '/usr/sbin', '/usr/local/sbin'];
}

/** What the last assignment of each says; it is a shell script, of which no more is understood than that. */
function settingsIn(path: string): { xenstored: string | undefined; type: string | undefined } {
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch {}
  const last = (name: string): string | undefined =>
    [...text.matchAll(new RegExp(`^\\s*(?:export\\s+)?${name}=["']?([^"'\\s]*)`, 'gm'))].at(-1)?.[1] ||
    undefined;
  return { xenstored: last('XENSTORED'), type: last('XENSTORETYPE') };
}

/** As npm installed it, beside the program that runs, else in the package. */
function programBeside(startedAs: string): string {
  const beside = join(dirname(startedAs), 'xenstored');
  return isProgram(beside) ? beside : join(packageRoot, 'dist/xenstored/main.js');
}
