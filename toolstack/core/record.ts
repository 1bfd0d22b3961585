/**
 * What a toolstack writes down of a domain that it makes, before it does anything, so that another one that comes after a kill knows what is to go on and
 * what is to be taken back. Text in, a record out; knows no file and no process but by its number.
 */
import { parseCfg } from './cfg.ts';
import type { DomainConfig } from './config.ts';

/**
 * `creating`, `ending`: whoever finds it so undoes it. `restarting`: whoever finds it so undoes it and makes the domain anew. `running`: it was handed
 * over to its user; what became of it since, the hypervisor tells. `preserved`: it ended, and was asked to stay to be looked at. `unknown`: what was written
 * down of it cannot be read; it is let be until somebody takes it away. Never written.
 */
export type RecordPhase = 'creating' | 'running' | 'restarting' | 'ending' | 'preserved' | 'unknown';

/** A process, and when it was born: numbers are used again. */
export interface RecordedProcess {
  readonly pid: number;
  readonly born: string;
  /** Others' domains are in it, too: it is not ended for one of them. */
  readonly shared?: true;
}

/** A domain with a process in it. */
export interface RecordedDomain {
  /** undefined: it is not made yet, or that was not written down; then its uuid finds it. */
  readonly domid: number | undefined;
  /** undefined: none of its own. */
  readonly process: RecordedProcess | undefined;
}

export interface DomainRecord extends RecordedDomain {
  readonly version: 1;
  readonly uuid: string;
  readonly phase: RecordPhase;
  /** With everything filled in, as `create` was told or devices have been attached since. */
  readonly config: DomainConfig;
  readonly start: 'running' | 'paused';
  /** Its device model, in a domain of its own. */
  readonly model: (RecordedDomain & { readonly uuid: string }) | undefined;
  /** Milliseconds since the epoch: when it was last made. */
  readonly madeMs: number;
  /** How often in a row it has ended soon after it was made. */
  readonly quickEnds: number;
  /** A ShutdownReason; of one that is preserved. */
  readonly endedBy: number | undefined;
}

export function recordText(record: DomainRecord): string {
  return `${JSON.stringify(record, undefined, 1)}\n`;
}

/** undefined: it is none, or one of another version. */
export function parseRecord(text: string): DomainRecord | undefined {
  try {
    const record = JSON.parse(text) as Partial<DomainRecord> | null;
    const complete =
      record?.version === 1 &&
      typeof record.uuid === 'string' &&
      typeof record.phase === 'string' &&
      typeof record.config?.name === 'string' &&
      [record.config.disks, record.config.vifs, record.config.sockets].every(Array.isArray);
    return complete ? (record as DomainRecord) : undefined;
  } catch {
    return undefined;
  }
}

/** Of a domain of which only this is known; its uuid is its name. */
export function unknownRecord(uuid: string, domid: number | undefined): DomainRecord {
  const cfg = parseCfg(`name="${uuid}"`);
  if (!cfg.ok) throw new Error(`${uuid} is no uuid`);
  const nothing = { process: undefined, model: undefined, endedBy: undefined };
  const life = { phase: 'unknown', start: 'running', madeMs: 0, quickEnds: 0 } as const;
  return { version: 1, uuid, config: cfg.config, domid, ...life, ...nothing };
}
