/**
 * The toolstack of a real host, in the process of whoever drives it: xl builds domains, ends them and looks after what they do when they end (on_reboot and its
 * like); all else is asked of the hypervisor and the store at once. Several may be at work at the same time, and beside xl: nothing is remembered here.
 */
import { randomUUID } from 'node:crypto';
import type { Ctrl, DomainInfo } from '../../osdep/ctrl.ts';
import { HvmParam } from '../../osdep/ctrl.ts';
import type { Platform } from '../../osdep/platform.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import type { DeviceConfig } from '../core/config.ts';
import { terminalNode } from '../core/console.ts';
import type {
  CreateOrder,
  DeviceEntry,
  DomainEntry,
  DomainRef,
  HostInfo,
  PlannedStep,
  Progress,
  Swept,
} from '../core/toolstack.ts';
import { allDomains } from './domainlist.ts';
import { Fault, reasonOf } from './fault.ts';
import { hostInfo, hypervisorLog } from './hostinfo.ts';
import { Hotplug } from './hotplug.ts';
import { LibxlFiles } from './libxlfile.ts';
import { removeOrphans } from './orphans.ts';
import type { Toolstack } from './toolstack.ts';
import { createByXl, plannedXlSteps, recover, unpause, type XlParts } from './xlcreation.ts';
import { type Whose, XlDevices } from './xldevices.ts';
import { type Xl, xlProgram } from './xlprogram.ts';
import { XlRecords } from './xlrecords.ts';

const PAGES_PER_MB = 256;
/** As xl calls one that has none. */
const NAMELESS = '(null)';

export interface XlToolstackOptions {
  /** The host's run directory: what is half done is written down there. */
  readonly run: string;
  readonly env: NodeJS.ProcessEnv;
  /** Real Xen. Not asked for before there is an order. */
  readonly platform: () => Promise<Platform>;
}

interface Parts extends XlParts {
  readonly platform: Platform;
  readonly hotplug: Hotplug;
  readonly devices: XlDevices;
}

export class XlToolstack implements Toolstack {
  readonly reader = 'xl';
  readonly #options: XlToolstackOptions;
  readonly #xl: Xl;
  #opened: Promise<Parts> | undefined;

  constructor(options: XlToolstackOptions) {
    this.#options = options;
    this.#xl = xlProgram(options.env);
  }

  async list(): Promise<DomainEntry[]> {
    const { ctrl, store } = await this.#parts();
    const infos = allDomains(ctrl);
    return await Promise.all(infos.map(async (info) => entryOf(info, await nameOf(store, info.domid))));
  }

  async info(): Promise<HostInfo> {
    const { ctrl } = await this.#parts();
    return hostInfo(ctrl);
  }

  async plan(order: CreateOrder): Promise<PlannedStep[]> {
    return plannedXlSteps(order);
  }

  async create(order: CreateOrder, progress: (made: Progress) => void, signal: AbortSignal): Promise<number> {
    const { config, start, cfg } = order;
    if (cfg === undefined) throw new Fault('on real Xen a domain is made of a cfg file');
    const uuid = config.uuid ?? randomUUID();
    const parts = await this.#parts();
    if (config.uuid !== undefined && allDomains(parts.ctrl).some(({ handle }) => handle === uuid))
      throw new Fault(`a domain with uuid ${uuid} is there already`);
    return await createByXl(parts, { uuid, config, cfg, start }, progress, signal);
  }

  async destroy(domain: DomainRef): Promise<void> {
    const { domid } = await this.#guest(domain);
    await this.#xl.run(['destroy', `${domid}`]);
  }

  async shutdown(
    domain: DomainRef,
    how: 'poweroff' | 'reboot' | 'halt',
    wait: 'wait' | 'return',
    signal?: AbortSignal,
  ): Promise<void> {
    const { store, ctrl } = await this.#parts();
    const { domid, hvm } = await this.#guest(domain);
    if (hvm && ctrl.hvmParamGet(domid, HvmParam.CALLBACK_IRQ) === 0)
      throw new Fault(
        `domain ${domid} has no PV drivers that would hear it; "xl ${how === 'reboot' ? 'reboot' : 'shutdown'} -F" uses ACPI`,
      );
    await store.write(`/local/domain/${domid}/control/shutdown`, how);
    if (wait === 'wait') await untilOver(store, ctrl, domid, signal);
  }

  async pause(domain: DomainRef): Promise<void> {
    const { domid, hvm } = await this.#guest(domain);
    const { ctrl } = await this.#parts();
    // libxl stops the device model of an HVM domain, too.
    if (hvm) await this.#xl.run(['pause', `${domid}`]);
    else ctrl.pause(domid);
  }

