/**
 * A guest's life as xl tells it, on each daemon in turn: created, spoken to on its console, rebooted, shut down, crashed and kept, saved and
 * restored, destroyed. Linux's own backends serve its disk and its network card.
 */
import assert from 'node:assert/strict';
import { HOME } from '../guest/home.ts';
import { type } from '../guest/terminal.ts';
import type { Guest, GuestOptions, Lab, Scenario } from '../lab/scenario.ts';

const ALL = ['ours', 'c', 'ox'] as const;
const MEMORY_MIB = 96;

/** Says who it is, then answers on its console and counts with a read of the store at each step, for as long as it lives. */
const SPEAKING = `
echo "I-AM $(xenstore-read domid)"
(count=0; while :; do count=$((count + 1)); echo "$count $(xenstore-read name)" > /tmp/count; sleep 1; done) &
echo READY
while read -r word; do
  case $word in
    crash) echo c > /proc/sysrq-trigger ;;
    count) echo "COUNTED $(cat /tmp/count)" ;;
    *) echo "HEARD-$word" ;;
  esac
done </dev/console`;

const DISK_AND_NETWORK = `
head -c 1048576 /dev/urandom > /tmp/data
dd if=/tmp/data of=/dev/xvda bs=64k oflag=direct 2>/dev/null
dd if=/dev/xvda bs=64k count=16 iflag=direct 2>/dev/null | cmp - /tmp/data && echo DISK-HOLDS
ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up
ping -c 2 -W 10 10.9.0.1 >/dev/null && echo NET-ANSWERS
`;

export const scenarios: readonly Scenario[] = [
  {
    name: 'what a host starts with: pid file, domain 0 in the store, xl info, xl list, xenconsoled',
    stores: ALL,
    async run(lab) {
      const { stdout: pid } = await lab.exec('cat', ['/run/xen/xenstored.pid']);
      assert.equal(Number(pid), lab.store.pid, 'the pid file names the daemon');
      const { stdout: name } = await lab.exec('xenstore-read', ['/local/domain/0/name', 'domid']);
      assert.equal(name, 'Domain-0\n0\n');
      const { stdout: info } = await lab.exec('xl', ['info']);
      assert.match(info, /^xen_version +: 4\.17/m);
      assert.match((await lab.exec('xl', ['list'])).stdout, /^Domain-0 +0 /m);
      await lab.sh('kill -0 $(cat /run/xen/xenconsoled.pid)');
      await lab.sh('[ -S /run/xenstored/socket ]');
      // The daemon's own window: the kernel's connection is domain 0's ring.
      if (lab.store.kind !== 'ox') await lab.exec('xenstore-control', ['check']);
    },
  },
  {
    name: 'console, disk and network; reboot; shutdown',
    stores: ALL,
    limitS: 180,
    async run(lab) {
      await lab.bridge();
      const disk = await lab.ramDisk();
      const guest = lab.guest({
        name: 'life',
        memory: MEMORY_MIB,
        script: DISK_AND_NETWORK + SPEAKING,
        disks: [`phy:${disk},xvda,w`],
        vifs: ['bridge=xenbr0,mac=00:16:3e:01:02:03'],
      });
      const created = await lab.step('xl create', () => guest.create());
      lab.figure('xl create s', created.seconds.toFixed(1));
      await lab.step('disk and network', () => guest.says(/DISK-HOLDS[\s\S]*NET-ANSWERS[\s\S]*READY/));
      const before = await guest.domid();
      const shown = await lab.step('xl console', () => say(lab, guest, 'hello'));
      assert.match(shown, /HEARD-hello/, 'xl console shows what the guest answers');
      assert.deepEqual(await shapeOf(lab, before!), HOME, 'its home looks as on any other daemon');

      await lab.step('xl reboot', () => lab.exec('xl', ['reboot', '-w', 'life']));
      await lab.step('until it is back', () => guest.says(/READY[\s\S]*NET-ANSWERS[\s\S]*READY/));
      const after = await guest.domid();
      assert.notEqual(after, before, 'a rebooted guest is a new domain');
      await guest.says(new RegExp(`I-AM ${after}`));

      await lab.step('xl shutdown', () => lab.exec('xl', ['shutdown', '-w', 'life']));
      await lab.step('until it is gone', () => guest.gone());
      await assertNothingLeft(lab, after!);
    },
  },
  {
    name: 'a crashed guest is kept until xl destroy',
    stores: ALL,
    async run(lab) {
      const guest = await speaking(lab, { name: 'crash', memory: MEMORY_MIB });
      const domid = (await guest.domid())!;
      const typed = type(lab, guest, 'crash', (said) => said.includes('crash'));
      await lab.step('until xl list shows the crash', () =>
        lab.until('xl list shows it crashed', async () =>
          /^crash +\d+ +\d+ +\d+ +---?.?sc-/m.test((await lab.exec('xl', ['list'])).stdout),
        ),
      );
      await typed;
      const { stdout: name } = await lab.exec('xenstore-read', [`/local/domain/${domid}/name`]);
      assert.equal(name, 'crash\n', 'its nodes are there as long as it is');
      await lab.step('xl destroy', () => lab.exec('xl', ['destroy', 'crash']));
      await assertNothingLeft(lab, domid);
    },
  },
  {
    name: 'xl save and restore: the guest goes on, and so does its use of the store',
    stores: ALL,
    async run(lab) {
      const guest = await speaking(lab, { name: 'saved', memory: MEMORY_MIB });
      const before = (await guest.domid())!;
      const counted = await count(lab, guest);
      await lab.step('xl save', () => lab.exec('xl', ['save', 'saved', '/tmp/saved']));
      assert.equal(await guest.domid(), undefined);
      await assertNothingLeft(lab, before);
      await lab.step('xl restore', () => lab.exec('xl', ['restore', '/tmp/saved'], { limitS: 90 }));
      await lab.exec('rm', ['/tmp/saved']);
      const after = await lab.step('its console', () => count(lab, guest));
      assert.ok(after >= counted, `it counted to ${counted}, and after the restore to ${after}`);
      await lab.until('it reads the store', async () => (await count(lab, guest)) > after + 1, 20);
      await lab.step('xl shutdown', () => lab.exec('xl', ['shutdown', '-w', 'saved']));
      await guest.gone();
    },
  },
];

