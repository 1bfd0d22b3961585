/** Where Linux's own backends are loaded ours do not start: both would take each device. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { Lab, Scenario } from '../lab/scenario.ts';

/** A module of Linux's, where it lies, and our program in its place. */
async function refuses(lab: Lab, module: string, folder: string, program: string): Promise<void> {
  const driver = module.replace('-', '_');
  await lab.sh(`[ -e /sys/module/${driver} ] || insmod ${folder}/${module}.ko`);
  const main = fileURLToPath(new URL(`../../../${program}/main.js`, import.meta.url));
  const { status, stderr } = await lab.exec(process.execPath, [main], { mayFail: true, limitS: 60 });
  await lab.exec('rmmod', [driver]);
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`modprobe -r ${module}`));
}

export const scenarios: readonly Scenario[] = [
  {
    name: "our backends do not start beside Linux's",
    stores: ['ours'],
    async run(lab) {
      await refuses(lab, 'xen-blkback', '/lib/modules', 'blkback');
      await refuses(lab, 'xen-netback', '/lib/modules', 'netback/vif');
    },
  },
  {
    name: "our xensock does not start beside Linux's backend",
    stores: ['ours'],
    needs: ['pvcalls'],
    run: (lab) => refuses(lab, 'pvcalls-back', '/app/guest', 'netback/xensock'),
  },
];
