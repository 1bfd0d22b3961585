/**
 * How domains end, and what becomes of them then: looks whenever the hypervisor has something to tell, and does what their configuration says
 * (toolstack/core/lifecycle.ts). Picks up what a manager that was killed has left. Knows no order.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type DomainInfo, ShutdownReason } from '../../osdep/ctrl.ts';
import { endText, type Fate, fateOf, preservedName, recovery } from '../core/lifecycle.ts';
import type { DomainRecord } from '../core/record.ts';
import type { Made } from './creation.ts';
import { allDomains, infoOf } from './domainlist.ts';
import { removeAll } from './domains.ts';
import { reasonOf } from './fault.ts';
import { boundLog, bulkLog, guestLog, pruneLogs } from './guestprocess.ts';
import { isAlive } from './identity.ts';
import type { Keeper } from './keeper.ts';
import { startModelAgain } from './model.ts';
import type { Parts } from './parts.ts';
import type { Entry, Table } from './table.ts';

/** How often those are looked after of whom nobody tells. */
const ROUND_MS = 2_000;
/** Until a guest has had time to connect its devices, and somebody could have something against one. */
const TOLD_MS = 3_000;
/** Before one that ends again and again is started again. */
const MODEL_PAUSE_MS = 1_000;

export class Lives {
  readonly #parts: Parts;
  readonly #table: Table;
  readonly #keeper: Keeper;
  readonly #ending = new AbortController();
  /** Those whose process is a child of ours: its end is told. */
  readonly #children = new Set<string>();
  /** How a process ended, for the line that tells of it. */
  readonly #how = new Map<string, string>();
  #round: NodeJS.Timeout | undefined;

  constructor(parts: Parts, table: Table, keeper: Keeper) {
    this.#parts = parts;
    this.#table = table;
    this.#keeper = keeper;
  }

  /** Takes up these, and looks after all from then on. */
  begin(records: readonly DomainRecord[]): void {
    const infos = this.#infos();
    for (const record of records) {
      try {
        this.#table.add(record);
        void this.#recover(record, infos.get(record.uuid));
      } catch (error) {
        this.#parts.print(`guest ${record.config.name}: not taken up: ${reasonOf(error)}`);
      }
    }
    void this.#watch();
    this.#round = setInterval(() => this.#makeRound(), ROUND_MS);
  }