  async unpause(domain: DomainRef): Promise<void> {
    const info = await this.#guest(domain);
    if (info.paused) await unpause(await this.#parts(), info);
  }

  async rename(domain: DomainRef, name: string): Promise<void> {
    if (name === '' || /^\d+$/.test(name)) throw new Fault(`"${name}" is no name of a domain`);
    const { domid } = await this.#guest(domain);
    // libxl keeps a name in files of its own, too.
    await this.#xl.run(['rename', `${domid}`, name]);
  }

  async sysrq(domain: DomainRef, letter: string): Promise<void> {
    const { store } = await this.#parts();
    const { domid } = await this.#guest(domain);
    await store.write(`/local/domain/${domid}/control/sysrq`, letter);
  }

  async devices(domain: DomainRef, kind: DeviceConfig['kind']): Promise<DeviceEntry[]> {
    const { hotplug } = await this.#parts();
    const { domid } = await this.#target(domain);
    return await hotplug.list(domid, kind);
  }

  async attach(domain: DomainRef, device: DeviceConfig): Promise<DeviceEntry> {
    const { devices } = await this.#parts();
    return await devices.attach(whose(await this.#guest(domain)), device);
  }

  async detach(
    domain: DomainRef,
    kind: DeviceConfig['kind'],
    device: string,
    how: 'orderly' | 'force',
  ): Promise<void> {
    const { devices } = await this.#parts();
    await devices.detach(whose(await this.#guest(domain)), kind, device, how);
  }

  async consoleNode(domain: DomainRef, type: 'pv' | 'serial', number: number): Promise<string> {
    const { domid } = await this.#target(domain);
    return terminalNode(domid, type, number);
  }

  async readNode(path: string): Promise<string | undefined> {
    const { store } = await this.#parts();
    return await store.findText(path);
  }

  async dmesg(clear: 'clear' | 'keep'): Promise<string> {
    const { ctrl } = await this.#parts();
    return hypervisorLog(ctrl, clear);
  }

  async gc(): Promise<Swept> {
    const parts = await this.#parts();
    const done = await recover(parts);
    // Of one that another process makes just now, the domain comes first.
    const { removed, left } = await removeOrphans(parts, () => ({ domids: [], uuids: [] }));
    return { removed: [...done, ...removed], left };
  }

  async close(): Promise<void> {
    const parts = await this.#opened?.catch(() => undefined);
    if (parts === undefined) return;
    await parts.store.close();
    parts.ctrl.close();
    parts.platform.close();
  }

  #parts(): Promise<Parts> {
    this.#opened ??= this.#open();
    // What was not there may be the next time.
    this.#opened.catch(() => {
      this.#opened = undefined;
    });
    return this.#opened;
  }

  async #open(): Promise<Parts> {
    const { run, env } = this.#options;
    const store = await openStore(env);
    const platform = await this.#options.platform();
    const ctrl = openCtrl(platform);
    const own = platform.domid ?? 0;
    const domidOf = async (ref: string): Promise<number | undefined> =>
      (await resolveRef({ ctrl, store }, ref))?.domid;
    const hotplug = new Hotplug({ store, backendOf: () => own, domidOf, scripts: 'run by who serves' });
    const devices = new XlDevices({ xl: this.#xl, hotplug, files: new LibxlFiles(), own, domidOf });
    return { platform, ctrl, store, hotplug, devices, xl: this.#xl, records: new XlRecords(run) };
  }

  /** Throws Fault: there is none. */
  async #target(domain: DomainRef): Promise<DomainInfo> {
    const found = await resolveRef(await this.#parts(), domain);
    if (found === undefined)
      throw new Fault(`${domain} is an invalid domain identifier`, { kind: 'no domain' });
    return found;
  }

  async #guest(domain: DomainRef): Promise<DomainInfo> {
    const info = await this.#target(domain);
    if (info.domid === 0 || info.xenstore)
      throw new Fault(`domain ${info.domid} is ${info.domid === 0 ? 'the control domain' : "the store's"}`);
    return info;
  }
}

function whose({ domid, handle, hvm }: DomainInfo): Whose {
  return { domid, uuid: handle, type: hvm ? 'pvh' : 'pv' };
}

async function openStore(env: NodeJS.ProcessEnv): Promise<Client> {
  try {
    return await connect({ env });
  } catch (error) {
    throw new Fault(`the store does not answer: ${reasonOf(error)}`);
  }
}

function openCtrl(platform: Platform): Ctrl {
  try {
    const ctrl = platform.openCtrl();
    ctrl.getDomainInfo(0);
    return ctrl;
  } catch (error) {
    throw new Fault(`the hypervisor does not answer: ${reasonOf(error)}`);
  }
}

/** By its number, or by its name. */
async function resolveRef(
  { ctrl, store }: Pick<Parts, 'ctrl' | 'store'>,
  ref: DomainRef,
): Promise<DomainInfo | undefined> {
  const infos = allDomains(ctrl);
  if (/^\d{1,5}$/.test(ref)) return infos.find(({ domid }) => domid === Number(ref));
  const names = await Promise.all(infos.map(({ domid }) => nameOf(store, domid)));
  return infos[names.indexOf(ref)];
}

async function nameOf(store: Client, domid: number): Promise<string | undefined> {
  return await store.findText(`/local/domain/${domid}/name`);
}

/** The figures as xl counts them. */
function entryOf(info: DomainInfo, name: string | undefined): DomainEntry {
  const { domid, totPages, outstandingPages, maxPages } = info;
  return {
    domid,
    name: name ?? NAMELESS,
    uuid: info.handle,
    memoryMb: Math.floor((totPages + outstandingPages) / PAGES_PER_MB),
    maxmemMb: Math.floor(maxPages / PAGES_PER_MB),
    vcpus: info.nrOnlineVcpus,
    running: info.running,
    blocked: info.blocked,
    paused: info.paused,
    dying: info.dying,
    shutdownReason: info.shutdownReason,
    cpuTimeNs: info.cpuTimeNs,
    role: domid === 0 ? 'control' : info.xenstore ? 'service' : 'guest',
    config: undefined,
  };
}

/** Until it has shut down or is no more. */
async function untilOver(
  store: Client,
  ctrl: Ctrl,
  domid: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { handle } = ctrl.getDomainInfo(domid) ?? {};
  const ends = store.watch('@releaseDomain', signal === undefined ? {} : { signal });
  for await (const _ of ends) {
    const info = ctrl.getDomainInfo(domid);
    if (info === undefined || info.handle !== handle || info.shutdown || info.dying) return;
  }
  signal?.throwIfAborted();
}
