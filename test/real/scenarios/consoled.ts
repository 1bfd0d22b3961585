/**
 * Our console service in dom0 in place of xenconsoled: a Linux guest's console through Xen's own clients, and a kill -9 in the middle of what the guest says.
 */
import assert from 'node:assert/strict';
import { backendSaid, startBackend } from '../dom0/backend.ts';
import { endConsoled } from '../dom0/consoled.ts';
import { type } from '../guest/terminal.ts';
import type { Lab, Scenario } from '../lab/scenario.ts';

const SCRIPT = `
( count=0; while :; do count=$((count + 1)); echo "COUNT $count."; sleep 0.05; done ) &
echo READY
while read -r line; do echo "HEARD $line"; done </dev/console`;

const start = (lab: Lab) =>
  startBackend(lab, 'consoled', 'toolstack/console/main.js', ['--platform', 'xen', '--log', '/var/log/xen']);

/** In the order in which they were said. */
function counted(console: string): number[] {
  return [...console.matchAll(/COUNT (\d+)\./g)].map(([, count]) => Number(count));
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'our console service in place of xenconsoled',
    stores: ['ours', 'c'],
    // Ends with another daemon than it found.
    alone: true,
    limitS: 240,
    async run(lab) {
      await endConsoled((...words) => lab.exec(...words));
      const first = await lab.step('consoled', () => start(lab));
      const guest = lab.guest({ name: 'talker', memory: 96, script: SCRIPT });
      const created = await lab.step('xl create', () => guest.create());
      lab.figure('xl create s', created.seconds.toFixed(1));
      await guest.says(/READY/);
      const shown = await lab.step('xl console', () =>
        type(lab, guest, 'hello', (console) => console.includes('HEARD hello')),
      );
      assert.match(shown, /COUNT \d+/);

      await lab.step('kill -9 and restart', async () => {
        await first.kill();
        await start(lab);
      });
      const before = counted(await guest.console()).length;
      await lab.until('it is heard again', async () => counted(await guest.console()).length > before + 20);
      const counts = counted(await guest.console());
      const once = [...new Set(counts)];
      assert.deepEqual(
        once,
        Array.from(once, (_, index) => index + 1),
        'nothing is lost',
      );
      // What was being written when it was killed.
      assert.ok(counts.length - once.length <= 1, `${counts.length - once.length} lines are there twice`);
      await lab.step('xl console again', () =>
        type(lab, guest, 'still there', (console) => console.includes('HEARD still there')),
      );

      await lab.step('xl destroy', () => lab.exec('xl', ['destroy', 'talker']));
      await guest.gone();
      await lab.until('no page of it is held', async () => {
        const { stdout } = await lab.exec('xl', ['list']);
        return !stdout.includes('(null)');
      });
      assert.doesNotMatch(backendSaid('consoled'), /error|EINVAL|refused/i);
    },
  },
];
