/**
 * Devices attached to a guest by stubdom0 itself: what it writes is what xl writes, node by node, with its permissions, where another domain serves the
 * device; and a disk in a driver domain, by our blkback, is used.
 */
import assert from 'node:assert/strict';
import { gone, madeBy, nothingLeft, said } from '../dom0/toolstack.ts';
import type { Guest, Lab, Scenario } from '../lab/scenario.ts';

/** Of one device: all three of its trees, with permissions. */
async function nodesOf(
  lab: Lab,
  [backend, domid]: readonly [number, number],
  kind: string,
  devid: number,
): Promise<string[]> {
  const trees = [
    `/local/domain/${backend}/backend/${kind}/${domid}/${devid}`,
    `/local/domain/${domid}/device/${kind}/${devid}`,
    `/libxl/${domid}/device/${kind}/${devid}`,
  ];
  const { stdout } = await lab.exec('xenstore-ls', ['-fp']);
  return stdout
    .split('\n')
    .filter((line) => trees.some((tree) => line.startsWith(`${tree}/`) || line.startsWith(`${tree} `)))
    .map((line) =>
      line
        .replaceAll(`/${kind}/${domid}/${devid}`, `/${kind}/${domid}/DEVID`)
        .replaceAll(`/device/${kind}/${devid}`, `/device/${kind}/DEVID`),
    )
    .sort();
}

/** Plays all backends of a domain, as far as a toolstack sees them: takes on what is ordered, lets go of what is to go. */
const HAND = (domid: number): string => `rm -f /tmp/enough
while [ ! -e /tmp/enough ]; do
  xenstore-ls -f /local/domain/${domid}/backend 2>/dev/null | sed -n 's|/state = "\\([15]\\)"$| \\1|p' |
  while read path state; do xenstore-write $path/state $((state + 1)); done
  sleep 0.3
done`;

/** In a driver domain: serves a file of its own. What `xl devd` does there with a real script a loop does. */
const SERVER = `
truncate -s 16M /disk.raw
while sleep 0.5; do
  for at in $(xenstore-ls -f backend 2>/dev/null | sed -n 's|/script = .*||p'); do
    xenstore-exists $at/hotplug-status || xenstore-write $at/physical-device-path /disk.raw $at/hotplug-status connected
  done
done &
node /app/dist/blkback/main.js --platform xen --run /run/stubdom0 2>&1`;

const USER = `
while [ ! -b /dev/xvdb ]; do sleep 0.2; done
head -c 1m /dev/urandom > /tmp/data
dd if=/tmp/data of=/dev/xvdb bs=64k oflag=direct conv=fsync 2>/dev/null
dd if=/dev/xvdb bs=64k count=16 iflag=direct 2>/dev/null | cmp - /tmp/data && echo HOLDS
sleep 100000`;

async function ready(lab: Lab, guest: Guest, ...words: readonly string[]): Promise<number> {
  await madeBy(lab, guest, ...words);
  return (await guest.domid())!;
}

export const scenarios: readonly Scenario[] = [
  {
    name: "stubdom0's hot-plug writes what xl's does",
    stores: ['c', 'ours'],
    limitS: 900,
    async run(lab) {
      const driver = lab.guest({ name: 'driver', config: ['driver_domain=1'] });
      const backend = await ready(lab, driver, '-p');
      const hand = lab.sh(HAND(backend), { limitS: 900 });
      try {
        const guest = lab.guest({ name: 'plugged', config: ["pvcalls=['backend=driver']"] });
        const domid = await ready(lab, guest, '-p');
        const ends = [backend, domid] as const;
        const written = async (
          program: 'xl' | 'stubdom0',
          word: string,
          kind: string,
          devid: number,
          ...spec: string[]
        ): Promise<string[]> => {
          await lab.exec(program, [`${word}-attach`, 'plugged', ...spec]);
          const nodes = await nodesOf(lab, ends, kind, devid);
          await said(lab, [`${word}-detach`, 'plugged', `${devid}`]);
          const { stdout } = await lab.exec('xenstore-ls', ['-f', '/']);
          assert.ok(!stdout.includes(`/${kind}/${domid}/${devid}`), `${word}: nothing of it is left`);
          return nodes;
        };
        await lab.step('a disk', async () => {
          const spec = 'format=raw,vdev=xvdb,access=rw,no-discard,backend=driver,target=/there.raw';
          const theirs = await written('xl', 'block', 'vbd', 51728, spec);
          assert.ok(theirs.length > 15, theirs.join('\n'));
          assert.deepEqual(await written('stubdom0', 'block', 'vbd', 51728, spec), theirs);
          lab.figure('nodes of a disk', theirs.length);
        });
        await lab.step('an interface', async () => {
          const spec = [
            'mac=00:16:3e:01:02:09',
            'bridge=xenbr7',
            'ip=10.9.0.7',
            'mtu=1400',
            'rate=1MB/s',
            'backend=driver',
          ];
          const theirs = await written('xl', 'network', 'vif', 0, ...spec);
          assert.ok(theirs.length > 15, theirs.join('\n'));
          assert.deepEqual(await written('stubdom0', 'network', 'vif', 0, ...spec), theirs);
          lab.figure('nodes of an interface', theirs.length);
        });
        await lab.step('sockets: a second beside the one that xl made', async () => {
          const theirs = await nodesOf(lab, ends, 'pvcalls', 0);
          assert.deepEqual(await written('stubdom0', 'sockets', 'pvcalls', 1, 'backend=driver'), theirs);
          lab.figure('nodes of sockets', theirs.length);
        });
        await said(lab, ['destroy', 'plugged']);
        await gone(lab, guest);
      } finally {
        await lab.sh('touch /tmp/enough');
        await hand;
      }
      await said(lab, ['destroy', 'driver']);
      await nothingLeft(lab);
    },
  },
  {
    name: "a disk in a driver domain: our blkback there, stubdom0's hot-plug",
    stores: ['ours', 'c'],
    needs: ['node'],
    limitS: 900,
    async run(lab) {
      const driver = lab.guest({
        name: 'driver',
        node: true,
        memory: 400,
        script: SERVER,
        config: ['driver_domain=1'],
      });
      await madeBy(lab, driver);
      await lab.step('its blkback', () => driver.says(/ready for domain/));
      const user = lab.guest({ name: 'user', memory: 96, script: USER });
      await madeBy(lab, user);
      await lab.step('block-attach', () =>
        said(lab, ['block-attach', 'user', 'format=raw,vdev=xvdb,access=rw,backend=driver,target=/disk.raw']),
      );
      await lab.step('it is connected', async () => {
        try {
          await lab.until(
            'it is',
            async () => {
              const { stdout } = await said(lab, ['block-list', 'user']);
              return / 4 +\d+ +\d+ +\/local/.test(stdout);
            },
            60,
          );
        } catch (error) {
          lab.log((await lab.sh('xenstore-ls -fp | grep vbd')).stdout);
          throw error;
        }
      });
      await lab.step('it is used', () => user.says(/HOLDS/));
      const { stdout: listed } = await said(lab, ['block-list', 'user']);
      assert.match(listed, new RegExp(`^51728 ${await driver.domid()} +\\d+ +4 `, 'm'));
      await lab.step('and after a reboot', async () => {
        await said(lab, ['reboot', '-w', 'user']);
        await lab.until('it is used again', async () => (await user.console()).split('HOLDS').length === 3);
      });
      await lab.step('block-detach', () => said(lab, ['block-detach', 'user', 'xvdb']));
      for (const guest of [user, driver]) await said(lab, ['destroy', guest.name]);
      await nothingLeft(lab);
    },
  },
];
