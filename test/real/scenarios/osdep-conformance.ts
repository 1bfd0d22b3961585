/**
 * osdep's conformance suite on real Xen: dom0 alone, no store's daemon (the suite binds its VIRQ), no guests but domains that are made empty.
 */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { Scenario } from '../lab/scenario.ts';

const PROGRAM = fileURLToPath(new URL('../dom0/conformance.js', import.meta.url));

export const scenarios: readonly Scenario[] = [
  {
    name: "osdep's conformance suite",
    stores: ['none'],
    hap: true,
    alone: true,
    async run(lab) {
      const { status, stdout, stderr } = await lab.step('conformance.js', () =>
        lab.exec(process.execPath, [PROGRAM], { limitS: 200, mayFail: true }),
      );
      const [, passed = '0', failed = '?'] = /^# (\d+) passed, (\d+) failed$/m.exec(stdout) ?? [];
      lab.figure('tests passed', passed);
      const complaints = stdout.split('\n').filter((line) => !line.startsWith('ok '));
      assert.equal(failed, '0', `${complaints.join('\n')}\n${stderr}`);
      assert.equal(status, 0);
    },
  },
];
