/**
 * Our daemon as Debian starts it: the npm package installed, one line in /etc/default/xen, Debian's own init script; and what `stubdom0
 * doctor` says of this host before and after.
 */
import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, unlinkSync } from 'node:fs';
import type { Lab, Scenario } from '../lab/scenario.ts';

const PREFIX = '/app/opt/stubdom0';
const OURS = `${PREFIX}/bin/xenstored`;
const PID_FILE = '/run/xenstore.pid';

async function doctor(lab: Lab): Promise<{ status: number; lines: string[] }> {
  const { status, stdout } = await lab.exec(`${PREFIX}/bin/stubdom0`, ['doctor'], { mayFail: true });
  for (const line of stdout.trim().split('\n')) lab.log(`doctor: ${line}`);
  return { status, lines: stdout.split('\n') };
}

/** Debian's scripts and what they call, none of which the lab's dom0 has. */
const debian = (lab: Lab) => lab.sh('cd /; cpio -id </app/debian.cpio 2>/dev/null');
const init = (lab: Lab, word: string) => lab.exec('dash', ['/etc/init.d/xen', word], { limitS: 60 });

export const scenarios: readonly Scenario[] = [
  {
    name: "the npm package, started by Debian's init script",
    stores: ['none'],
    alone: true,
    needs: ['package'],
    async run(lab) {
      await debian(lab);
      const before = await lab.step('stubdom0 doctor', () => doctor(lab));
      assert.equal(before.status, 0);
      assert.ok(
        before.lines.some((line) =>
          line.endsWith(
            `/etc/default/xen starts Xen's own at boot: for ours, XENSTORED=${OURS} there, and reboot`,
          ),
        ),
      );

      // The guest's console is to be where the lab looks for it.
      const settings = [`XENSTORED=${OURS}`, 'XENCONSOLED_ARGS="--log=guest --log-dir=/var/log/xen"'];
      appendFileSync('/etc/default/xen', `${settings.join('\n')}\n`);
      const { seconds } = await lab.step('/etc/init.d/xen start', () => init(lab, 'start'));
      lab.figure('init script s', seconds.toFixed(1));
      const pid = readFileSync(PID_FILE, 'utf8').trim();
      assert.equal(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim(), '-1000');
      const { stdout: name } = await lab.exec('xenstore-read', ['/local/domain/0/name']);
      assert.equal(name.trim(), 'Domain-0');

      await lab.step('again, while it runs', () => init(lab, 'start'));
      assert.equal(readFileSync(PID_FILE, 'utf8').trim(), pid);
      await lab.exec('xl', ['info']);
      const serving = await doctor(lab);
      assert.equal(serving.status, 0);
      assert.ok(serving.lines.some((line) => line.endsWith(`served by ours: ${OURS}, pid ${pid}`)));

      const guest = lab.guest({ name: 'packaged', script: 'xenstore-write data/hello there' });
      await lab.step('a guest, from xl create to its end', async () => {
        await guest.create();
        await guest.says(/GUEST-DONE/);
        await guest.gone();
      });

      await lab.step('kill -9, and what `systemctl restart xen` does: stop, start', async () => {
        process.kill(Number(pid), 'SIGKILL');
        await lab.sh('while [ -e /proc/$PID ]; do sleep 0.1; done', { env: { PID: pid } });
        await init(lab, 'stop');
        await init(lab, 'start');
      });
      assert.notEqual(readFileSync(PID_FILE, 'utf8').trim(), pid);
      const { stdout: still } = await lab.exec('xenstore-read', ['/local/domain/0/name']);
      assert.equal(still.trim(), 'Domain-0');
    },
  },
  {
    name: "stubdom0 doctor where Xen's own daemon serves, and where things are missing",
    stores: ['c'],
    needs: ['package'],
    async run(lab) {
      await debian(lab);
      const { status, lines } = await doctor(lab);
      assert.equal(status, 1);
      assert.ok(lines.some((line) => /served by .*xenstored, pid \d+, and cannot be taken over/.test(line)));

      unlinkSync('/dev/xen/gntdev');
      // The rows that come after it want it back.
      const missing = await doctor(lab).finally(() =>
        lab.sh('mknod /dev/xen/gntdev c $(tr : " " </sys/class/misc/xen!gntdev/dev)'),
      );
      assert.ok(missing.lines.some((line) => line.includes('/dev/xen/gntdev is missing: load its driver')));

      const check = await lab.exec(OURS, ['--check-host'], { mayFail: true });
      assert.equal(check.status, 1);
      assert.match(check.stdout, /^bad: store: served by/m);
    },
  },
];
