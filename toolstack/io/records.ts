/**
 * The records of domains, each a file that is replaced whole: what is written is there after a kill, or what was there before is. Knows what
 * none of it means.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FRESH_SUFFIX, replaceFile } from '../../osdep/os/wholefile.ts';
import { type DomainRecord, parseRecord, recordText } from '../core/record.ts';
import { namesIn } from './lookup.ts';

const SUFFIX = '.json';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export class Records {
  readonly #folder: string;

  /** `run`: the host's run directory. */
  constructor(run: string) {
    this.#folder = join(run, 'toolstack', 'domains');
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
  }

  save(record: DomainRecord): void {
    replaceFile(this.#path(record.uuid), recordText(record));
  }

  has(uuid: string): boolean {
    return existsSync(this.#path(uuid));
  }

  remove(uuid: string): void {
    for (const path of [this.#path(uuid), this.#path(uuid) + FRESH_SUFFIX]) rmSync(path, { force: true });
  }

  /** What somebody was about to write when he was killed. */
  removeFresh(): void {
    for (const name of readdirSync(this.#folder))
      if (name.endsWith(FRESH_SUFFIX)) rmSync(join(this.#folder, name), { force: true });
  }

  #path(uuid: string): string {
    return join(this.#folder, `${uuid}${SUFFIX}`);
  }
}

/** All that can be read, of the host in this run directory; in no order. */
export function readRecords(run: string): DomainRecord[] {
  return readAll(run).flatMap(({ record }) => record ?? []);
}

/** Uuids of those that cannot be read, as their files' names tell. */
export function unreadableRecords(run: string): string[] {
  return readAll(run).flatMap(({ uuid, record }) => (record === undefined && UUID.test(uuid) ? [uuid] : []));
}

function readAll(run: string): { uuid: string; record: DomainRecord | undefined }[] {
  const folder = join(run, 'toolstack', 'domains');
  const names = namesIn(folder).filter((name) => name.endsWith(SUFFIX));
  return names.map((name) => {
    const uuid = name.slice(0, -SUFFIX.length);
    const record = parseRecord(textOf(join(folder, name)));
    return { uuid, record: record?.uuid === uuid ? record : undefined };
  });
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It went meanwhile.
    return '';
  }
}
