/**
 * Devices attached to a guest by stubdom0 itself and by xl, which is told to run no scripts: what both write is the same, node by node, with its permissions. Served
 * by our backends in dom0.
 */
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Backend } from '../dom0/backend.ts';
import { startBlkback } from '../dom0/blkback.ts';
import { startNetback } from '../dom0/netback.ts';
import { gone, madeBy, nothingLeft, said } from '../dom0/toolstack.ts';
import { startXensock } from '../dom0/xensock.ts';
import type { Lab, Scenario } from '../lab/scenario.ts';

const CONFIG = '/etc/xen/xl.conf';
const NAME = 'plugged';

/** Of one device: all three of its trees, with permissions, once its backend waits for the guest. */
async function nodesOf(lab: Lab, domid: number, kind: string, devid: number): Promise<string[]> {
  const back = `/local/domain/0/backend/${kind}/${domid}/${devid}`;
  await lab.until(`${kind} ${devid} is taken on`, async () => {
    const { stdout } = await lab.exec('xenstore-read', [`${back}/state`], { mayFail: true });
    return stdout.trim() === '2';
  });
  const trees = [
    back,
    `/local/domain/${domid}/device/${kind}/${devid}`,
    `/libxl/${domid}/device/${kind}/${devid}`,
  ];
  const { stdout } = await lab.exec('xenstore-ls', ['-fp']);
  return stdout
    .split('\n')
    .filter((line) => trees.some((tree) => line.startsWith(`${tree}/`) || line.startsWith(`${tree} `)))
    .map((line) => line.replaceAll(`/${devid}`, '/DEVID').replaceAll(`"${devid}"`, '"DEVID"'))
    .sort();
}

export const scenarios: readonly Scenario[] = [
  {
    name: "stubdom0's hot-plug writes what xl's does",
    stores: ['ours', 'c'],
    limitS: 480,
    async run(lab) {
      const programs: Backend[] = [];
      const config = existsSync(CONFIG) ? readFileSync(CONFIG, 'utf8') : '';
      try {
        programs.push(await startBlkback(lab), await startNetback(lab, '--scripts', 'no'));
        programs.push(await startXensock(lab));
        const guest = lab.guest({ name: NAME, config: ["pvcalls=['backend=0']"] });
        await madeBy(lab, guest, '-p');
        const domid = (await guest.domid())!;
        appendFileSync(CONFIG, '\nrun_hotplug_scripts=0\n');
        const disk = 'vdev=xvdb,format=raw,access=rw,target=/dev/ram1';
        const vif = ['mac=00:16:3e:01:02:09', 'bridge=xenbr0'];
        const written = async (
          program: 'xl' | 'stubdom0',
          word: string,
          kind: string,
          devid: number,
          ...spec: string[]
        ): Promise<string[]> => {
          await lab.exec(program, [`${word}-attach`, NAME, ...spec]);
          const nodes = await nodesOf(lab, domid, kind, devid);
          // Nobody is there to let go of it: its guest is paused.
          await lab.exec(
            'stubdom0',
            [`${word}-detach`, ...(word === 'block' ? ['-f'] : []), NAME, `${devid}`],
            {},
          );
          const { stdout } = await lab.exec('xenstore-ls', ['-f', '/']);
          assert.ok(!stdout.includes(`/${kind}/${domid}/${devid}`), `${word}: nothing of it is left`);
          return nodes;
        };
        await lab.step('a disk', async () => {
          const theirs = await written('xl', 'block', 'vbd', 51728, disk);
          assert.ok(theirs.length > 15, theirs.join('\n'));
          assert.deepEqual(await written('stubdom0', 'block', 'vbd', 51728, disk), theirs);
          lab.figure('nodes of a disk', theirs.length);
        });
        await lab.step('an interface', async () => {
          const theirs = await written('xl', 'network', 'vif', 0, ...vif);
          assert.ok(theirs.length > 15, theirs.join('\n'));
          assert.deepEqual(await written('stubdom0', 'network', 'vif', 0, ...vif), theirs);
          lab.figure('nodes of an interface', theirs.length);
        });
        await lab.step('sockets: a second beside the one that xl made', async () => {
          const theirs = await nodesOf(lab, domid, 'pvcalls', 0);
          assert.deepEqual(await written('stubdom0', 'sockets', 'pvcalls', 1), theirs);
          lab.figure('nodes of sockets', theirs.length);
        });
        await said(lab, ['destroy', NAME]);
        await gone(lab, guest);
        await nothingLeft(lab);
      } finally {
        writeFileSync(CONFIG, config);
        for (const program of programs) await program.kill();
      }
    },
  },
];
