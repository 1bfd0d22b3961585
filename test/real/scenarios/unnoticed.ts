/**
 * Where the daemon's socket is not where Xen's tools look for it, they come through dom0's kernel, whose ring outlives the daemon's process:
 * xenconsoled and the guests go on over a `kill -9` as if nothing had been.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { watched } from '../dom0/watched.ts';
import type { Lab, Scenario } from '../lab/scenario.ts';

const SETTINGS = 'XENSTORED=/usr/local/bin/xenstored\nXENSTORED_ARGS="--run /run/stubdom0"\n';
const PID_FILE = '/run/xen/xenstored.pid';
const COUNTING = 'while :; do count=$((count + 1)); echo "COUNT $count"; sleep 0.5; done';

const pidIn = (file: string): number => Number(readFileSync(file, 'utf8'));
const launch = (lab: Lab) => lab.exec('/etc/xen/scripts/launch-xenstore');

export const scenarios: readonly Scenario[] = [
  {
    name: "Xen's tools through the kernel do not notice the daemon's death",
    stores: ['none'],
    alone: true,
    async run(lab) {
      writeFileSync('/etc/default/xencommons', SETTINGS);
      await lab.step('launch-xenstore', () => launch(lab));
      await lab.step('xen-init-dom0, xenconsoled', () => lab.services());
      const xenconsoled = pidIn('/run/xen/xenconsoled.pid');
      const guest = lab.guest({ name: 'counter', memory: 96, script: COUNTING });
      const { seconds } = await lab.step('xl create', () => guest.create());
      lab.figure('xl create through the kernel s', seconds.toFixed(1));
      await guest.says(/COUNT 1\b/);

      const fired = await watched(lab, '/local/domain/0/word');
      const pid = pidIn(PID_FILE);
      await lab.step('kill -9 and restart', async () => {
        process.kill(pid, 'SIGKILL');
        await lab.until('its end', () => !existsSync(`/proc/${pid}`));
        await lab.sh(`rm ${PID_FILE}`);
        await launch(lab);
      });
      assert.notEqual(pidIn(PID_FILE), pid);

      await lab.exec('xenstore-write', ['/local/domain/0/word', 'afterwards']);
      const paths = await lab.step('a watch of before fires', fired);
      assert.equal(paths.at(-1), '/local/domain/0/word');
      assert.equal(pidIn('/run/xen/xenconsoled.pid'), xenconsoled);
      assert.ok(existsSync(`/proc/${xenconsoled}`), 'xenconsoled goes on');
      const shown = [...(await guest.console()).matchAll(/COUNT (\d+)/g)].length;
      await lab.until(
        "the guest's console goes on",
        async () => [...(await guest.console()).matchAll(/COUNT (\d+)/g)].length > shown + 1,
      );
      await lab.step('another guest', async () => {
        const next = lab.guest({ name: 'next', memory: 96, script: 'echo THERE' });
        await next.create();
        await next.says(/THERE/);
        await next.gone();
      });
      await lab.step('xl destroy', () => lab.exec('xl', ['destroy', 'counter']));
    },
  },
];
