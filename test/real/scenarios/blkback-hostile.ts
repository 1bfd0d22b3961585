/**
 * A guest that is its own disk driver, and a bad one (guest/hostiledisk.c), beside one that works: requests with bad grants, slots full of anything,
 * events without end, an index that cannot be, states that make no sense. It loses its own disks, and nobody else notices.
 */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { blkbackSaid, startBlkback } from '../dom0/blkback.ts';
import type { Scenario } from '../lab/scenario.ts';

const INIT = '/tmp/hostile-init';
const FLAPS = 51728;
const BREAKS = 51712;

/** Without a driver for disks. */
const HOSTILE = `#!/bin/busybox sh
export PATH=/bin:/sbin:/usr/bin HOME=/
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t devtmpfs dev /dev; mkdir -p /dev/xen
for name in xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs; do insmod /lib/modules/$name.ko; done
mount -t xenfs xenfs /proc/xen
echo GUEST-UP
/hostiledisk ${FLAPS} flap &
/hostiledisk ${BREAKS} grefs garbage storm jump &
while :; do sleep 1000; done
`;

/** Writes and compares for ever. */
const HONEST = `
while :; do
  round=$((round + 1))
  yes "round $round" | head -c 262144 > /tmp/data
  dd if=/tmp/data of=/dev/xvda bs=64k oflag=direct 2>/dev/null || echo FAILED
  dd if=/dev/xvda bs=64k count=4 iflag=direct 2>/dev/null | cmp - /tmp/data || echo WRONG
  echo "ROUND $round."
done`;

export const scenarios: readonly Scenario[] = [
  {
    name: 'our blkback: a hostile guest loses its disks, and the other one notices nothing',
    stores: ['ours'],
    limitS: 300,
    async run(lab) {
      const program = await startBlkback(lab);
      try {
        writeFileSync(INIT, HOSTILE);
        chmodSync(INIT, 0o755);
        const honest = lab.guest({
          name: 'good',
          memory: 96,
          script: HONEST,
          disks: ['phy:/dev/ram2,xvda,w'],
        });
        await lab.step('xl create good', () => honest.create());
        const rounds = async (): Promise<number> => (await honest.console()).split(/ROUND \d+\./).length - 1;
        await lab.until('it is at work', async () => (await rounds()) > 1, 60);
        const hostile = lab.guest({
          name: 'bad',
          memory: 96,
          files: [INIT, '/app/guest/hostiledisk'],
          config: ['extra="console=hvc0 panic=1 loglevel=4 rdinit=/hostile-init"'],
          disks: ['phy:/dev/ram0,xvda,w', 'phy:/dev/ram1,xvdb,w'],
        });
        await lab.step('xl create bad', () => hostile.create());
        await lab.step('bad grants', () => hostile.says(/grefs: -1 -1 -1, then 0/, 90));
        await lab.step('slots full of anything', () => hostile.says(/garbage: 1280 answers, then 0/, 90));
        await lab.step('events without end', () => hostile.says(/storm: 0/, 90));
        const domid = await hostile.domid();
        const back = `/local/domain/0/backend/vbd/${domid}`;
        const read = async (path: string): Promise<string> =>
          (await lab.exec('xenstore-read', [path], { mayFail: true })).stdout.trim();
        await lab.step('an index that cannot be', () =>
          lab.until(
            'its disk is closed',
            async () => ['5', '6'].includes(await read(`${back}/${BREAKS}/state`)),
            60,
          ),
        );
        assert.match(
          await read(`/local/domain/0/error/backend/vbd/${domid}/${BREAKS}/error`),
          /more requests than/,
        );
        await lab.step('states that make no sense', () => hostile.says(/flap: done/, 90));
        const before = await rounds();
        await lab.until('the other one goes on', async () => (await rounds()) > before + 1, 60);
        assert.doesNotMatch(await honest.console(), /WRONG|FAILED|I\/O error/);
        lab.figure('rounds of the other', await rounds());
        for (const name of ['bad', 'good'])
          await lab.step(`xl destroy ${name}`, () => lab.exec('xl', ['destroy', name]));
        const { stdout } = await lab.exec('xl', ['list']);
        assert.equal(stdout.trim().split('\n').length, 2, `only dom0 is left:\n${stdout}`);
        assert.doesNotMatch(blkbackSaid(), /internal error/);
      } finally {
        await program.kill();
        await lab.sh(`rm -f ${INIT}`);
      }
    },
  },
];
