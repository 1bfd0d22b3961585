/** stubdom0 sshd in dom0 of real Xen, and OpenSSH's client: a guest made, looked at, reached and ended from afar, by keys of different roles. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startBackend } from '../dom0/backend.ts';
import { answersAt, gone, nothingLeft } from '../dom0/toolstack.ts';
import type { Result, Scenario } from '../lab/scenario.ts';

export const scenarios: readonly Scenario[] = [
  {
    name: "stubdom0 sshd on real Xen, and OpenSSH's client",
    stores: ['ours', 'c'],
    limitS: 900,
    async run(lab) {
      if (!existsSync('/usr/bin/ssh')) {
        lab.log('not tried: this machine has no ssh (apt-get install openssh-client)');
        return;
      }
      const state = mkdtempSync('/tmp/state-');
      const run = mkdtempSync('/tmp/run-');
      const flags = ['sshd', '--platform', 'xen', '--run', run, '--state', state, '--port', '0'];
      const sshd = await startBackend(lab, 'sshd', 'toolstack/main.js', flags);
      try {
        const ssh = (user: string, words: readonly string[], more: object = {}): Promise<Result> =>
          lab.exec('ssh', ['-F', join(run, 'ssh/config'), '-l', user, 'stubdom0', ...words], {
            mayFail: true,
            ...more,
          });
        const listed = await lab.step('list', () => ssh('admin', ['list']));
        assert.equal(listed.status, 0, listed.stderr);
        assert.match(listed.stdout, /^Domain-0 +0 +\d+ +\d+ +r-----/m);
        const guest = lab.guest({ name: 'afar' });
        // Whoever comes over SSH is in no directory of this machine.
        const cfg = readFileSync(guest.config, 'utf8');
        const made = await lab.step('create - < afar.cfg', () =>
          ssh('admin', ['create', '-q', '-'], { input: cfg }),
        );
        assert.equal(made.status, 0, made.stderr);
        await guest.says(/GUEST-UP/);
        const { stdout: xl } = await lab.exec('xl', ['list', 'afar']);
        assert.match(xl, /^afar /m);
        await lab.step('its console', () =>
          answersAt(lab, 'ssh', [
            '-F',
            join(run, 'ssh/config'),
            '-l',
            'admin',
            'stubdom0',
            'console',
            'afar',
          ]),
        );
        await lab.step('another role', async () => {
          const refused = await ssh('read-only', ['destroy', 'afar']);
          assert.equal(refused.status, 1);
          assert.match(refused.stderr, /role read-only/);
          assert.equal((await ssh('read-only', ['domid', 'afar'])).status, 0);
        });
        const over = await lab.step('shutdown -w', () => ssh('operator', ['shutdown', '-w', 'afar']));
        assert.equal(over.status, 0, over.stderr);
        await gone(lab, guest);
        await nothingLeft(lab);
        writeFileSync(join(state, 'ssh/authorized_keys'), '');
      } finally {
        await sshd.kill();
      }
    },
  },
];
