/**
 * The domains that a manager knows: by uuid, by name, and who is at work on each. Names and uuids are taken before the first step and given back after the
 * last, whoever asks meanwhile. Knows no domain's insides.
 */
import { devicesIn } from '../core/deviceset.ts';
import type { DomainRecord } from '../core/record.ts';
import { Fault } from './fault.ts';

export interface Entry {
  /** The last that was written down. */
  record: DomainRecord;
  /** Breaks its creation off, while it is made. */
  creating: AbortController | undefined;
}

interface Row extends Entry {
  name: string;
  work: Promise<unknown>;
}

export class Table {
  readonly #rows = new Map<string, Row>();
  readonly #uuids = new Map<string, string>();
  readonly #waiting = new Set<() => void>();
  #devices = 0;

  /** Throws Fault: its name or uuid is another's. */
  add(record: DomainRecord, creating?: AbortController): void {
    const { uuid, config } = record;
    if (this.#uuids.has(config.name)) throw new Fault(`a domain named ${config.name} is there already`);
    if (this.#rows.has(uuid)) throw new Fault(`a domain with uuid ${uuid} is there already`);
    this.#rows.set(uuid, { record, creating, name: config.name, work: Promise.resolve() });
    this.#devices += devicesOf(record);
    this.#uuids.set(config.name, uuid);
  }

  /** Throws Fault: its new name is another's. */
  update(record: DomainRecord): void {
    const row = this.#rows.get(record.uuid);
    if (row === undefined) return;
    const { name } = record.config;
    if (name !== row.name) {
      if (this.#uuids.has(name)) throw new Fault(`a domain named ${name} is there already`);
      this.#uuids.delete(row.name);
      this.#uuids.set(name, record.uuid);
    }
    this.#devices += devicesOf(record) - devicesOf(row.record);
    row.record = record;
    row.name = name;
    this.changed();
  }

  /** Nobody is at work on making it any more. */
  settle(uuid: string): void {
    const row = this.#rows.get(uuid);
    if (row !== undefined) row.creating = undefined;
  }

  remove(uuid: string): void {
    const row = this.#rows.get(uuid);
    if (row === undefined) return;
    this.#rows.delete(uuid);
    this.#devices -= devicesOf(row.record);
    this.#uuids.delete(row.name);
    this.changed();
  }

  get(uuid: string): Entry | undefined {
    return this.#rows.get(uuid);
  }

  byName(name: string): Entry | undefined {
    const uuid = this.#uuids.get(name);
    return uuid === undefined ? undefined : this.get(uuid);
  }

  all(): Entry[] {
    return [...this.#rows.values()];
  }

  /** How many there are of all, consoles among them. */
  devices(): number {
    return this.#devices;
  }

  /** Addresses of interfaces. */
  macs(): string[] {
    return this.all().flatMap(({ record }) => record.config.vifs.flatMap(({ mac }) => mac ?? []));
  }

  /** One that is there, and has an interface with this address. */
  withMac(mac: string): Entry | undefined {
    return this.all().find(
      ({ record: { phase, config } }) => phase !== 'preserved' && config.vifs.some((vif) => vif.mac === mac),
    );
  }

  /** One at a time for each domain, in the order of asking. */
  exclusive<T>(uuid: string, work: () => Promise<T>): Promise<T> {
    const row = this.#rows.get(uuid);
    if (row === undefined) return work();
    const mine = row.work.then(work, work);
    row.work = mine.catch(() => {});
    return mine;
  }

  /** Until it answers true, asked again when any domain has changed. */
  async until(done: () => boolean, signal?: AbortSignal): Promise<void> {
    while (!done()) {
      signal?.throwIfAborted();
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiting.delete(wake);
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        this.#waiting.add(wake);
        signal?.addEventListener('abort', wake);
      });
    }
  }

  changed(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}

/** Its console among them. */
function devicesOf({ config }: DomainRecord): number {
  return 1 + devicesIn(config).length;
}
