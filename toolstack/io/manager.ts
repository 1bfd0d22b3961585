/**
 * The domain manager of a simulated host: what a Toolstack does, done. Orders for one domain are carried out one after the other, for several at the
 * same time. Knows no transport and no command.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { DomainInfo } from '../../osdep/ctrl.ts';
import type { DeviceConfig, DomainConfig, VifConfig } from '../core/config.ts';
import { terminalNode } from '../core/console.ts';
import { deviceClash, filledIn, withDevice, withoutDevice } from '../core/deviceset.ts';
import { plannedSteps } from '../core/domainplan.ts';
import { type DomainRecord, unknownRecord } from '../core/record.ts';
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
import { infoOf } from './domainlist.ts';
import { Fault } from './fault.ts';
import { hostInfo, hypervisorLog } from './hostinfo.ts';
import { Keeper } from './keeper.ts';
import { CONTROL, listDomains } from './listing.ts';
import { Lives } from './lives.ts';
import type { Parts } from './parts.ts';
import { checkKernel } from './programs.ts';
import { readRecords, unreadableRecords } from './records.ts';
import { sweep } from './sweep.ts';
import type { Entry, Table } from './table.ts';
import type { Toolstack } from './toolstack.ts';

/** Whom an order is about. */
interface Target {
  readonly domid: number;
  readonly info: DomainInfo | undefined;
  /** undefined: it is none of ours. */
  readonly entry: Entry | undefined;
}

export class Manager implements Toolstack {
  readonly #parts: Parts;
  readonly #table: Table;
  readonly #keeper: Keeper;
  readonly #lives: Lives;

  /** `table`: empty; parts may know it already. Takes up what others have left. */
  constructor(parts: Parts, table: Table) {
    this.#parts = parts;
    this.#table = table;
    this.#keeper = new Keeper(parts, table, (made) => this.#lives.begun(made));
    this.#lives = new Lives(parts, table, this.#keeper);
    parts.records.removeFresh();
    this.#lives.begin([...readRecords(parts.run), ...this.#unknown()]);
  }

