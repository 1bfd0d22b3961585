/** Where Linux's own backends are loaded ours do not start: both would take each device. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { Scenario } from '../lab/scenario.ts';

const backends = [
  ['xen-blkback', 'blkback'],
  ['xen-netback', 'netback/vif'],
] as const;

export const scenarios: readonly Scenario[] = [
  {
    name: "our backends do not start beside Linux's",
    stores: ['ours'],
    async run(lab) {
      for (const [module, program] of backends) {
        const driver = module.replace('-', '_');
        await lab.sh(`[ -e /sys/module/${driver} ] || insmod /lib/modules/${module}.ko`);
        const main = fileURLToPath(new URL(`../../../${program}/main.js`, import.meta.url));
        const { status, stderr } = await lab.exec(process.execPath, [main], { mayFail: true, limitS: 60 });
        await lab.exec('rmmod', [driver]);
        assert.equal(status, 1);
        assert.match(stderr, new RegExp(`modprobe -r ${module}`));
      }
    },
  },
];
