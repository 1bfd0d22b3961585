/**
 * Our netback in dom0, in place of Linux's: started, until it is ready, and killed. Knows no interface.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Lab } from '../lab/scenario.ts';

const PROGRAM = fileURLToPath(new URL('../../../netback/vif/main.js', import.meta.url));
const LOG = '/var/log/xen/netback.log';

/** dom0's address on the bridge. */
export const DOM0_ADDRESS = '10.9.0.1';

export interface Netback {
  /** kill -9; resolves when it is gone. */
  kill(): Promise<void>;
}

/** What all of them in this boot have said. */
export function netbackSaid(): string {
  return existsSync(LOG) ? readFileSync(LOG, 'utf8') : '';
}

/** Resolves when it is ready; there is a bridge xenbr0 then, TAP devices can be made, and there is no backend of the kernel's. */
export async function startNetback(lab: Lab, ...flags: readonly string[]): Promise<Netback> {
  await lab.sh(`
for name in llc stp bridge tun; do [ -e /sys/module/$name ] || insmod /lib/modules/$name.ko; done
[ ! -e /sys/module/xen_netback ] || rmmod xen_netback
[ -e /sys/class/net/xenbr0 ] || {
  brctl addbr xenbr0; ip addr add ${DOM0_ADDRESS}/24 dev xenbr0; ip link set xenbr0 up
}`);
  const known = netbackSaid().length;
  const log = openSync(LOG, 'a');
  const program = spawn(process.execPath, [PROGRAM, ...flags], { stdio: ['ignore', log, log] });
  closeSync(log);
  await lab.until('netback is ready', () => {
    const said = netbackSaid().slice(known);
    assert.equal(program.exitCode, null, `netback ended: ${said}`);
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