  end(): void {
    this.#ending.abort();
    clearInterval(this.#round);
  }

  /** A domain was made by us: how its processes end is told. */
  begun({ record, started, model }: Made): void {
    const { uuid, process } = record;
    this.#children.add(uuid);
    setTimeout(() => void this.#tellTroubles(record), TOLD_MS).unref();
    void started.over.then((how) => {
      // It may have been made anew meanwhile.
      if (this.#table.get(uuid)?.record.process?.born !== process?.born) return;
      this.#children.delete(uuid);
      this.#how.set(uuid, how);
      this.#bury(uuid);
    });
    void model?.over.then(() => this.#modelOver(uuid));
  }

  /** Whoever ordered the domain was told of it when its devices were ordered, not when they were used. */
  async #tellTroubles({ uuid, domid, config }: DomainRecord): Promise<void> {
    if (domid === undefined || this.#table.get(uuid)?.record.domid !== domid) return;
    try {
      for (const text of await this.#parts.hotplug.complaints(domid))
        this.#parts.print(`guest ${config.name}: ${text}`);
    } catch {
      // A store that is just being started again has nobody's complaints to tell.
    }
  }

  /** It is started again, as long as there is somebody whom it serves. */
  #modelOver(uuid: string): Promise<void> {
    return this.#exclusive(uuid, async ({ record }) => {
      const { model } = record;
      const info = this.#infoOf(record);
      if (record.phase !== 'running' || info === undefined || isOver(info)) return;
      if (model?.process === undefined || isAlive(model.process)) return;
      const keep = (model: DomainRecord['model']): void =>
        this.#keeper.save({ ...this.#table.get(uuid)!.record, model });
      const started = await startModelAgain(this.#parts, record, keep);
      this.#parts.log.warn(
        { domain: record.config.name },
        'its device model had ended, and is started again',
      );
      void started.over.then(() => setTimeout(() => void this.#modelOver(uuid), MODEL_PAUSE_MS).unref());
    });
  }

  async #recover(record: DomainRecord, info: DomainInfo | undefined): Promise<void> {
    const { uuid } = record;
    const { name } = record.config;
    switch (recovery(record.phase, info !== undefined && !isOver(info))) {
      case 'go on':
      case 'keep':
        return;
      case 'it ended':
        return await this.#look(uuid);
      case 'undo':
        this.#parts.print(`guest ${name}: undoing what was left half done`);
        return await this.#exclusive(uuid, () => this.#keeper.remove(record));
      case 'restart':
        return await this.#exclusive(uuid, () => this.#anew(record, 0));
    }
  }

  async #watch(): Promise<void> {
    const { store, log } = this.#parts;
    try {
      for await (const _ of store.watch('@releaseDomain', { signal: this.#ending.signal })) this.#lookAtAll();
    } catch (error) {
      log.error(`no longer watching for domains that end: ${reasonOf(error)}`);
    }
  }

  #lookAtAll(): void {
    const infos = this.#infos();
    for (const { record } of this.#table.all()) {
      const info = infos.get(record.uuid);
      if (record.phase === 'running' && (info === undefined || isOver(info))) void this.#look(record.uuid);
    }
  }

  #makeRound(): void {
    pruneLogs(
      this.#parts.run,
      this.#table.all().map(({ record }) => record.config.name),
    );
    boundLog(bulkLog(this.#parts.run));
    for (const { record } of this.#table.all()) {
      boundLog(guestLog(this.#parts.run, record.config.name));
      const { uuid, phase, process, model } = record;
      if (phase !== 'running' || process === undefined) continue;
      if (model?.process !== undefined && !isAlive(model.process)) void this.#modelOver(uuid);
      if (this.#children.has(uuid)) continue;
      if (!isAlive(process)) this.#bury(uuid);
    }
  }

  /** A domain whose process has ended before the hypervisor ever saw it would be there for ever. */
  #bury(uuid: string): void {
    const record = this.#table.get(uuid)?.record;
    if (record?.phase !== 'running') return;
    const info = this.#infoOf(record);
    if (info !== undefined && !isOver(info)) this.#parts.ctrl.shutdown(info.domid, ShutdownReason.CRASH);
    void this.#look(uuid);
  }

  #look(uuid: string): Promise<void> {
    return this.#exclusive(uuid, async (entry) => {
      const { record } = entry;
      const info = this.#infoOf(record);
      if (record.phase !== 'running' || (info !== undefined && !isOver(info))) return;
      await this.#settle(entry, info);
    });
  }

  async #settle({ record }: Entry, info: DomainInfo | undefined): Promise<void> {
    const { uuid, config, domid, quickEnds } = record;
    const reason = info?.shutdownReason;
    const livedMs = Date.now() - record.madeMs;
    const { fate, note } = fateOf(config, { reason, livedMs, quickEnds });
    const how = this.#how.get(uuid);
    this.#how.delete(uuid);
    const crashed = reason === undefined || reason === ShutdownReason.CRASH;
    const words = crashed && how !== undefined ? how : `it ${endText(reason)}`;
    const more = note === undefined ? '' : `; ${note}`;
    const who = `guest ${config.name} (domain ${domid})`;
    switch (fate.kind) {
      case 'stay':
        return;
      case 'preserve':
        this.#keeper.save({ ...record, phase: 'preserved', endedBy: reason ?? ShutdownReason.CRASH });
        this.#parts.print(`${who} is kept: ${words}${more}`);
        return;
      case 'destroy':
        await this.#keeper.remove(record);
        this.#parts.print(`${who} is gone: ${words}${more}`);
        return;
      case 'restart':
        this.#parts.print(`${who} is made anew: ${words}${more}`);
        await this.#restart(record, fate, reason ?? ShutdownReason.CRASH);
    }
  }

  async #restart(record: DomainRecord, fate: Fate & { kind: 'restart' }, reason: number): Promise<void> {
    const next: DomainRecord = { ...record, phase: 'restarting', quickEnds: fate.quickEnds };
    if (!fate.rename) {
      this.#keeper.save(next);
      return await this.#anew(next, fate.pauseMs);
    }
    const kept = await this.#keepAside(record, reason);
    this.#parts.print(`guest ${record.config.name} (domain ${record.domid}) is kept as ${kept}`);
    const fresh = { ...next, domid: undefined, process: undefined, model: undefined };
    this.#keeper.save(fresh);
    await this.#anew(fresh, fate.pauseMs);
  }

  /** What is left of a domain stays under another name, and with another uuid. Answers the name. */
  async #keepAside(record: DomainRecord, endedBy: number): Promise<string> {
    const { domid, config } = record;
    const { ctrl, store, records } = this.#parts;
    const uuid = randomUUID();
    const isTaken = (one: string): boolean => this.#table.byName(one) !== undefined;
    const name = preservedName(config.name, new Date().toISOString(), isTaken);
    const kept: DomainRecord = { ...record, uuid, phase: 'preserved', endedBy, config: { ...config, name } };
    records.save(kept);
    this.#table.add(kept);
    if (this.#infoOf(record) !== undefined) ctrl.setHandle(domid!, uuid);
    await store.transaction(async (tx) => {
      await tx.write(`/vm/${uuid}/uuid`, uuid);
      await tx.write(`/vm/${uuid}/name`, name);
      await tx.write(`/local/domain/${domid}/vm`, `/vm/${uuid}`);
      await tx.write(`/local/domain/${domid}/name`, name);
      await removeAll(tx, [`/vm/${record.uuid}`]);
    });
    return name;
  }

  /** Takes away what is left of it, and makes it again, the same in all but its number. */
  async #anew(record: DomainRecord, pauseMs: number): Promise<void> {
    const { uuid, config, quickEnds } = record;
    const entry = this.#table.get(uuid);
    if (entry === undefined) return;
    const creating = new AbortController();
    entry.creating = creating;
    try {
      await this.#keeper.clear(record);
      await pause(pauseMs, creating.signal);
      const making = { uuid, config, start: 'running', phase: 'restarting', quickEnds } as const;
      const made = await this.#keeper.make({ ...making, progress: () => {}, signal: creating.signal });
      this.#parts.print(`guest ${config.name} is domain ${made.domid} now`);
    } catch (error) {
      this.#parts.print(`guest ${config.name} is not made again: ${reasonOf(error)}`);
    } finally {
      entry.creating = undefined;
    }
  }

  async #exclusive(uuid: string, work: (entry: Entry) => Promise<void>): Promise<void> {
    try {
      await this.#table.exclusive(uuid, async () => {
        const entry = this.#table.get(uuid);
        if (entry !== undefined) await work(entry);
      });
    } catch (error) {
      const name = this.#table.get(uuid)?.record.config.name ?? uuid;
      this.#parts.print(`guest ${name}: ${reasonOf(error)}`);
    }
  }

  #infos(): Map<string, DomainInfo> {
    return new Map(allDomains(this.#parts.ctrl).map((info) => [info.handle, info]));
  }

  #infoOf(record: DomainRecord): DomainInfo | undefined {
    return record.domid === undefined ? undefined : infoOf(this.#parts.ctrl, record);
  }
}

function isOver(info: DomainInfo): boolean {
  return info.shutdown || info.dying;
}

/** Or until the signal comes. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await delay(ms, undefined, { signal }).catch(() => {});
}