  async list(): Promise<DomainEntry[]> {
    return await listDomains(this.#parts, this.#table);
  }

  async info(): Promise<HostInfo> {
    return hostInfo(this.#parts.ctrl);
  }

  async plan(order: CreateOrder): Promise<PlannedStep[]> {
    const config = this.#checked(order.config);
    return plannedSteps(this.#keeper.creation(config, order.start));
  }

  async create(order: CreateOrder, progress: (made: Progress) => void, signal: AbortSignal): Promise<number> {
    const config = this.#checked(order.config);
    const uuid = config.uuid ?? randomUUID();
    this.#tellSharedMacs(config.name, order.config.vifs);
    const creating = new AbortController();
    const making = { uuid, config, start: order.start, phase: 'creating', quickEnds: 0 } as const;
    this.#table.add(this.#keeper.blank(making), creating);
    const ending = AbortSignal.any([signal, creating.signal]);
    return await this.#table.exclusive(uuid, async () => {
      const { domid } = await this.#keeper.make({ ...making, progress, signal: ending });
      this.#table.settle(uuid);
      return domid!;
    });
  }

  async destroy(domain: DomainRef): Promise<void> {
    const { entry } = await this.#ours(domain);
    const { uuid } = entry.record;
    // Whoever makes it, or makes it anew, undoes it first.
    entry.creating?.abort();
    await this.#table.exclusive(uuid, async () => {
      const now = this.#table.get(uuid);
      if (now !== undefined) await this.#keeper.remove(now.record);
    });
  }

  async shutdown(
    domain: DomainRef,
    how: 'poweroff' | 'reboot' | 'halt',
    wait: 'wait' | 'return',
    signal?: AbortSignal,
  ): Promise<void> {
    const { entry, domid } = await this.#living(domain);
    await this.#parts.store.write(`/local/domain/${domid}/control/shutdown`, how);
    if (wait === 'return') return;
    const { uuid } = entry.record;
    await this.#table.until(() => {
      const record = this.#table.get(uuid)?.record;
      return record === undefined || record.domid !== domid || record.phase === 'preserved';
    }, signal);
  }

  async pause(domain: DomainRef): Promise<void> {
    const { domid } = await this.#living(domain);
    this.#parts.ctrl.pause(domid);
  }

  async unpause(domain: DomainRef): Promise<void> {
    const { domid, info } = await this.#ours(domain);
    if (info?.paused === true) this.#parts.ctrl.unpause(domid);
  }

  async rename(domain: DomainRef, name: string): Promise<void> {
    await this.#alone(domain, async (record, domid) => {
      const { uuid, config } = record;
      this.#checkName(name, uuid);
      await this.#parts.store.transaction(async (tx) => {
        await tx.write(`/local/domain/${domid}/name`, name);
        await tx.write(`/vm/${uuid}/name`, name);
      });
      this.#keeper.save({ ...record, config: { ...config, name } });
    });
  }

  async sysrq(domain: DomainRef, letter: string): Promise<void> {
    const { domid } = await this.#living(domain);
    await this.#parts.store.write(`/local/domain/${domid}/control/sysrq`, letter);
  }

  async devices(domain: DomainRef, kind: DeviceConfig['kind']): Promise<DeviceEntry[]> {
    const { domid } = await this.#target(domain);
    return await this.#parts.hotplug.list(domid, kind);
  }

  async attach(domain: DomainRef, device: DeviceConfig): Promise<DeviceEntry> {
    return await this.#alone(domain, async (record, domid) => {
      if (device.kind === 'vif') this.#tellSharedMacs(record.config.name, [device]);
      const more = withDevice(record.config, device, randomBytes, this.#table.macs());
      const placed = await this.#parts.hotplug.place(domid, more.config.type, more.device);
      await this.#parts.makeRoom(placed.name.backendDomid);
      const made = await this.#parts.hotplug.attach(placed);
      this.#keeper.save({ ...record, config: more.config });
      return made;
    });
  }

  async detach(
    domain: DomainRef,
    kind: DeviceConfig['kind'],
    device: string,
    how: 'orderly' | 'force',
  ): Promise<void> {
    await this.#alone(domain, async (record, domid) => {
      const { hotplug } = this.#parts;
      const { devid, backendDomid } = await hotplug.find(domid, kind, device);
      await hotplug.detach({ backendDomid, kind, frontendDomid: domid, devid }, how);
      this.#keeper.save({ ...record, config: withoutDevice(record.config, kind, devid) });
    });
  }

  async consoleNode(domain: DomainRef, type: 'pv' | 'serial', number: number): Promise<string> {
    const { domid } = await this.#target(domain);
    return terminalNode(domid, type, number);
  }

  async readNode(path: string): Promise<string | undefined> {
    return await this.#parts.store.findText(path);
  }

  async dmesg(clear: 'clear' | 'keep'): Promise<string> {
    return hypervisorLog(this.#parts.ctrl, clear);
  }

  async gc(): Promise<Swept> {
    return await sweep(this.#parts, this.#table, this.#keeper);
  }

  /** Waits for nothing that can be picked up again. */
  async close(): Promise<void> {
    this.#lives.end();
  }

  /** Those of which no more is known than that they are no domains of the host's own; with their uuid for a name. */
  #unknown(): DomainRecord[] {
    return unreadableRecords(this.#parts.run).map((uuid) => {
      const domid = infoOf(this.#parts.ctrl, { uuid, domid: undefined })?.domid;
      const domain = domid === undefined ? '' : ` (domain ${domid})`;
      this.#parts.print(
        `guest ${uuid}${domain}: what was written down of it cannot be read; "stubdom0 destroy ${uuid}" takes it away`,
      );
      return unknownRecord(uuid, domid);
    });
  }

  /** Filled in. Throws Fault. */
  #checked(config: DomainConfig): DomainConfig {
    this.#checkName(config.name, undefined);
    checkKernel(config);
    if (config.deviceModel !== undefined && config.type !== 'hvm')
      throw new Fault(
        `${config.name}: device_model: a domain of type ${config.type} has none; write type="hvm"`,
      );
    const whole = filledIn(config, randomBytes, this.#table.macs());
    const clash = deviceClash(whole);
    if (clash !== undefined) throw new Fault(`${config.name}: ${clash}`);
    return whole;
  }

  /** Addresses that somebody has chosen. Not refused, as by xl: two that are the same may be on bridges of their own, or nobody's any more. */
  #tellSharedMacs(name: string, vifs: readonly VifConfig[]): void {
    for (const { mac } of vifs) {
      const other = mac === undefined ? undefined : this.#table.withMac(mac);
      if (other !== undefined)
        this.#parts.print(
          `guest ${name}: ${mac} is the address of an interface of ${other.record.config.name}, too`,
        );
    }
  }

  #checkName(name: string, but: string | undefined): void {
    if (name === '' || /^\d+$/.test(name)) throw new Fault(`"${name}" is no name of a domain`);
    const other = this.#table.byName(name);
    const service = this.#parts.services.some((one) => one.name === name) || name === CONTROL;
    if (service || (other !== undefined && other.record.uuid !== but))
      throw new Fault(`a domain named ${name} is there already`);
  }

  /** Throws Fault: there is none. */
  async #target(domain: DomainRef): Promise<Target> {
    const { ctrl, services } = this.#parts;
    const number = /^\d{1,5}$/.test(domain) ? Number(domain) : undefined;
    const named = this.#table.byName(domain);
    const service = services.find(({ name }) => name === domain)?.domid;
    const domid = number ?? named?.record.domid ?? service ?? (domain === CONTROL ? 0 : undefined);
    const found = domid === undefined ? undefined : ctrl.getDomainInfo(domid);
    // Numbers are used again: what is kept of a domain is not who has its number now.
    const isAnother = named !== undefined && found !== undefined && found.handle !== named.record.uuid;
    const info = isAnother ? undefined : found;
    const entry =
      named ??
      (info === undefined
        ? this.#table.all().find(({ record }) => record.domid === domid && domid !== undefined)
        : this.#table.get(info.handle));
    if (info === undefined && entry === undefined) throw noDomain(domain);
    return { domid: isAnother ? -1 : (domid ?? -1), info, entry };
  }

  /** Throws Fault: there is none, or it is none of ours. */
  async #ours(domain: DomainRef): Promise<Target & { readonly entry: Entry }> {
    const { entry, ...target } = await this.#target(domain);
    if (entry === undefined)
      throw new Fault(`${domain} belongs to the host itself; "stubdom0 down" takes that down`);
    return { ...target, entry };
  }

  /** Throws Fault: none of ours, or only its record is there. */
  async #living(domain: DomainRef): Promise<Target & { readonly entry: Entry }> {
    const target = await this.#ours(domain);
    if (target.info === undefined) throw noneNow(target.entry.record);
    return target;
  }

  /** When nobody else is at work on it: as it is then. Throws Fault: there is none any more. */
  async #alone<T>(domain: DomainRef, work: (record: DomainRecord, domid: number) => Promise<T>): Promise<T> {
    const { uuid } = (await this.#ours(domain)).entry.record;
    return await this.#table.exclusive(uuid, async () => {
      const record = this.#table.get(uuid)?.record;
      if (record?.domid === undefined) throw noDomain(domain);
      if (infoOf(this.#parts.ctrl, record) === undefined) throw noneNow(record);
      return await work(record, record.domid);
    });
  }
}

function noDomain(domain: DomainRef): Fault {
  return new Fault(`${domain} is an invalid domain identifier`, { kind: 'no domain' });
}

function noneNow({ config, phase }: DomainRecord): Fault {
  return new Fault(`${config.name} has no domain now: it is only written down (${phase})`);
}
