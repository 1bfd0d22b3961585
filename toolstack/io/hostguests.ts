/**
 * The guests of a host file, ordered from the host's toolstack as anybody would order them; and all guests of a host, as their records tell. Knows no
 * supervision: guests live without whoever ordered them.
 */
import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '../../xenstored/client/index.ts';
import type { DomainConfig } from '../core/config.ts';
import { guestConfig, guestDisks } from '../core/guestconfig.ts';
import type { GuestFile } from '../core/host.ts';
import type { DomainRecord } from '../core/record.ts';
import { diskPath, makeDisk } from './disks.ts';
import { endProcess, guestLog } from './guestprocess.ts';
import { ended, isAlive, type ProcessId } from './identity.ts';
import { readRecords } from './records.ts';
import type { DomainState, ProcessState } from './state.ts';
import type { Toolstack } from './toolstack.ts';

/** Until a guest is let be that does not say that it is ready. */
const READY_MS = 30_000;
const LOOK_MS = 50;
/** From SIGTERM to SIGKILL. */
const GRACE_MS = 5_000;

export class HostGuests {
  readonly #run: string;
  readonly #toolstack: Toolstack;
  readonly #domids = new Map<string, number>();

  constructor(run: string, toolstack: Toolstack) {
    this.#run = run;
    this.#toolstack = toolstack;
  }

  /** Paused, until all are there. */
  async create(guest: GuestFile, place: number, signal: AbortSignal): Promise<void> {
    const pathOf = (file: string): string => diskPath(this.#run, file);
    for (const disk of guestDisks(guest, place)) makeDisk(pathOf(disk.file), disk);
    const order = { config: guestConfig(guest, place, pathOf), start: 'paused' } as const;
    this.#domids.set(guest.name, await this.#toolstack.create(order, () => {}, signal));
  }

  /** Each finds the ids of those it greets below its `vm-data/greets`. */
  async acquaint(files: readonly GuestFile[], store: Client): Promise<void> {
    for (const { name, greets } of files) {
      const ids = greets.map((other) => this.#domids.get(other)!).join(' ');
      await store.write(`/local/domain/${this.#domids.get(name)!}/vm-data/greets`, ids);
    }
  }

  /** Until each says that it is ready, or has ended, or has had its time. */
  async letRun(signal: AbortSignal): Promise<void> {
    const names = [...this.#domids.keys()];
    await Promise.all(names.map((name) => this.#toolstack.unpause(name)));
    const limit = AbortSignal.any([signal, AbortSignal.timeout(READY_MS)]);
    const logs = names.map((name) => ({ name, log: guestLog(this.#run, name), size: -1 }));
    for (let waiting = logs; waiting.length > 0 && !limit.aborted; ) {
      const there = new Set(readRecords(this.#run).map(({ config }) => config.name));
      waiting = waiting.filter((one) => there.has(one.name) && !isReady(one));
      if (waiting.length > 0) await delay(LOOK_MS);
    }
  }
}

/** `size`: at the last look, kept for the next one. */
function isReady(one: { readonly log: string; size: number }): boolean {
  const now = statSync(one.log, { throwIfNoEntry: false })?.size ?? 0;
  if (now === one.size) return false;
  one.size = now;
  return now > 0 && /^guest is ready/m.test(readFileSync(one.log, 'utf8'));
}

/** Ends them all, orderly as far as they know how to; nobody may make any anew. */
export async function endGuests(run: string): Promise<void> {
  const alive = processes(run).filter(isAlive);
  for (const { pid } of alive) {
    try {
      process.kill(pid, 'SIGTERM');
    } catch {
      // It was quicker.
    }
  }
  await Promise.race([Promise.all(alive.map(ended)), delay(GRACE_MS, undefined, { ref: false })]);
  await Promise.all(processes(run).map(({ pid, born }) => endProcess({ pid, born })));
}

function processes(run: string): ProcessId[] {
  return readRecords(run).flatMap(({ process, model }) =>
    [process, model?.process].filter((one) => one !== undefined),
  );
}

export function guestProcesses(run: string): ProcessState[] {
  return inOrder(readRecords(run)).map(({ config, process }) => ({
    name: `guest-${config.name}`,
    phase: process !== undefined && isAlive(process) ? 'ready' : 'ended',
    id: process,
    restarts: 0,
  }));
}

export function guestStates(run: string): DomainState[] {
  return inOrder(readRecords(run)).flatMap(({ domid, config }) =>
    domid === undefined
      ? []
      : [
          {
            domid,
            name: config.name,
            memoryMb: config.memoryMb,
            role: 'guest',
            devices: deviceTexts(config),
          },
        ],
  );
}

function inOrder(records: readonly DomainRecord[]): DomainRecord[] {
  return [...records].sort((a, b) => (a.domid ?? 0) - (b.domid ?? 0));
}

/** For people: `xvda alice.img`, `vif0 10.53.0.2/24`, `sockets0`. */
function deviceTexts({ disks, vifs, sockets }: DomainConfig): string[] {
  return [
    ...disks.map(({ vdev, target }) => `${vdev} ${basename(target)}`.trimEnd()),
    ...vifs.map(({ ip, mac, devid }, index) => `vif${devid ?? index} ${ip ?? mac ?? ''}`.trimEnd()),
    ...sockets.map(({ devid }, index) => `sockets${devid ?? index}`),
  ];
}
