/**
 * A PVH guest: the same kernel and programs in a domain whose store ring is set up by the hypervisor's parameters and not by its start page.
 */
import assert from 'node:assert/strict';
import type { Scenario } from '../lab/scenario.ts';

const SCRIPT = `
echo "I-AM $(xenstore-read domid)"
printf 'written in PVH' | dd of=/dev/xvda conv=fsync 2>/dev/null
ip addr add 10.9.0.3/24 dev eth0; ip link set eth0 up
ping -c 2 -W 20 10.9.0.1 && echo NET-ANSWERS
echo READY
read -r forever </dev/console`;

export const scenarios: readonly Scenario[] = [
  {
    name: 'a PVH guest with disk and network comes up and goes down',
    stores: ['ours', 'c'],
    hap: true,
    limitS: 180,
    async run(lab) {
      await lab.bridge();
      const disk = await lab.ramDisk();
      const guest = lab.guest({
        name: 'pvh',
        type: 'pvh',
        memory: 128,
        script: SCRIPT,
        disks: [`phy:${disk},xvda,w`],
        vifs: ['bridge=xenbr0,mac=00:16:3e:01:02:04'],
      });
      const created = await lab.step('xl create', () => guest.create());
      lab.figure('xl create s', created.seconds.toFixed(1));
      await lab.step('until it is ready', () => guest.says(/NET-ANSWERS[\s\S]*READY/, 120));
      const domid = await guest.domid();
      await guest.says(new RegExp(`I-AM ${domid}`));
      const { stdout } = await lab.exec('head', ['-c', '14', disk]);
      assert.equal(stdout, 'written in PVH');
      await lab.step('xl shutdown', () => lab.exec('xl', ['shutdown', '-w', 'pvh']));
      await lab.step('until it is gone', () => guest.gone());
    },
  },
];
