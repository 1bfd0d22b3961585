/**
 * Guests whose root is an ext4 file system on a disk of our blkback's: one boots from it to a login, writes, syncs, is destroyed, boots again and
 * finds what it wrote; another does not notice that its backend is killed and started again, from its boot on.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import type { Backend } from '../dom0/backend.ts';
import { blkbackSaid, startBlkback } from '../dom0/blkback.ts';
import type { Guest, Lab, Scenario } from '../lab/scenario.ts';

const DISK = '/dev/ram0';
const TREE = '/tmp/root';
const FIRST = '/tmp/root-init';

/** The kernel's first program: what it takes to mount the disk. */
const FIRST_INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
for name in xen-blkfront crc32c_generic crc16 mbcache jbd2 ext4; do insmod /lib/modules/$name.ko; done
until [ -b /dev/xvda ]; do sleep 0.1; done
echo MOUNTING
mkdir /new; mount -t ext4 /dev/xvda /new && exec switch_root /new /init
`;

const INIT = `#!/bin/busybox sh
export PATH=/bin
[ -e /bin/sh ] || /bin/busybox --install -s /bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc
echo boot >> /boots
echo "BOOT $(wc -l < /boots) of $(grep ' / ' /proc/mounts | cut -d' ' -f1,3)."
if [ -e /data ]; then md5sum -c /data.md5 && echo DATA-FOUND; fi
dd if=/dev/urandom of=/data bs=64k count=128 2>/dev/null; md5sum /data > /data.md5; sync
echo WRITTEN
exec setsid getty -L 0 hvc0 vt100
`;

/** Writes, syncs and compares for ever, what is compared read from the disk. */
const BUSY_INIT = INIT.replace(
  'exec setsid getty',
  `(while :; do
  round=$((round + 1))
  dd if=/dev/urandom of=/work bs=64k count=32 2>/dev/null; md5sum /work > /work.md5; sync
  echo 3 > /proc/sys/vm/drop_caches
  md5sum -c /work.md5 >/dev/null && echo "ROUND $round." || echo WRONG
done) &
exec setsid getty`,
);
const KILLS = 3;

/** An ext4 file system on the disk, and a guest whose root it is. */
async function rootGuest(lab: Lab, name: string, init: string): Promise<Guest> {
  for (const folder of ['bin', 'dev', 'proc']) mkdirSync(`${TREE}/${folder}`, { recursive: true });
  await lab.exec('cp', ['/bin/busybox', `${TREE}/bin`]);
  for (const [path, text] of [
    [`${TREE}/init`, init],
    [FIRST, FIRST_INIT],
  ] as const) {
    writeFileSync(path, text);
    chmodSync(path, 0o755);
  }
  await lab.step('mke2fs', () => lab.exec('/sbin/mke2fs', ['-F', '-q', '-t', 'ext4', '-d', TREE, DISK]));
  return lab.guest({
    name,
    memory: 96,
    files: [FIRST],
    config: ['extra="console=hvc0 panic=1 loglevel=4 rdinit=/root-init"'],
    disks: [`phy:${DISK},xvda,w`],
  });
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'our blkback: an ext4 root outlives its guest',
    stores: ['ours', 'c'],
    async run(lab) {
      const blkback = await startBlkback(lab);
      try {
        const guest = await rootGuest(lab, 'root', INIT);
        await lab.step('xl create', () => guest.create());
        const first = await lab.step('until its login', () =>
          guest.says(/BOOT[\s\S]*WRITTEN[\s\S]*login:/, 60),
        );
        assert.match(first, /^BOOT 1 of \/dev\/xvda ext4\./);
        await lab.step('xl destroy', () => lab.exec('xl', ['destroy', 'root']));
        await lab.step('xl create', () => guest.create());
        const second = await lab.step('until its login', () =>
          guest.says(/BOOT 2 [\s\S]*WRITTEN[\s\S]*login:/, 60),
        );
        assert.match(second, /DATA-FOUND/);
        assert.doesNotMatch(await guest.console(), /I\/O error|EXT4-fs error/);
        await lab.exec('xl', ['destroy', 'root']);
      } finally {
        await blkback.kill();
        await lab.sh(`rm -rf ${TREE} ${FIRST}`);
      }
    },
  },
  {
    name: 'our blkback: kill -9 while a guest boots from it, and while it writes and syncs',
    stores: ['ours', 'c'],
    limitS: 400,
    async run(lab) {
      let blkback: Backend = await startBlkback(lab);
      const again = async (): Promise<void> => {
        await blkback.kill();
        blkback = await startBlkback(lab);
      };
      try {
        const guest = await rootGuest(lab, 'busy', BUSY_INIT);
        await lab.step('xl create', () => guest.create());
        for (const [moment, said] of [
          ['before its kernel looks at the disk', /^/],
          ['as it mounts its root', /MOUNTING/],
          ['as it starts from its root', /BOOT 1/],
          ['and once more', /BOOT 1/],
        ] as const)
          await lab.step(`killed ${moment}`, async () => {
            await guest.says(said, 60);
            await again();
          });
        await lab.step('until it writes', () => guest.says(/WRITTEN/, 60));
        const rounds = async (): Promise<number> => (await guest.console()).split(/ROUND \d+\./).length - 1;
        for (let i = 0; i < KILLS; i++) {
          const before = await rounds();
          await lab.step('a round and a half', () =>
            lab.until('another round', async () => (await rounds()) > before, 60),
          );
          await again();
        }
        await lab.until('a last round', async () => (await rounds()) > KILLS, 60);
        assert.doesNotMatch(await guest.console(), /WRONG|I\/O error|EXT4-fs error/);
        assert.doesNotMatch(blkbackSaid(), /internal error/);
        await lab.exec('xl', ['destroy', 'busy']);
      } finally {
        await blkback.kill();
        await lab.sh(`rm -rf ${TREE} ${FIRST}`);
      }
    },
  },
];
