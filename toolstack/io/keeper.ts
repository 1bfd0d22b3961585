/**
 * Makes domains, takes them away and makes them anew, each with its record and its row in the table. Decides nothing: who asks for which is told by orders
 * and by how domains end.
 */
import type { DomainConfig } from '../core/config.ts';
import { devicesIn, devidOf, labelOf } from '../core/deviceset.ts';
import type { Creation } from '../core/domainplan.ts';
import type { DomainRecord } from '../core/record.ts';
import type { Progress } from '../core/toolstack.ts';
import { DomainCreation, type Made } from './creation.ts';
import { Fault, reasonOf } from './fault.ts';
import type { Parts } from './parts.ts';
import type { Table } from './table.ts';
import { wipe } from './wipe.ts';

export interface Making {
  readonly uuid: string;
  readonly config: DomainConfig;
  readonly start: 'running' | 'paused';
  readonly phase: 'creating' | 'restarting';
  readonly quickEnds: number;
  readonly progress: (made: Progress) => void;
  readonly signal: AbortSignal;
}

export class Keeper {
  readonly #parts: Parts;
  readonly #table: Table;
  readonly #begun: (made: Made) => void;

  /** `begun`: a domain was made. */
  constructor(parts: Parts, table: Table, begun: (made: Made) => void) {
    this.#parts = parts;
    this.#table = table;
    this.#begun = begun;
  }

  creation(config: DomainConfig, start: 'running' | 'paused'): Creation {
    const devices = devicesIn(config).map((device) => ({
      device,
      name: labelOf(device.kind, devidOf(device) ?? 0, device.kind === 'vbd' ? device.vdev : undefined),
    }));
    return { config, start, console: this.#parts.consoleDomid !== undefined, devices };
  }

  /** The record of a domain of which nothing is done yet. */
  blank({ uuid, config, start, phase, quickEnds }: Omit<Making, 'progress' | 'signal'>): DomainRecord {
    const nothing = { domid: undefined, process: undefined, model: undefined, endedBy: undefined };
    return { version: 1, uuid, phase, config, start, madeMs: Date.now(), quickEnds, ...nothing };
  }

  /** Its row is there. Throws Fault if it could not be made or the signal came; then it is gone, and so is its row. */
  async make(making: Making): Promise<DomainRecord> {
    const { uuid, config, start, progress, signal } = making;
    const creation = new DomainCreation({
      parts: this.#parts,
      blank: this.blank(making),
      creation: this.creation(config, start),
      progress,
      signal,
      changed: (record) => this.#table.update(record),
    });
    try {
      const made = await creation.carryOut();
      if (made === undefined) throw new Fault(`the creation of ${config.name} was broken off, and is undone`);
      this.#begun(made);
      return made.record;
    } catch (error) {
      // One of which something could not be taken back keeps its name, until somebody sweeps.
      if (!this.#parts.records.has(uuid)) this.#table.remove(uuid);
      else this.#table.settle(uuid);
      throw error;
    }
  }

  /** Until nothing of it is left. */
  async remove(record: DomainRecord): Promise<void> {
    if (record.phase !== 'creating') this.#saveIfPossible({ ...record, phase: 'ending' });
    await wipe(this.#parts, record, 'record');
    this.#table.remove(record.uuid);
  }

  /** All of it but its record and its row. */
  async clear(record: DomainRecord): Promise<void> {
    await wipe(this.#parts, record, 'but its record');
  }

  /** A full disk must not keep a domain whose user wants it gone. */
  #saveIfPossible(record: DomainRecord): void {
    try {
      this.save(record);
    } catch (error) {
      this.#parts.log.warn({ domain: record.config.name }, `not written down: ${reasonOf(error)}`);
      this.#table.update(record);
    }
  }

  save(record: DomainRecord): void {
    this.#parts.records.save(record);
    this.#table.update(record);
  }
}
