/**
 * The daemon is killed, with a guest running and in the middle of `xl create`, and started again: what goes on, and what has to be done again.
 * Programs on the daemon's socket lose their connection, as with any daemon; those that use dom0's own ring (/dev/xen/xenbus) do not notice.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { guestDomids } from '../dom0/domains.ts';
import { stillKernel } from '../guest/still.ts';
import type { Guest, Lab, Scenario } from '../lab/scenario.ts';

/** Counts in the store, one read and one write a step, and tells there of what comes through a watch. */
const COUNTING = `
xenstore-write data/word none data/count "0 $(xenstore-read name)"
xenstore-watch data/word | while read -r path; do xenstore-write data/seen "$(xenstore-read data/word)"; done &
echo READY
while :; do count=$((count + 1)); xenstore-write data/count "$count $(xenstore-read name)"; sleep 0.2; done`;

type Env = Readonly<Record<string, string>>;
/** With it, Xen's programs talk to the store through dom0's kernel, and not through the daemon's socket. */
const OWN_RING: Env = { XENSTORED_PATH: '/dev/xen/xenbus' };

const KERNEL = '/tmp/still';
/** When in an `xl create`, as parts of what it takes undisturbed. */
const POINTS = [0.2, 0.5, 0.8];
const AFTER_RESTART_S = 10;

export const scenarios: readonly Scenario[] = [
  {
    name: 'kill -9 of the daemon and restart, with guests running',
    stores: ['ours'],
    limitS: 180,
    async run(lab) {
      const guest = await counting(lab, 'one', {});
      const other = await counting(lab, 'other', OWN_RING);
      const home = `/local/domain/${await guest.domid()}`;
      const counted = [await count(lab, guest), await count(lab, other)] as const;
      await restart(lab);
      await lab.step('the guests read on', async () => {
        await lab.until('one counts', async () => (await count(lab, guest)) > counted[0] + 1, 20);
        await lab.until('the other counts', async () => (await count(lab, other)) > counted[1] + 1, 20);
      });
      await lab.exec('xenstore-write', [`${home}/data/word`, 'afterwards']);
      await lab.step('an old watch fires', () =>
        lab.until('the event', async () => (await read(lab, `${home}/data/seen`)) === 'afterwards', 20),
      );
      await lab.step('xl shutdown', async () => {
        for (const name of ['one', 'other']) await lab.exec('xl', ['shutdown', '-w', name]);
      });
      await lab.step("the xl on dom0's ring sees its guest go", () => other.gone());
      // The xl that waited for the end of this one has lost its connection.
      assert.match((await lab.exec('xl', ['list'])).stdout, /^one .* ---s-- /m);
      await lab.exec('xl', ['destroy', 'one']);
    },
  },
  {
    name: 'kill -9 of the daemon in the middle of xl create',
    stores: ['ours'],
    limitS: 400,
    async run(lab) {
      const disk = await lab.ramDisk();
      await lab.consoled(OWN_RING);
      const witness = await counting(lab, 'witness', {});
      writeFileSync(KERNEL, stillKernel());
      const devices = { disks: [`phy:${disk},xvda,w`] };
      const half = lab.guest({ name: 'half', memory: 24, config: [`kernel='${KERNEL}'`], ...devices });
      const create = (env: Env, mayFail: boolean) =>
        lab.exec('xl', ['create', '-p', half.config], { env, mayFail });
      const whole = (await create({}, false)).seconds;
      lab.figure('xl create undisturbed s', whole.toFixed(1));
      await lab.exec('xl', ['destroy', 'half']);
      const known = await domids(lab);
      for (const [way, env] of [
        ['on the socket', {}],
        ["on dom0's ring", OWN_RING],
      ] as const) {
        let inTime = 0;
        for (const point of POINTS) {
          const what = `${way}, killed at ${Math.round(point * 100)} %`;
          const counted = await count(lab, witness);
          let over = false;
          const creation = create(env, true).then((result) => {
            over = true;
            return { ...result, at: performance.now() };
          });
          await new Promise((resolve) => setTimeout(resolve, whole * point * 1000));
          if (!over) inTime++;
          await restart(lab);
          const restarted = performance.now();
          const { status, stderr, at } = await creation;
          const afterS = (at - restarted) / 1000;
          const complaint = stderr.split('\n').find((line) => /error/i.test(line)) ?? '';
          lab.log(`${what}: ${status === 0 ? 'xl completed' : complaint}`);
          assert.ok(afterS < AFTER_RESTART_S, `${what}: xl took ${afterS} s after the restart`);
          assert.ok(status === 0 || complaint !== '', 'xl tells why');
          for (const domid of await domids(lab))
            if (!known.includes(domid)) await lab.exec('xl', ['destroy', domid]);
          assert.deepEqual(await domids(lab), known, 'the half-made domain is gone');
          await lab.until('the witness goes on', async () => (await count(lab, witness)) > counted, 20);
          const { seconds } = await create({}, false);
          const end = `${status === 0 ? 'completes' : 'fails'} ${Math.max(0, afterS).toFixed(1)} s after the restart`;
          lab.figure(what, `${end}, again in ${seconds.toFixed(1)} s`);
          await lab.exec('xl', ['destroy', 'half']);
        }
        assert.ok(inTime > 1, `${way}: the daemon was killed in the middle of ${inTime} creations alone`);
      }
      const last = lab.guest({
        name: 'last',
        memory: 96,
        script: 'head -c 4 /dev/xvda >/dev/null && echo DISK-READ',
        ...devices,
      });
      await last.create();
      await lab.step('dom0 serves disks to new guests', () => last.says(/DISK-READ/));
      await last.gone();
    },
  },
];

async function counting(lab: Lab, name: string, env: Env): Promise<Guest> {
  const guest = lab.guest({ name, memory: 96, script: COUNTING });
  await lab.step('xl create', () => lab.exec('xl', ['create', guest.config], { env }));
  await lab.step('until it counts', () => guest.says(/READY/));
  return guest;
}

/** kill -9, and Xen's launcher. */
async function restart(lab: Lab): Promise<void> {
  await lab.step('kill -9 and restart', async () => {
    await lab.store.kill();
    await lab.store.start();
  });
}

/** How far the guest has counted. */
async function count(lab: Lab, guest: Guest): Promise<number> {
  const [count, name] = (await read(lab, `/local/domain/${await guest.domid()}/data/count`)).split(' ');
  assert.equal(name, guest.name);
  return Number(count);
}

async function read(lab: Lab, path: string): Promise<string> {
  return (await lab.exec('xenstore-read', [path])).stdout.trim();
}

/** Of all domains but dom0. */
async function domids(lab: Lab): Promise<readonly string[]> {
  return guestDomids((await lab.exec('xl', ['list'])).stdout);
}
