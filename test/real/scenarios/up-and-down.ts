/**
 * The one that runs always: a guest with a disk and a network card comes up, uses both and the store, is seen on its console, and goes when
 * it is told to.
 */
import assert from 'node:assert/strict';
import type { Scenario } from '../lab/scenario.ts';

const script = `
xenstore-write data/hello "from domain $(xenstore-read domid)"
printf 'written by the guest' | dd of=/dev/xvda conv=fsync 2>/dev/null
ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up
for attempt in 1 2 3 4 5; do ping -c 1 -W 2 10.9.0.1 && break; done
echo GUEST-READY
read forever </dev/console`;

export const scenarios: readonly Scenario[] = [
  {
    name: 'a guest with disk and network comes up and goes down',
    stores: ['ours', 'c', 'ox'],
    always: true,
    async run(lab) {
      await lab.bridge();
      const disk = await lab.ramDisk();
      const guest = lab.guest({
        name: 'updown',
        script,
        disks: [`phy:${disk},xvda,w`],
        vifs: ['bridge=xenbr0,mac=00:16:3e:01:02:03'],
      });
      const { seconds } = await lab.step('xl create', () => guest.create());
      lab.figure('xl create s', seconds.toFixed(1));
      await lab.step('its kernel and its script', () => guest.says(/GUEST-READY/));
      const domid = await guest.domid();
      assert.match(await guest.console(), / 0% packet loss/);
      const { stdout } = await lab.exec('xenstore-read', [`/local/domain/${domid}/data/hello`]);
      assert.equal(stdout.trim(), `from domain ${domid}`);
      const { stdout: start } = await lab.exec('head', ['-c', '20', disk]);
      assert.equal(start, 'written by the guest');
      await lab.step('xl shutdown', () => lab.exec('xl', ['shutdown', '-w', 'updown']));
      await lab.step('until it is gone', () => guest.gone());
      const { stdout: left } = await lab.exec('xenstore-list', ['/local/domain']);
      assert.equal(left.trim(), '0');
    },
  },
];
