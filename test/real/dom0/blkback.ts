/**
 * Our blkback in dom0, in place of Linux's: started, until it is ready, and killed. Knows no disk.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Lab } from '../lab/scenario.ts';

const PROGRAM = fileURLToPath(new URL('../../../blkback/main.js', import.meta.url));
const LOG = '/var/log/xen/blkback.log';

export interface Blkback {
  /** kill -9; resolves when it is gone. */
  kill(): Promise<void>;
}

/** What all of them in this boot have said. */
export function blkbackSaid(): string {
  return existsSync(LOG) ? readFileSync(LOG, 'utf8') : '';
}

/** Resolves when it is ready; there are the RAM disks /dev/ram0 to /dev/ram3 then, and no backend of the kernel's. */
export async function startBlkback(lab: Lab): Promise<Blkback> {
  await lab.sh('[ ! -e /sys/module/xen_blkback ] || rmmod xen_blkback');
  if (!existsSync('/sys/module/brd')) {
    await lab.exec('insmod', ['/lib/modules/brd.ko', 'rd_nr=4', 'rd_size=65536']);
  }
  const known = blkbackSaid().length;
  const log = openSync(LOG, 'a');
  const program = spawn(process.execPath, [PROGRAM], { stdio: ['ignore', log, log] });
  closeSync(log);
  await lab.until('blkback is ready', () => {
    const said = blkbackSaid().slice(known);
    assert.equal(program.exitCode, null, `blkback ended: ${said}`);
    return said.includes('ready');
  });
  return {
    async kill() {
      const gone = once(program, 'exit');
      program.kill('SIGKILL');
      await gone;
    },
  };
}
