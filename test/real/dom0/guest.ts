/**
 * A guest of a scenario: its xl.cfg and its first root, written to dom0's memory, and what can be seen of it from outside.
 */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cpio, type Entry } from '../../../xenstored/stubdom/cpio.ts';
import type { Guest, GuestOptions, Lab, Result } from '../lab/scenario.ts';

/** What all guests start from: shared with the host. */
const KERNEL = '/boot/vmlinux';
const ROOT = '/boot/guest.cpio';
const NODE = '/app/node.cpio';
const FOLDER = '/tmp/guests';
const MEMORY_MIB = 160;
const SAYS_LIMIT_S = 120;
const GONE_LIMIT_S = 120;
/** Guests leave the processor of dom0 alone. */
const DEFAULTS: Readonly<Record<string, string>> = {
  extra: '"console=hvc0 panic=1 loglevel=4"',
  vcpus: '1',
  on_poweroff: '"destroy"',
  on_reboot: '"restart"',
  on_crash: '"preserve"',
};

export class XlGuest implements Guest {
  readonly name: string;
  readonly config: string;
  readonly #lab: Lab;
  readonly #log: string;

  constructor(lab: Lab, options: GuestOptions, processors: number) {
    this.#lab = lab;
    this.name = options.name;
    this.config = join(FOLDER, `${options.name}.cfg`);
    this.#log = `/var/log/xen/guest-${options.name}.log`;
    mkdirSync(FOLDER, { recursive: true });
    const ramdisk = join(FOLDER, `${options.name}.cpio`);
    const roots = [ROOT, ...(options.node ? [NODE] : [])].map((path) => readFileSync(path));
    writeFileSync(ramdisk, Buffer.concat([...roots, cpio(extras(options))]));
    writeFileSync(this.config, configOf(options, ramdisk, processors));
  }

  create(...args: readonly string[]): Promise<Result> {
    return this.#lab.exec('xl', ['create', ...args, this.config]);
  }

  async domid(): Promise<number | undefined> {
    const { status, stdout } = await this.#lab.exec('xl', ['domid', this.name], { mayFail: true });
    return status === 0 ? Number(stdout) : undefined;
  }

  async console(): Promise<string> {
    return existsSync(this.#log) ? readFileSync(this.#log, 'utf8').replaceAll('\r', '') : '';
  }

  async says(pattern: RegExp, limitS: number = SAYS_LIMIT_S): Promise<string> {
    const said = async () => pattern.exec(await this.console())?.[0];
    try {
      await this.#lab.until(`${this.name} says ${pattern}`, async () => (await said()) !== undefined, limitS);
    } catch (error) {
      const text = (await this.console()).trimEnd().split('\n').slice(-15).join('\n');
      throw new Error(`${(error as Error).message}; its console ends:\n${text}`);
    }
    return (await said())!;
  }

  async gone(limitS: number = GONE_LIMIT_S): Promise<void> {
    await this.#lab.until(`${this.name} is gone`, async () => (await this.domid()) === undefined, limitS);
  }
}

/** What is added to the root of all guests. */
function extras({ files = [], script }: GuestOptions): readonly Entry[] {
  const own = files.map(
    (path): Entry => ({
      kind: 'file',
      path: basename(path),
      bytes: readFileSync(path),
      program: (statSync(path).mode & 0o111) !== 0,
    }),
  );
  if (script === undefined) return own;
  return [...own, { kind: 'file', path: 'guest.sh', bytes: Buffer.from(`${script}\n`) }];
}

function configOf(options: GuestOptions, ramdisk: string, processors: number): string {
  const { config = [], disks = [], memory = MEMORY_MIB, name, type = 'pv', vifs = [] } = options;
  const settings: Record<string, string> = {
    name: `"${name}"`,
    type: `"${type}"`,
    kernel: `"${KERNEL}"`,
    ramdisk: `"${ramdisk}"`,
    memory: `${memory}`,
    ...DEFAULTS,
    ...(processors > 1 && { cpus: `"1-${processors - 1}"` }),
    disk: list(disks),
    vif: list(vifs),
  };
  // A line of the scenario's own takes the place of ours.
  for (const line of config) delete settings[/^\s*(\w+)\s*=/.exec(line)?.[1] ?? ''];
  return `${[...Object.entries(settings).map(([key, value]) => `${key}=${value}`), ...config].join('\n')}\n`;
}

function list(items: readonly string[]): string {
  return `[${items.map((item) => `'${item}'`).join(', ')}]`;
}
