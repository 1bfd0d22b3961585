/**
 * Our xensock in dom0: started, until it is ready, and killed; and the address by which its guests reach this dom0, whose 127.0.0.1 they
 * never see. Knows no socket.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Lab } from '../lab/scenario.ts';

const PROGRAM = fileURLToPath(new URL('../../../netback/xensock/main.js', import.meta.url));
const LOG = '/var/log/xen/xensock.log';

/** dom0's address for guests. */
export const DOM0 = '10.53.0.1';
/** The line of xl.cfg. */
export const PVCALLS = 'pvcalls=["backend=0"]';

export interface Xensock {
  /** kill -9; resolves when it is gone. */
  kill(): Promise<void>;
}

/** What all of them in this boot have said. */
export function xensockSaid(): string {
  return existsSync(LOG) ? readFileSync(LOG, 'utf8') : '';
}

async function addressed(lab: Lab): Promise<void> {
  await lab.sh(`ip addr show dev lo | grep -q ' ${DOM0}/' || ip addr add ${DOM0}/32 dev lo`);
}

/** Linux's own backend, instead; resolves to what takes it away again, once its devices are gone. */
export async function loadLinuxBackend(lab: Lab): Promise<() => Promise<void>> {
  await addressed(lab);
  await lab.exec('insmod', ['/app/guest/pvcalls-back.ko']);
  const removed = async (): Promise<boolean> =>
    (await lab.exec('rmmod', ['pvcalls_back'], { mayFail: true })).status === 0;
  return () => lab.until("Linux's backend is gone", removed, 20);
}

/** Resolves when it is ready; dom0 has its address then. */
export async function startXensock(lab: Lab, ...flags: readonly string[]): Promise<Xensock> {
  await addressed(lab);
  const known = xensockSaid().length;
  const log = openSync(LOG, 'a');
  const program = spawn(process.execPath, [PROGRAM, ...flags], { stdio: ['ignore', log, log] });
  closeSync(log);
  await lab.until('xensock is ready', () => {
    const said = xensockSaid().slice(known);
    assert.equal(program.exitCode, null, `xensock ended: ${said}`);
    return said.includes('ready');
  });
  return {
    async kill() {
      if (program.exitCode !== null || program.signalCode !== null) return;
      const gone = once(program, 'exit');
      program.kill('SIGKILL');
      await gone;
    },
  };
}
