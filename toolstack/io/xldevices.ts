/**
 * One device more and one less on real Xen. Where a hotplug script has to run in this domain, xl does it: the script is libxl's to start, with libxl's lock and
 * its environment, and Linux's own backends wait for what it writes. Everything else is the store's affair alone, and done here as on any other host: sockets,
 * which xl 4.17 has no command for; and what another domain serves, which runs its scripts itself. Knows no command line of ours.
 */
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import type { DeviceConfig, DiskConfig, DomainType, VifConfig } from '../core/config.ts';
import { besides } from '../core/deviceset.ts';
import type { DeviceEntry } from '../core/toolstack.ts';
import { diskWord, vifWords } from '../core/xlcfg.ts';
import type { Hotplug } from './hotplug.ts';
import type { LibxlFiles, ListedDomain } from './libxlfile.ts';
import type { Xl } from './xlprogram.ts';

type Kind = DeviceConfig['kind'];

const SCRIPTS = '/etc/xen/scripts';
/** As libxl names them where a device names none. */
const usualScripts = { vbd: 'block', vif: 'vif-bridge' } as const;

export interface Whose extends ListedDomain {
  readonly type: DomainType;
}

export interface XlDevicesOptions {
  readonly xl: Xl;
  readonly hotplug: Hotplug;
  /** Where libxl is told of what it has not done itself. */
  readonly files: LibxlFiles;
  /** This domain. */
  readonly own: number;
  /** A domain by its name or number. */
  readonly domidOf: (ref: string) => Promise<number | undefined>;
}

export class XlDevices {
  readonly #options: XlDevicesOptions;

  constructor(options: XlDevicesOptions) {
    this.#options = options;
  }

  /** Throws Fault. */
  async attach(domain: Whose, device: DeviceConfig): Promise<DeviceEntry> {
    const { hotplug, files } = this.#options;
    const { domid, type } = domain;
    const taken = (await hotplug.list(domid, device.kind)).map(({ devid }) => devid);
    const whole = besides(device, taken, randomBytes);
    if (whole.kind !== 'pvcalls' && (await this.#isForXl(whole))) return await this.#attachByXl(domid, whole);
    const placed = await hotplug.place(domid, type, withScript(whole));
    const made = await hotplug.attach(placed);
    await files.add(domain, placed.config);
    return made;
  }

  /** Throws Fault. */
  async detach(domain: Whose, kind: Kind, text: string, how: 'orderly' | 'force'): Promise<void> {
    const { hotplug, xl, own, files } = this.#options;
    const { domid } = domain;
    const { devid, name, backendDomid, backendPath } = await hotplug.find(domid, kind, text);
    if (kind === 'pvcalls' || backendDomid !== own) {
      const served = /\/backend\/([^/]+)\//.exec(backendPath)?.[1] ?? kind;
      await hotplug.detach({ backendDomid, kind: served, frontendDomid: domid, devid }, how);
      await files.remove(domain, kind, kind === 'vbd' ? name : devid);
    } else if (kind === 'vif') await xl.run(['network-detach', `${domid}`, `${devid}`]);
    else await xl.run(['block-detach', ...(how === 'force' ? ['--force'] : []), `${domid}`, `${devid}`]);
  }

  async #attachByXl(domid: number, device: DiskConfig | VifConfig): Promise<DeviceEntry> {
    const { xl, hotplug } = this.#options;
    if (device.kind === 'vbd') {
      await xl.run(['block-attach', `${domid}`, diskWord(device)]);
      return await hotplug.find(domid, 'vbd', device.vdev);
    }
    await xl.run(['network-attach', `${domid}`, ...vifWords(device)]);
    return await hotplug.find(domid, 'vif', device.mac ?? `${device.devid}`);
  }

  async #isForXl(device: DiskConfig | VifConfig): Promise<boolean> {
    const { own, domidOf } = this.#options;
    const backend = device.backend === undefined ? own : await domidOf(device.backend);
    if (backend === own) return true;
    // Whoever else serves disks is libxl's to start.
    return device.kind === 'vbd' && (device.format !== 'raw' || (device.backendtype ?? 'phy') !== 'phy');
  }
}

/** libxl writes its path for whoever runs it. */
function withScript(device: DeviceConfig): DeviceConfig {
  if (device.kind === 'pvcalls') return device;
  return { ...device, script: resolve(SCRIPTS, device.script ?? usualScripts[device.kind]) };
}
