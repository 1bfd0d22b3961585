/**
 * Our blkback serves the disks of a guest that knows nothing of it, in a dom0 without Linux's: what the guest writes is on the medium and comes
 * back, disks come and go while it runs, and it does not notice that its backend was killed and started again.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { blkbackSaid, startBlkback } from '../dom0/blkback.ts';
import type { Lab, Scenario } from '../lab/scenario.ts';

const FILE = '/tmp/disk.raw';
/** What libxl runs for the raw file: its own would put a loop device in between. */
const SCRIPT = '/tmp/file-as-it-is';
const MIB = 2;
/** The raw file, first and later. */
const FILE_MIB = 64;
const GROWN_MIB = 80;
const KILLS = 3;

/** Fills the beginning of a disk, and compares. */
const CHECK = `
head -c ${MIB}m /dev/urandom > /tmp/data
check() {
  dd if=/tmp/data of=/dev/$1 bs=64k oflag=direct conv=fsync 2>/dev/null
  dd if=/dev/$1 bs=64k count=${MIB * 16} iflag=direct 2>/dev/null | cmp - /tmp/data &&
    echo "HOLDS $1 $(md5sum </tmp/data | cut -c1-32)"
}`;

const COMES_AND_GOES = `${CHECK}
check xvda
check xvdb
echo READY
until [ $(blockdev --getsize64 /dev/xvdb) = ${GROWN_MIB << 20} ]; do sleep 0.1; done
dd if=/tmp/data of=/dev/xvdb bs=1M seek=${GROWN_MIB - MIB} oflag=direct conv=fsync && echo GROWN
until [ -b /dev/xvdc ]; do sleep 0.1; done
check xvdc
while [ -b /dev/xvdc ]; do sleep 0.1; done
echo DETACHED
check xvda
read -r forever </dev/console`;

/** Each round writes something else somewhere else. */
const ROUNDS = `
while :; do
  round=$((round + 1)); place=$((round % 8 * 8))
  yes "round $round" | head -c 524288 > /tmp/data
  dd if=/tmp/data of=/dev/xvda bs=64k seek=$place oflag=direct 2>/dev/null || echo FAILED
  dd if=/dev/xvda bs=64k skip=$place count=8 iflag=direct 2>/dev/null | cmp - /tmp/data || echo WRONG
  echo "ROUND $round."
done`;

async function md5(lab: Lab, path: string): Promise<string> {
  const { stdout } = await lab.sh(`head -c ${MIB}m ${path} | md5sum`);
  return stdout.slice(0, 32);
}

/** How each disk was connected, as the program tells. */
function manners(lab: Lab): void {
  for (const [, line] of blkbackSaid().matchAll(/^blkback: (.*(?:connected|taken over): .*)$/gm))
    lab.log(line!);
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'our blkback: a RAM disk, a raw file that grows, a disk attached and detached',
    stores: ['ours', 'c', 'ox'],
    async run(lab) {
      const program = await lab.step('blkback', () => startBlkback(lab));
      try {
        await lab.exec('truncate', ['-s', `${FILE_MIB}M`, FILE]);
        writeFileSync(
          SCRIPT,
          `#!/bin/sh
[ "$1" = add ] || exit 0
xenstore-write $XENBUS_PATH/physical-device-path ${FILE} $XENBUS_PATH/hotplug-status connected
`,
          { mode: 0o755 },
        );
        const guest = lab.guest({
          name: 'disks',
          memory: 128,
          script: COMES_AND_GOES,
          disks: ['phy:/dev/ram0,xvda,w', `vdev=xvdb,access=rw,script=${SCRIPT},target=${FILE}`],
        });
        await lab.step('xl create', () => guest.create());
        const said = await lab.step('both disks', () => guest.says(/[\s\S]*READY/, 60));
        manners(lab);
        for (const [name, path] of [
          ['xvda', '/dev/ram0'],
          ['xvdb', FILE],
        ] as const)
          assert.match(said, new RegExp(`HOLDS ${name} ${await md5(lab, path)}`), `${path} has it`);
        await lab.exec('truncate', ['-s', `${GROWN_MIB}M`, FILE]);
        await lab.step('the file has grown, and the disk', () => guest.says(/GROWN/, 40));
        const { stdout: tail } = await lab.sh(`tail -c ${MIB}m ${FILE} | md5sum`);
        assert.equal(tail.slice(0, 32), await md5(lab, FILE), 'what was written beyond the old end is there');
        await lab.step('xl block-attach', () =>
          lab.exec('xl', ['block-attach', 'disks', 'phy:/dev/ram1,xvdc,w']),
        );
        const attached = await guest.says(/HOLDS xvdc \w+/, 40);
        assert.equal(attached, `HOLDS xvdc ${await md5(lab, '/dev/ram1')}`);
        await lab.step('xl block-detach', () => lab.exec('xl', ['block-detach', 'disks', 'xvdc']));
        await guest.says(/DETACHED[\s\S]*HOLDS xvda/, 40);
        await lab.step('xl destroy', () => lab.exec('xl', ['destroy', 'disks']));
        const { stdout } = await lab.exec('xenstore-ls', ['-f', '/local/domain/0/backend'], {
          mayFail: true,
        });
        assert.doesNotMatch(stdout, /vbd\/\d+\/\d+/, 'nothing is left in the store');
        assert.doesNotMatch(blkbackSaid(), /tried again|internal error/);
      } finally {
        await program.kill();
        await lab.sh(`rm -f ${FILE} ${SCRIPT}`);
      }
    },
  },
  {
    name: 'our blkback: kill -9 under load',
    stores: ['ours', 'c'],
    async run(lab) {
      let program = await startBlkback(lab);
      try {
        const guest = lab.guest({
          name: 'load',
          memory: 128,
          script: ROUNDS,
          disks: ['phy:/dev/ram2,xvda,w'],
        });
        await lab.step('xl create', () => guest.create());
        const rounds = async () => (await guest.console()).split(/ROUND \d+\./).length - 1;
        const more = async (count: number) => {
          const before = await rounds();
          await lab.until(`${count} more rounds`, async () => (await rounds()) >= before + count, 60);
        };
        await lab.step('the guest is at work', () => more(3));
        for (let i = 0; i < KILLS; i++) {
          await program.kill();
          await lab.step('killed; started again', async () => {
            program = await startBlkback(lab);
          });
          await lab.step('three more rounds', () => more(3));
        }
        const said = await guest.console();
        assert.doesNotMatch(said, /WRONG|FAILED|I\/O error/);
        const device = `/vbd/${await guest.domid()}/51712`;
        const takeovers = blkbackSaid().match(new RegExp(`${device}: taken over`, 'g')) ?? [];
        assert.equal(takeovers.length, KILLS);
        lab.figure('rounds', await rounds());
        await lab.step('xl destroy', () => lab.exec('xl', ['destroy', 'load']));
      } finally {
        await program.kill();
      }
    },
  },
];