/** A guest that answers on its console. */
async function speaking(lab: Lab, options: GuestOptions): Promise<Guest> {
  const guest = lab.guest({ ...options, script: SPEAKING });
  await lab.step('xl create', () => guest.create());
  await lab.step('until it speaks', () => guest.says(/READY/));
  return guest;
}

function say(lab: Lab, guest: Guest, word: string): Promise<string> {
  return type(lab, guest, word, (said) => said.includes(`HEARD-${word}`));
}

/** How far it has counted; each count was a read of its name in the store. */
async function count(lab: Lab, guest: Guest): Promise<number> {
  const asked = () => [...counts(said)];
  let said = await guest.console();
  const known = asked().length;
  await type(lab, guest, 'count', (now) => {
    said = now;
    return asked().length > known;
  });
  return asked().at(-1)!;
}

function counts(said: string): readonly number[] {
  return [...said.matchAll(/COUNTED (\d+) saved/g)].map((match) => Number(match[1]));
}

/** libxl has taken its nodes away, and those of its devices. */
async function assertNothingLeft(lab: Lab, domid: number): Promise<void> {
  const { stdout } = await lab.exec('xenstore-ls', ['-f', '/']);
  const left = stdout
    .split('\n')
    .filter((line) =>
      new RegExp(`^(/local/domain/${domid}|.*/backend/[^/]+/${domid}|/libxl/${domid})(/|$| )`).test(line),
    );
  assert.deepEqual(left, [], 'what is left of it in the store');
}

/** Its home: the nodes, and who may do what with them; not what is in them. */
async function shapeOf(lab: Lab, domid: number): Promise<readonly string[]> {
  const { stdout } = await lab.exec('xenstore-ls', ['-f', '-p', `/local/domain/${domid}`]);
  return [...stdout.matchAll(/^\/local\/domain\/\d+\/(\S+) = .*\((\S+)\)$/gm)]
    .map(
      ([, path, perms]) => `${path} ${perms!.replaceAll(new RegExp(`([a-z])${domid}(?!\\d)`, 'g'), '$1N')}`,
    )
    .map((line) => line.replace(`/${domid}/`, '/N/'))
    .sort();
}
