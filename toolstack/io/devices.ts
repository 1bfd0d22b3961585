/**
 * Attaches devices to guests and takes them away again, through the store, and makes the files that disks are in. Knows no ring, and no backend but
 * by its domain's number.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Client } from '../../xenstored/client/index.ts';
import { backendPath, type DeviceName, frontendPath, libxlPath } from '../../xenstored/xenbus/path.ts';
import { CLOSED, type Device, type Disk, detachNodes, deviceName, orderNodes } from '../core/devices.ts';
import { writeAll } from './domains.ts';
import { Fault, reasonOf } from './fault.ts';

const MIB = 1 << 20;
/** libxl's patience with a backend that does not close. */
const PATIENCE_MS = 10_000;

/** Where the file of a disk is, for a host in this run directory. */
export function diskPath(run: string, file: string): string {
  return resolve(join(run, 'disks'), file);
}

/**
 * Makes the file if it is missing, or empty as a kill may leave it: of a size, without taking its space yet; or as an archive of these files and
 * directories. Throws Fault, also where something else is there.
 */
export function makeDisk(path: string, { sizeMb, archive }: Pick<Disk, 'sizeMb' | 'archive'>): void {
  try {
    const there = statSync(path, { throwIfNoEntry: false });
    if (there?.isBlockDevice() || (there?.isFile() && there.size > 0)) return;
    if (there !== undefined && !there.isFile())
      throw new Error(`${path} is neither a file nor a block device`);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    if (archive.length > 0) pack(path, archive);
    else stretch(path, sizeMb * MIB);
  } catch (error) {
    throw new Fault(reasonOf(error));
  }
}

function stretch(path: string, bytes: number): void {
  const fd = openSync(path, 'a', 0o600);
  try {
    ftruncateSync(fd, bytes);
  } finally {
    closeSync(fd);
  }
}

/** A directory's contents stand at the archive's top, as a file does. */
function pack(path: string, archive: readonly string[]): void {
  const fresh = `${path}.new`;
  const words = archive.flatMap((one) =>
    statSync(one).isDirectory() ? ['-C', one, '.'] : ['-C', dirname(one), `--add-file=${basename(one)}`],
  );
  try {
    const { error, status, stderr } = spawnSync('tar', ['-cf', fresh, ...words], { encoding: 'utf8' });
    if (error !== undefined) throw new Error(`${path}: an archive takes tar: ${error.message}`);
    if (status !== 0) throw new Error(`${path}: ${stderr.trim().split('\n', 1)[0]}`);
    chmodSync(fresh, 0o600);
    renameSync(fresh, path);
  } finally {
    rmSync(fresh, { force: true });
  }
}

export interface Ends {
  readonly backendDomid: number;
  readonly frontendDomid: number;
}

/** Orders a device. `path`: of a disk's file, which is there. */
export async function attach(
  store: Client,
  device: Device,
  { backendDomid, frontendDomid }: Ends,
  path: string,
): Promise<DeviceName> {
  const name = deviceName(device, backendDomid, frontendDomid);
  await store.transaction(async (tx) => {
    for (const tree of [frontendPath(name), backendPath(name), libxlPath(name)]) {
      if (await tx.exists(tree)) await tx.rm(tree);
    }
    await writeAll(tx, orderNodes(device, name, path));
  });
  return name;
}

/** Takes devices from a guest that is no more: nothing of them is left in the store. Their backends have ten seconds to let go. */
export async function detach(store: Client, devices: readonly DeviceName[]): Promise<void> {
  for (const device of devices) {
    await store.transaction(async (tx) => {
      const back = backendPath(device);
      if (await tx.exists(back)) await writeAll(tx, detachNodes(device, await tx.findText(`${back}/state`)));
      // A guest's end does not answer any more; that it is missing is the answer.
      for (const tree of [frontendPath(device), libxlPath(device)]) {
        if (await tx.exists(tree)) await tx.rm(tree);
      }
    });
  }
  await Promise.all(devices.map((device) => closed(store, device)));
  for (const device of devices) {
    await store.transaction(async (tx) => {
      const path = backendPath(device);
      if (await tx.exists(path)) await tx.rm(path);
      const guest = dirname(path);
      if ((await tx.exists(guest)) && (await tx.directory(guest)).length === 0) await tx.rm(guest);
    });
  }
}

async function closed(store: Client, device: DeviceName): Promise<void> {
  const path = `${backendPath(device)}/state`;
  const signal = AbortSignal.timeout(PATIENCE_MS);
  for await (const _ of store.watch(path, { signal })) {
    const state = await store.findText(path);
    if (state === undefined || state === CLOSED) return;
  }
}
