/**
 * A domain made on real Xen: xl builds it, paused; what libxl knows nothing of is added; then it runs. A plan of steps, each with its undo, and what is to be
 * done for a creation whose maker is gone. Knows no command line of ours.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Ctrl, DomainInfo } from '../../osdep/ctrl.ts';
import type { Client } from '../../xenstored/client/index.ts';
import type { DomainConfig } from '../core/config.ts';
import { Plan, type Step } from '../core/plan.ts';
import type { CfgText, PlannedStep, Progress } from '../core/toolstack.ts';
import { xlText } from '../core/xlcfg.ts';
import { carryOut } from './carry.ts';
import { infoOf } from './domainlist.ts';
import { Fault } from './fault.ts';
import { identify, isAlive } from './identity.ts';
import type { Xl } from './xlprogram.ts';
import type { XlRecord, XlRecords } from './xlrecords.ts';

export interface XlParts {
  readonly xl: Xl;
  readonly ctrl: Ctrl;
  readonly store: Client;
  readonly records: XlRecords;
}

export interface XlOrder {
  readonly uuid: string;
  readonly config: DomainConfig;
  readonly cfg: CfgText;
  readonly start: 'running' | 'paused';
}

type Action = 'record' | 'build' | 'destroy' | 'data' | 'unpause' | 'unrecord';

function stepsOf({ config, start }: Pick<XlOrder, 'config' | 'start'>): Step<Action>[] {
  return [
    { name: 'write down what is begun', run: 'record', undo: 'unrecord' },
    { name: 'build the domain, paused: xl create -p', run: 'build', undo: 'destroy' },
    ...(Object.keys(config.data).length === 0
      ? []
      : [{ name: 'write vm-data into the store', run: 'data' } as const]),
    ...(start === 'paused' ? [] : [{ name: 'let it run', run: 'unpause' } as const]),
    { name: 'strike out what was begun', run: 'unrecord' },
  ];
}

const undoTexts: Readonly<Partial<Record<Action, string>>> = {
  unrecord: 'strike it out',
  destroy: 'xl destroy',
};

export function plannedXlSteps(order: Pick<XlOrder, 'config' | 'start'>): PlannedStep[] {
  return stepsOf(order).map(({ name, undo }) => ({
    step: name,
    undo: undo === undefined ? undefined : undoTexts[undo],
  }));
}

/** Answers the id of a domain that is there. Throws Fault if it could not be made; the signal's reason if that came. Then nothing is left of it. */
export async function createByXl(
  parts: XlParts,
  order: XlOrder,
  progress: (made: Progress) => void,
  signal: AbortSignal,
): Promise<number> {
  const { uuid, config, cfg } = order;
  const { xl, ctrl, store, records } = parts;
  let domid: number | undefined;
  const perform = async (action: Action): Promise<void> => {
    switch (action) {
      case 'record': {
        const from = (path: string): string => resolve(cfg.directory, path);
        const maker = identify(process.pid)!;
        records.save(
          { version: 1, uuid, name: config.name, maker },
          xlText(cfg.text, config, { uuid, resolve: from }),
        );
        return;
      }
      case 'build':
        try {
          await xl.run(['create', '-p', '-q', records.cfgPath(uuid)], { signal });
          domid = found(ctrl, uuid, config).domid;
        } catch (error) {
          await clear(parts, uuid);
          throw error;
        }
        return;
      case 'destroy':
        return await clear(parts, uuid);
      case 'data':
        await store.transaction(async (tx) => {
          for (const [key, value] of Object.entries(config.data))
            await tx.write(`/local/domain/${domid}/vm-data/${key}`, value);
        });
        return;
      case 'unpause':
        await unpause(parts, found(ctrl, uuid, config));
        return;
      case 'unrecord':
        records.remove(uuid);
    }
  };
  const whole = await carryOut(new Plan(stepsOf(order)), {
    perform,
    interrupted: () => signal.aborted,
    progress,
  });
  if (!whole) {
    signal.throwIfAborted();
    throw new Fault(`the creation of ${config.name} was broken off, and is undone`);
  }
  return domid!;
}

/** libxl stops and starts the device model of an HVM domain, too. */
export async function unpause(
  { xl, ctrl }: Pick<XlParts, 'xl' | 'ctrl'>,
  { domid, hvm }: { readonly domid: number; readonly hvm: boolean },
): Promise<void> {
  if (hvm) await xl.run(['unpause', `${domid}`]);
  else ctrl.unpause(domid);
}

/** Undoes what those have begun who are gone; what had come to its end stays. Answers what it has done, for people. */
export async function recover(parts: XlParts): Promise<string[]> {
  const done: string[] = [];
  for (const record of parts.records.all()) {
    if (isAlive(record.maker)) continue;
    done.push(await recoverOne(parts, record));
  }
  return done;
}

async function recoverOne(parts: XlParts, { uuid, name }: XlRecord): Promise<string> {
  await endXl(parts.records.cfgPath(uuid));
  const info = byUuid(parts.ctrl, uuid);
  // It was running: all that was left to do was to strike it out.
  const finished = info !== undefined && !info.paused;
  if (!finished) await clear(parts, uuid);
  parts.records.remove(uuid);
  return finished
    ? `note of domain ${name}, which is whole`
    : `domain ${name}, which was left half made${info === undefined ? '' : `: domain ${info.domid}`}`;
}

/** However far it had come. */
async function clear({ xl, ctrl }: XlParts, uuid: string): Promise<void> {
  const info = byUuid(ctrl, uuid);
  if (info === undefined) return;
  try {
    await xl.run(['destroy', `${info.domid}`]);
  } catch (error) {
    const still = byUuid(ctrl, uuid);
    if (still === undefined || still.dying) return;
    if (!(error instanceof Fault)) throw error;
    // libxl knows too little of one that had hardly begun.
    ctrl.destroyDomain(still.domid);
  }
}

/** The xl that outlived whoever started it, and the one that it left to look after the domain. */
async function endXl(cfgPath: string): Promise<void> {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    const id = identify(pid);
    if (id === undefined || !commandOf(pid).includes(cfgPath)) continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It went meanwhile.
    }
    while (isAlive(id)) await new Promise((done) => setTimeout(done, 10));
  }
}

function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

function byUuid(ctrl: Ctrl, uuid: string): DomainInfo | undefined {
  return infoOf(ctrl, { domid: undefined, uuid });
}

function found(ctrl: Ctrl, uuid: string, { name }: DomainConfig): DomainInfo {
  const info = byUuid(ctrl, uuid);
  if (info === undefined) throw new Fault(`${name} was made, and is gone already`);
  return info;
}
