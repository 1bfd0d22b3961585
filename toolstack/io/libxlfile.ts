/**
 * libxl's own list of what a domain has: the file by which it makes the domain anew when that reboots. A device that libxl has not attached itself is put
 * in, and taken out again, under libxl's lock (libxl_internal.c, libxl_dom.c: userdata). Knows no store.
 */
import {
  closeSync,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { flock } from '../../osdep/os/ffi.ts';
import { deviceJson, type Json } from '../core/cfgjson.ts';
import type { DeviceConfig } from '../core/config.ts';
import { Fault, reasonOf } from './fault.ts';

const LIBRARY = '/var/lib/xen';
const LOCK_EX_NB = 2 | 4;
/** libxl reads it as a string of C. */
const END = '\0';
const LOOK_MS = 20;
const PATIENCE_MS = 10_000;

/** libxl's names of its lists, and which of a device's keys tells it from others. */
const lists = {
  vbd: ['disks', 'vdev'],
  vif: ['nics', 'devid'],
  pvcalls: ['pvcallsifs', 'devid'],
} as const;

export interface ListedDomain {
  readonly domid: number;
  readonly uuid: string;
}

export class LibxlFiles {
  readonly #folder: string;

  constructor(folder: string = LIBRARY) {
    this.#folder = folder;
  }

  async add(domain: ListedDomain, device: DeviceConfig): Promise<void> {
    const entry = deviceJson(device);
    const [, key] = lists[device.kind];
    const which = device.kind === 'vbd' ? device.vdev : device.devid;
    await this.#change(domain, device.kind, (items) => [
      ...items.filter((item) => item[key] !== which),
      entry,
    ]);
  }

  /** `which`: a disk's name, the number of anything else. */
  async remove(domain: ListedDomain, kind: DeviceConfig['kind'], which: string | number): Promise<void> {
    const [, key] = lists[kind];
    await this.#change(domain, kind, (items) => items.filter((item) => item[key] !== which));
  }

  /** A domain that libxl did not make has no such file: nobody makes it anew. */
  async #change(
    domain: ListedDomain,
    kind: DeviceConfig['kind'],
    change: (items: readonly Record<string, Json>[]) => readonly Json[],
  ): Promise<void> {
    const path = this.#path('d', domain, 'libxl-json');
    const unlock = await lock(this.#path('l', domain, 'domain-userdata-lock'));
    try {
      const text = readText(path);
      if (text === undefined) return;
      const [list] = lists[kind];
      const whole = parsed(path, text);
      const items = (whole[list] ?? []) as readonly Record<string, Json>[];
      const fresh = this.#path('n', domain, 'libxl-json');
      const { [list]: _, ...rest } = whole;
      const changed = change(items);
      const made = changed.length === 0 ? rest : { ...rest, [list]: changed };
      writeFileSync(fresh, `${unguarded(JSON.stringify(made, undefined, 4))}\n${END}`, { mode: 0o600 });
      renameSync(fresh, path);
    } finally {
      unlock();
    }
  }

  #path(what: 'd' | 'l' | 'n', { domid, uuid }: ListedDomain, name: string): string {
    return join(this.#folder, `userdata-${what}.${domid}.${uuid}.${name}`);
  }
}

function parsed(path: string, text: string): Record<string, Json> {
  try {
    return JSON.parse(guarded(text.split(END, 1)[0]!)) as Record<string, Json>;
  } catch (error) {
    throw new Fault(`${path}, by which libxl makes the domain anew, cannot be read: ${reasonOf(error)}`);
  }
}

/** Numbers of 64 bits, which JavaScript has not, come through as they are. */
function guarded(text: string): string {
  return text.replace(/([:[,]\s*)(-?\d{16,})(?=\s*[,\]}])/g, '$1"int64 $2"');
}

function unguarded(text: string): string {
  return text.replace(/"int64 (-?\d+)"/g, '$1');
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** As libxl does: whoever has locked a file that is not the one of that name any more begins again. Answers what unlocks it. */
async function lock(path: string): Promise<() => void> {
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += LOOK_MS) {
    const fd = openSync(path, 'a', 0o600);
    if (flock(fd, LOCK_EX_NB) === 0 && statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) {
      return () => {
        // In this order: nobody else gets hold of it in between.
        unlinkSync(path);
        closeSync(fd);
      };
    }
    closeSync(fd);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  throw new Fault(`${path}: somebody has held this lock of libxl's for ${PATIENCE_MS / 1000} s`);
}
