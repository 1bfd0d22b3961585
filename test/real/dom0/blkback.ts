/**
 * Our blkback in dom0, in place of Linux's: started, until it is ready, and killed. Knows no disk.
 */
import { existsSync } from 'node:fs';
import type { Lab } from '../lab/scenario.ts';
import { type Backend, backendSaid, startBackend } from './backend.ts';

/** What all of them in this boot have said. */
export function blkbackSaid(): string {
  return backendSaid('blkback');
}

/** Resolves when it is ready; there are the RAM disks /dev/ram0 to /dev/ram3 then, and no backend of the kernel's. */
export async function startBlkback(lab: Lab): Promise<Backend> {
  await lab.sh('[ ! -e /sys/module/xen_blkback ] || rmmod xen_blkback');
  if (!existsSync('/sys/module/brd')) {
    await lab.exec('insmod', ['/lib/modules/brd.ko', 'rd_nr=4', 'rd_size=65536']);
  }
  return await startBackend(lab, 'blkback', 'blkback/main.js');
}
