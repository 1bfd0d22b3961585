/**
 * Our blkback under an unmodified xl: two guests at once, a raw file through the loop device that Xen's own script makes, a disk attached while
 * xl is told to run no scripts, a guest that is destroyed while nobody serves it. And a PVH guest.
 */
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Backend } from '../dom0/backend.ts';
import { blkbackSaid, startBlkback } from '../dom0/blkback.ts';
import type { Guest, Lab, Scenario } from '../lab/scenario.ts';

const FILE = '/tmp/attached.raw';
const CONFIG = '/etc/xen/xl.conf';

/** Says what a disk holds after a megabyte was written to it, as disks come. */
const WRITER = `
while :; do
  for name in a b c; do
    [ -b /dev/xvd$name ] || { eval "done_$name="; continue; }
    eval "[ -z \\"\\$done_$name\\" ]" || continue
    head -c 1m /dev/urandom > /tmp/data
    dd if=/tmp/data of=/dev/xvd$name bs=64k oflag=direct conv=fsync 2>/dev/null
    dd if=/dev/xvd$name bs=64k count=16 iflag=direct 2>/dev/null | cmp - /tmp/data &&
      echo "HOLDS xvd$name $(md5sum </tmp/data | cut -c1-32)."
    eval "done_$name=yes"
  done
  sleep 0.2
done`;

async function md5(lab: Lab, path: string): Promise<string> {
  const { stdout } = await lab.sh(`head -c 1m ${path} | md5sum`);
  return stdout.slice(0, 32);
}

/** Waits until the guest has said so, and the medium says the same. */
async function holds(lab: Lab, guest: Guest, name: string, path: string): Promise<void> {
  const said = await guest.says(new RegExp(`HOLDS ${name} \\w+\\.`), 60);
  assert.equal(said, `HOLDS ${name} ${await md5(lab, path)}.`, `${guest.name}'s ${name} is ${path}`);
}

/** Nothing of a guest's disks is left, and no domain either. */
async function nothingLeft(lab: Lab): Promise<void> {
  const { stdout: domains } = await lab.exec('xl', ['list']);
  assert.equal(domains.trim().split('\n').length, 2, `only dom0 is left:\n${domains}`);
  const nodes = await lab.exec('xenstore-ls', ['-f', '/local/domain/0/backend'], { mayFail: true });
  assert.doesNotMatch(nodes.stdout, /vbd\/\d+\/\d+/);
}

function disksGuest(lab: Lab, name: string, disk: string, more: object = {}): Guest {
  return lab.guest({ name, memory: 96, script: WRITER, disks: [`phy:${disk},xvda,w`], ...more });
}

export const scenarios: readonly Scenario[] = [
  {
    name: "our blkback: two guests, xl block-attach with Xen's own script and without scripts",
    stores: ['ours', 'c', 'ox'],
    async run(lab) {
      const program = await startBlkback(lab);
      const config = existsSync(CONFIG) ? readFileSync(CONFIG, 'utf8') : '';
      try {
        if (!existsSync('/sys/module/loop')) await lab.exec('insmod', ['/lib/modules/loop.ko']);
        await lab.exec('truncate', ['-s', '16M', FILE]);
        const guests = [disksGuest(lab, 'one', '/dev/ram0'), disksGuest(lab, 'two', '/dev/ram1')] as const;
        const [one, two] = guests;
        await lab.step('xl create, twice', async () => {
          for (const guest of guests) await guest.create();
        });
        await lab.step('both write', async () => {
          await holds(lab, one, 'xvda', '/dev/ram0');
          await holds(lab, two, 'xvda', '/dev/ram1');
        });
        await lab.step('xl block-attach of a raw file', () =>
          lab.exec('xl', ['block-attach', 'one', `format=raw,vdev=xvdb,access=rw,target=${FILE}`]),
        );
        await lab.step('it is used', () => holds(lab, one, 'xvdb', FILE));
        const loops = async (): Promise<string> => (await lab.exec('losetup', ['-a'])).stdout;
        assert.match(await loops(), new RegExp(FILE), "Xen's script has made a loop device");
        await lab.step('xl block-detach', () => lab.exec('xl', ['block-detach', 'one', 'xvdb']));
        await lab.until('the loop device is gone', async () => !(await loops()).includes(FILE), 20);
        appendFileSync(CONFIG, '\nrun_hotplug_scripts=0\n');
        await lab.step('xl block-attach, no scripts wanted', () =>
          lab.exec('xl', ['block-attach', 'two', 'phy:/dev/ram2,xvdc,w']),
        );
        await lab.step('it is used', () => holds(lab, two, 'xvdc', '/dev/ram2'));
        await lab.step('xl block-detach', () => lab.exec('xl', ['block-detach', 'two', 'xvdc']));
        for (const { name } of guests) await lab.exec('xl', ['destroy', name]);
        await nothingLeft(lab);
        assert.doesNotMatch(blkbackSaid(), /tried again|internal error/);
      } finally {
        writeFileSync(CONFIG, config);
        await program.kill();
        await lab.sh(`rm -f ${FILE}`);
      }
    },
  },
  {
    name: 'our blkback: a guest destroyed while it is dead leaves nothing, and the next one has the disk',
    stores: ['ours', 'c'],
    async run(lab) {
      let program: Backend = await startBlkback(lab);
      try {
        const guest = disksGuest(lab, 'orphan', '/dev/ram0');
        await lab.step('xl create', () => guest.create());
        await holds(lab, guest, 'xvda', '/dev/ram0');
        await program.kill();
        // Another is started while xl still waits for an answer of the one that is dead.
        const destroyed = lab.step('xl destroy, nobody there', () => lab.exec('xl', ['destroy', 'orphan']));
        await destroyed;
        program = await lab.step('started again', () => startBlkback(lab));
        await nothingLeft(lab);
        const next = disksGuest(lab, 'heir', '/dev/ram0');
        await lab.step('xl create', () => next.create());
        await holds(lab, next, 'xvda', '/dev/ram0');
        await program.kill();
        const dying = lab.step('xl destroy, and started again meanwhile', () =>
          lab.exec('xl', ['destroy', 'heir']),
        );
        program = await startBlkback(lab);
        await dying;
        await nothingLeft(lab);
      } finally {
        await program.kill();
      }
    },
  },
  {
    name: 'our blkback: a PVH guest',
    stores: ['ours'],
    hap: true,
    async run(lab) {
      const program = await startBlkback(lab);
      try {
        const guest = disksGuest(lab, 'pvhdisk', '/dev/ram0', { type: 'pvh', memory: 128 });
        await lab.step('xl create', () => guest.create());
        await lab.step('it writes', () => holds(lab, guest, 'xvda', '/dev/ram0'));
        await lab.exec('xl', ['block-attach', 'pvhdisk', 'phy:/dev/ram1,xvdb,w']);
        await lab.step('and to a second disk', () => holds(lab, guest, 'xvdb', '/dev/ram1'));
        await lab.exec('xl', ['destroy', 'pvhdisk']);
        await nothingLeft(lab);
      } finally {
        await program.kill();
      }
    },
  },
];
