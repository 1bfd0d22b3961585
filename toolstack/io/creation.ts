/**
 * One domain while it is made: carries out the steps of toolstack/core/domainplan.ts, and writes down what a toolstack that comes after a kill has to know.
 * Knows no other domain.
 */
import type { DeviceName } from '../../xenstored/xenbus/path.ts';
import type { DeviceConfig, DomainConfig } from '../core/config.ts';
import type { DomainSpec } from '../core/domain.ts';
import { type Creation, type CreationAction, creationSteps } from '../core/domainplan.ts';
import { Plan } from '../core/plan.ts';
import type { DomainRecord } from '../core/record.ts';
import type { Progress } from '../core/toolstack.ts';
import { carryOut } from './carry.ts';
import { type DomainBuilder, startTime } from './domains.ts';
import { BULK, endProcess, guestLog, type Started, startProcess } from './guestprocess.ts';
import { removeModel, startModel } from './model.ts';
import type { Parts } from './parts.ts';
import { guestCommand } from './programs.ts';
import { wipe } from './wipe.ts';

export interface CreationOptions {
  readonly parts: Parts;
  /** What is written down before anything is done; its phase says what becomes of it after a kill. */
  readonly blank: DomainRecord;
  readonly creation: Creation;
  readonly progress: (made: Progress) => void;
  readonly signal: AbortSignal;
  /** Something of it has been written down. */
  readonly changed: (record: DomainRecord) => void;
}

export interface Made {
  readonly record: DomainRecord;
  readonly started: Started;
  readonly model: Started | undefined;
}

export class DomainCreation {
  readonly #options: CreationOptions;
  readonly #builder: DomainBuilder;
  readonly #placed = new Map<DeviceConfig, DeviceName>();
  #record: DomainRecord;
  #started: Started | undefined;
  #model: Started | undefined;

  constructor(options: CreationOptions) {
    this.#options = options;
    const { parts, blank, creation } = options;
    this.#builder = parts.domains.builder(parts.store, parts, specOf(creation.config, blank.uuid));
    this.#record = blank;
  }

  /** undefined: the signal came, and all is undone. Throws Fault, with all undone. */
  async carryOut(): Promise<Made | undefined> {
    const { parts, creation, progress, signal } = this.#options;
    const { name } = creation.config;
    const made = await carryOut(new Plan(creationSteps(creation)), {
      perform: (action) => this.#perform(action),
      interrupted: () => signal.aborted,
      note: (text) => parts.log.info({ domain: name }, text),
      progress,
    });
    if (!made) return undefined;
    this.#save({ phase: 'running' });
    return { record: this.#record, started: this.#started!, model: this.#model };
  }

  #perform(action: CreationAction): Promise<void> | void {
    const { parts } = this.#options;
    switch (action.kind) {
      case 'record':
        return parts.records.save(this.#record);
      case 'unrecord':
        // Whatever an undo before has not managed to take back.
        return wipe(parts, this.#record, 'record');
      case 'domain':
        return this.#domain(action.action);
      case 'start':
        return this.#start();
      case 'kill':
        return this.#kill();
      case 'unpause':
        return parts.domains.unpause(this.#record.domid!);
      case 'attach':
        return this.#attach(action.device);
      case 'detach':
        return this.#detach(action.device);
      case 'startModel':
        return this.#startModel();
      case 'stopModel':
        return removeModel(parts, this.#record);
    }
  }

  async #domain(action: Parameters<DomainBuilder['perform']>[0]): Promise<void> {
    const { consoleDomid, makeRoom } = this.#options.parts;
    if (action === 'console' && consoleDomid !== undefined) await makeRoom(consoleDomid);
    await this.#builder.perform(action);
    if (action === 'create') this.#save({ domid: this.#builder.domid });
  }

  async #attach(device: DeviceConfig): Promise<void> {
    const { parts, creation, signal } = this.#options;
    const placed = await parts.hotplug.place(this.#record.domid!, creation.config.type, device);
    this.#placed.set(device, placed.name);
    await parts.makeRoom(placed.name.backendDomid);
    await parts.hotplug.attach(placed, signal);
  }

  /** Its domain has never run: nobody has to be asked. */
  async #detach(device: DeviceConfig): Promise<void> {
    await this.#options.parts.hotplug.detach(this.#placed.get(device)!, 'force');
  }

  async #startModel(): Promise<void> {
    const { parts, creation } = this.#options;
    try {
      this.#model = await startModel(parts, creation.config, this.#record.domid!, (model) =>
        this.#save({ model }),
      );
    } catch (error) {
      await removeModel(parts, this.#record);
      throw error;
    }
  }

  #start(): void {
    const { parts, creation } = this.#options;
    const { config } = creation;
    const environment = parts.environment(this.#record.domid!, 'ends with its process');
    this.#started =
      config.kernel === BULK
        ? parts.bulk.join(this.#record.domid!, environment)
        : startProcess(guestCommand(config, parts.run, environment), guestLog(parts.run, config.name));
    this.#save({ process: this.#started.id });
    this.#started.go();
  }

  async #kill(): Promise<void> {
    await endProcess(this.#record.process);
  }

  #save(change: Partial<DomainRecord>): void {
    this.#record = { ...this.#record, ...change };
    this.#options.parts.records.save(this.#record);
    this.#options.changed(this.#record);
  }
}

function specOf(config: DomainConfig, uuid: string): Omit<DomainSpec, 'domid'> {
  return {
    uuid,
    name: config.name,
    type: config.type,
    memoryKb: config.memoryMb * 1024,
    maxmemKb: config.maxmemMb * 1024,
    vcpus: config.vcpus,
    maxvcpus: config.maxvcpus,
    driverDomain: config.driverDomain,
    kernel: config.kernel ?? 'guest',
    cmdline: config.cmdline,
    startTime: startTime(),
    data: config.data,
  };
}
