/**
 * What backends count, out of the files that they write into the host's run directory (`--statistics S`, or SIGUSR2): one for each service and
 * domain. Not there, half written or not ours: nothing is counted. Knows no kind of device.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface DeviceCounters {
  /** The directory's name: blkback, netback, xensock. */
  readonly service: string;
  /** The backend's directory in the store. */
  readonly path: string;
  readonly counters: Readonly<Record<string, number>>;
}

const FILES_MAX = 64;
const FILE_MAX_BYTES = 4 << 20;
const DEVICES_MAX = 500;

/** Never rejects. */
export async function countedBy(run: string): Promise<DeviceCounters[]> {
  const files = await names(run);
  const found = await Promise.all(
    files.map(async ([service, file]) => {
      try {
        if ((await stat(file)).size > FILE_MAX_BYTES) return [];
        return devicesIn(service, JSON.parse(await readFile(file, 'utf8')));
      } catch {
        return [];
      }
    }),
  );
  return found.flat().slice(0, DEVICES_MAX);
}

async function names(run: string): Promise<[service: string, file: string][]> {
  const list = (directory: string): Promise<string[]> => readdir(directory).catch(() => []);
  const found: [string, string][] = [];
  for (const service of await list(run)) {
    if (!/^[a-z0-9]{1,32}$/.test(service)) continue;
    for (const file of await list(join(run, service))) {
      if (/^statistics-\d+\.json$/.test(file)) found.push([service, join(run, service, file)]);
      if (found.length >= FILES_MAX) return found;
    }
  }
  return found;
}

function devicesIn(service: string, content: unknown): DeviceCounters[] {
  const { devices } = content as { devices?: unknown };
  if (typeof devices !== 'object' || devices === null) return [];
  return Object.entries(devices).map(([path, counters]) => ({
    service,
    path,
    counters: Object.fromEntries(
      Object.entries(counters as object).filter(
        ([name, value]) => /^[A-Za-z]\w{0,63}$/.test(name) && value >= 0,
      ),
    ),
  }));
}
