/**
 * stubdom0 as the toolstack of real Xen, beside xl: the same guests seen by both at the same moment, made, driven and ended by ours.
 */
import assert from 'node:assert/strict';
import { answersAt, gone, madeBy, masked, nothingLeft, said } from '../dom0/toolstack.ts';
import type { Scenario } from '../lab/scenario.ts';

/** Runs until it is told to stop; its console is a shell. */
const NAME = 'ours';

/** When a creation is killed, and how a shell tells that it has come. */
const MOMENTS: readonly (readonly [moment: string, condition: string])[] = [
  ['as it is written down', 'ls /run/stubdom0/xl/*.json >/dev/null 2>&1'],
  ['as xl has made a domain', 'xl list | grep -q "half\\|(null)"'],
  ['as it has a disk', 'xenstore-list /local/domain/0/backend/vbd >/dev/null 2>&1'],
];

export const scenarios: readonly Scenario[] = [
  {
    name: 'stubdom0 beside xl: a guest made, looked at, driven and ended',
    stores: ['c', 'ours'],
    limitS: 900,
    async run(lab) {
      await lab.bridge();
      const [disk, more] = [await lab.ramDisk(), await lab.ramDisk()];
      const vifs = ['bridge=xenbr0,mac=00:16:3e:01:02:03'];
      const guest = lab.guest({ name: NAME, disks: [`phy:${disk},xvda,w`], vifs });
      const { seconds } = await madeBy(lab, guest);
      lab.figure('stubdom0 create s', seconds.toFixed(1));
      await lab.step('its kernel', () => guest.says(/GUEST-UP/));
      const domid = await guest.domid();
      const both = async (...words: readonly string[]): Promise<void> => {
        const xl = await lab.exec('xl', words, { mayFail: true });
        const ours = await said(lab, words, { mayFail: true });
        assert.equal(masked(ours.stdout), masked(xl.stdout), words.join(' '));
        assert.equal(ours.status, xl.status, words.join(' '));
      };
      await lab.step('what both say', async () => {
        await lab.until('both ends are connected', async () => {
          const { stdout } = await lab.exec('xl', ['network-list', NAME]);
          return / 4 {5}/.test(stdout);
        });
        for (const words of [
          ['list'],
          ['list', '-v'],
          ['list', NAME],
          ['list', 'nobody'],
          ['vm-list'],
          ['domid', NAME],
          ['domname', `${domid}`],
          ['block-list', NAME],
          ['network-list', NAME],
          ['uptime', NAME],
        ])
          await both(...words);
        const info = async (program: 'xl' | 'stubdom0'): Promise<Map<string, string>> => {
          const { stdout } = program === 'xl' ? await lab.exec('xl', ['info']) : await said(lab, ['info']);
          return new Map(
            stdout
              .split('\n')
              .map((line) => /^(\S+)\s*: (.*)$/.exec(line))
              .flatMap((match) => (match === null ? [] : [[match[1]!, match[2]!]])),
          );
        };
        const [theirs, ours] = [await info('xl'), await info('stubdom0')];
        for (const [name, value] of ours) assert.equal(value, theirs.get(name), `info: ${name}`);
        lab.figure('fields of info', `${ours.size} of ${theirs.size}`);
      });

      await lab.step('a disk more, and less', async () => {
        await said(lab, ['block-attach', NAME, `phy:${more},xvdb,w`]);
        await both('block-list', NAME);
        await lab.until('it is connected', async () => {
          const { stdout } = await said(lab, ['block-list', '--json', NAME]);
          const devices = JSON.parse(stdout) as { name: string; frontendState: number }[];
          return devices.some((one) => one.name === 'xvdb' && one.frontendState === 4);
        });
        await both('block-list', NAME);
        await said(lab, ['block-detach', NAME, 'xvdb']);
        await both('block-list', NAME);
        assert.doesNotMatch((await said(lab, ['block-list', NAME])).stdout, /51728/);
      });
      await lab.step('an interface more, and less', async () => {
        await said(lab, ['network-attach', NAME, 'bridge=xenbr0', 'mac=00:16:3e:01:02:04']);
        await both('network-list', NAME);
        await said(lab, ['network-detach', NAME, '00:16:3e:01:02:04']);
        await both('network-list', NAME);
      });
      await lab.step('pause and unpause', async () => {
        await said(lab, ['pause', NAME]);
        assert.match((await lab.exec('xl', ['list', NAME])).stdout, /--p---/);
        await both('list', NAME);
        await said(lab, ['unpause', NAME]);
        assert.doesNotMatch((await lab.exec('xl', ['list', NAME])).stdout, /--p---/);
      });
      await lab.step('its console', () => answersAt(lab, 'stubdom0', ['console', NAME]));
      await lab.step('another name', async () => {
        await said(lab, ['rename', NAME, 'another']);
        assert.equal((await lab.exec('xl', ['domid', 'another'])).stdout.trim(), `${domid}`);
        await said(lab, ['rename', 'another', NAME]);
      });
      await lab.step('reboot', async () => {
        const { stderr } = await said(lab, ['reboot', '-w', NAME]);
        assert.match(stderr, new RegExp(`^Rebooting domain ${domid}\n`));
        await lab.until('it is made anew, by xl', async () => {
          const now = await guest.domid();
          return now !== undefined && now !== domid;
        });
        await lab.until('it is up again', async () => {
          const { stdout } = await lab.exec('xl', ['network-list', NAME], { mayFail: true });
          return / 4 {5}/.test(stdout);
        });
      });
      await lab.step('shutdown', () => said(lab, ['shutdown', '-w', NAME]));
      await lab.step('until it is gone', () => gone(lab, guest));
      await nothingLeft(lab);
      assert.match((await said(lab, ['dmesg'])).stdout, /Xen version 4\./);
    },
  },
  {
    name: 'stubdom0 on real Xen: what is killed on its way, what is refused, and gc',
    stores: ['ours', 'c'],
    limitS: 900,
    async run(lab) {
      const disk = await lab.ramDisk();
      const guest = lab.guest({
        name: 'half',
        disks: [`phy:${disk},xvda,w`],
        config: ['vm_data=["greeting=hello from its toolstack"]', 'bios="seabios"'],
      });
      const refusedAs = async (pattern: RegExp, code: number, ...words: readonly string[]): Promise<void> => {
        const { status, stderr } = await said(lab, words, { mayFail: true });
        assert.match(stderr, pattern, words.join(' '));
        assert.equal(status, code, `${words.join(' ')}: ${stderr}`);
      };
      for (const [moment, condition] of MOMENTS)
        await lab.step(`kill -9 of a creation, ${moment}`, async () => {
          // The xl that it has started goes on.
          await lab.sh(`stubdom0 create -q ${guest.config} & pid=$!
            until ${condition} || [ ! -e /proc/$pid ]; do sleep 0.05; done
            kill -9 $pid; wait $pid 2>/dev/null || true`);
          const { stdout } = await said(lab, ['gc']);
          lab.log(`gc: ${stdout.trim().replaceAll('\n', '; ')}`);
          assert.match(stdout, /^domain half, which was left half made/);
          await nothingLeft(lab);
        });
      await lab.step('SIGINT to a creation', async () => {
        const { stdout } = await lab.sh(`stubdom0 create -q ${guest.config} 2>/tmp/said & pid=$!
          until ${MOMENTS[1]![1]} || [ ! -e /proc/$pid ]; do sleep 0.05; done
          kill -INT $pid; wait $pid || echo "ended $?"; cat /tmp/said`);
        assert.equal(stdout, 'ended 130\nstubdom0: interrupted; what was begun is taken back\n');
        await nothingLeft(lab);
      });
      await lab.step('made whole', async () => {
        const { stderr } = await said(lab, ['create', '-p', guest.config]);
        assert.equal(stderr, `Parsing config from ${guest.config}\n`);
        const domid = await guest.domid();
        const { stdout } = await lab.exec('xenstore-read', [`/local/domain/${domid}/vm-data/greeting`]);
        assert.equal(stdout, 'hello from its toolstack\n');
        assert.match((await said(lab, ['list', 'half'])).stdout, /--p---/);
        assert.equal((await said(lab, ['gc'])).stdout, '');
        await refusedAs(/already exists/i, 3, 'create', '-q', guest.config);
        await refusedAs(/^nobody is an invalid domain identifier \(rc=-6\)\n$/, 1, 'destroy', 'nobody');
        await refusedAs(/^Not destroying domain 0/, 1, 'destroy', '0');
        await refusedAs(/^stubdom0: .*control domain/, 1, 'pause', '0');
        await refusedAs(/Device xvdz not connected/, 1, 'block-detach', 'half', 'xvdz');
        await refusedAs(/\S/, 1, 'block-attach', 'half', 'phy:/dev/nowhere,xvdq,w');
        await said(lab, ['unpause', 'half']);
        await guest.says(/GUEST-UP/);
        await said(lab, ['sysrq', 'half', 'h']);
        await guest.says(/sysrq: HELP/);
        await said(lab, ['destroy', 'half']);
        await nothingLeft(lab);
      });
      await lab.step('what the units of systemd do when the host comes up, and goes', async () => {
        const auto = lab.guest({ name: 'auto' });
        await lab.sh(`mkdir -p /tmp/auto; cp ${auto.config} /tmp/auto`);
        const { stdout } = await said(lab, ['autostart', '--platform', 'xen', '/tmp/auto']);
        assert.equal(stdout, `auto is domain ${await auto.domid()}\n`);
        const { stdout: again } = await said(lab, ['autostart', '/tmp/auto']);
        assert.equal(again, 'auto is there already\n');
        await auto.says(/GUEST-UP/);
        await said(lab, ['shutdown', '--platform', 'xen', '-a', '-w']);
        await gone(lab, auto);
        await nothingLeft(lab);
      });
      await lab.step('a kernel that is not there', async () => {
        await refusedAs(/nowhere/, 3, 'create', '-q', guest.config, 'kernel=/nowhere/vmlinux');
        await nothingLeft(lab);
      });
    },
  },
];
