/**
 * What is written down of a domain while `xl create` makes it, so that whoever comes after a kill finds what to take back: a file, with the cfg file that xl
 * reads beside it. Once a domain is made, both are gone: from then on Xen knows all there is. Knows no step.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FRESH_SUFFIX, replaceFile } from '../../osdep/os/wholefile.ts';
import type { ProcessId } from './identity.ts';
import { namesIn } from './lookup.ts';

export interface XlRecord {
  readonly version: 1;
  readonly uuid: string;
  readonly name: string;
  /** Who makes it. */
  readonly maker: ProcessId;
}

export class XlRecords {
  readonly #folder: string;

  /** `run`: the host's run directory; nothing is made there before there is something to write. */
  constructor(run: string) {
    this.#folder = join(run, 'xl');
  }

  /** What xl is to read. The word of a command line by which its process is known, too. */
  cfgPath(uuid: string): string {
    return join(this.#folder, `${uuid}.cfg`);
  }

  save(record: XlRecord, cfg: string): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    writeFileSync(this.cfgPath(record.uuid), cfg, { mode: 0o600 });
    replaceFile(this.#path(record.uuid), `${JSON.stringify(record)}\n`);
  }

  /** The record last: what has none is not looked for. */
  remove(uuid: string): void {
    for (const path of [this.cfgPath(uuid), this.#path(uuid) + FRESH_SUFFIX, this.#path(uuid)])
      rmSync(path, { force: true });
  }

  all(): XlRecord[] {
    return namesIn(this.#folder).flatMap((name) => {
      const record = name.endsWith('.json') ? read(join(this.#folder, name)) : undefined;
      return record !== undefined && name === `${record.uuid}.json` ? [record] : [];
    });
  }

  #path(uuid: string): string {
    return join(this.#folder, `${uuid}.json`);
  }
}

function read(path: string): XlRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(path, 'utf8')) as Partial<XlRecord> | null;
    const whole = record?.version === 1 && typeof record.uuid === 'string' && record.maker !== undefined;
    return whole ? (record as XlRecord) : undefined;
  } catch {
    return undefined;
  }
}
