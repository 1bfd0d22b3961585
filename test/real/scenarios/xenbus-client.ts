/**
 * Clients through dom0's kernel, /dev/xen/xenbus, instead of the daemon's socket: the library with all that it can do, the `xenstore` command, and
 * Xen's clients beside it; and Xen's own test of a store.
 */
import assert from 'node:assert/strict';
import { watched } from '../dom0/watched.ts';
import type { Lab, Result, Scenario } from '../lab/scenario.ts';

const DEVICE = '/dev/xen/xenbus';
const TOP = '/clients';
/** What both commands are asked; the first word is the verb. */
const ASKED: readonly (readonly string[])[] = [
  ['write', `${TOP}/a`, 'one', `${TOP}/b/c`, 'two\\tthree'],
  ['read', '-p', `${TOP}/a`, `${TOP}/b/c`],
  ['list', TOP],
  ['ls', '-p', TOP],
  ['chmod', `${TOP}/a`, 'n0', 'r7'],
  ['ls', '-fp', TOP],
  ['exists', `${TOP}/none`],
  ['read', `${TOP}/none`],
  ['rm', '-t', `${TOP}/b/c`],
  ['ls', '-f', TOP],
];

async function asked(lab: Lab, program: (verb: string) => readonly string[]): Promise<string[]> {
  const env = { XENSTORED_PATH: DEVICE };
  const answers: string[] = [];
  for (const [verb, ...args] of ASKED) {
    const [command, ...first] = program(verb!);
    const { status, stdout }: Result = await lab.exec(command!, [...first, ...args], { env, mayFail: true });
    answers.push(`${verb} ${status}: ${stdout}`);
  }
  await lab.exec('xenstore-rm', [TOP], { env });
  return answers;
}

export const scenarios: readonly Scenario[] = [
  {
    name: "clients through the kernel's device",
    stores: ['ours', 'c', 'ox'],
    async run(lab) {
      await lab.step('the client library', async () => {
        const args = ['/app/dist/test/real/dom0/clients.js', lab.store.kind];
        const { status, stdout, stderr } = await lab.exec('node', args, { mayFail: true });
        const lines = stdout.trim().split('\n');
        if (status !== 0) for (const line of lines) if (!line.startsWith('ok')) lab.log(line);
        assert.equal(status, 0, `${lines.at(-1)} ${stderr}`);
        lab.figure('tests of the library', lines.filter((line) => line.startsWith('ok')).length);
      });
      const [ours, theirs] = await lab.step('ours and its commands', async () => [
        await asked(lab, (verb) => ['xenstore', verb]),
        await asked(lab, (verb) => [`xenstore-${verb}`]),
      ]);
      assert.deepEqual(ours, theirs);
      await lab.step('xenstore watch', async () => {
        const env = { XENSTORED_PATH: DEVICE };
        const fired = await watched(lab, TOP, { program: 'xenstore watch', env });
        await lab.exec('xenstore-write', [TOP, 'changed']);
        assert.deepEqual(await fired(), [TOP, TOP]);
      });
      for (const [way, env] of [
        ['over the socket', {}],
        ['through the kernel', { XENSTORED_PATH: DEVICE }],
      ] as const) {
        const { stdout } = await lab.step(`Xen's test-xenstore, ${way}`, () =>
          lab.exec('test-xenstore', [], { env }),
        );
        const nanoseconds = Number(/^read 1 *: (\d+) ns$/m.exec(stdout)?.[1]);
        lab.figure(`a read ${way} ms`, (nanoseconds / 1e6).toFixed(1));
      }
    },
  },
];
