/**
 * The files that disks of a host file are in: where they are, and how they are made. Knows no store and no guest.
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
import type { Disk } from '../core/devices.ts';
import { Fault, reasonOf } from './fault.ts';

const MIB = 1 << 20;

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
