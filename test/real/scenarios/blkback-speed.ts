/**
 * The same dd in a guest on our blkback and on Linux's, one after the other in one boot. Both have been warmed up: what runs is compiled, which
 * takes thousands of requests and, under emulation, seconds on dom0's only processor; and the guest's pages are mapped. One request is under way at
 * a time, so that small ones tell how long it takes to be woken, and large ones how fast data moves.
 */
import { startBlkback } from '../dom0/blkback.ts';
import type { Lab, Scenario } from '../lab/scenario.ts';

/** What is timed: bytes at a time, how often, and how often before that. */
const SPEEDS = [
  ['read', '1M', 24, 60],
  ['write', '1M', 24, 60],
  ['read', '64k', 100, 300],
  ['write', '64k', 100, 300],
  ['read', '4k', 300, 3000],
  ['write', '4k', 300, 1500],
] as const;
const WAYS = {
  read: 'if=/dev/xvda of=/dev/null iflag=direct',
  write: 'if=/dev/zero of=/dev/xvda oflag=direct',
};

const run = (phase: 'before' | 'timed'): string =>
  SPEEDS.map(([verb, size, count, before]) => {
    const times = phase === 'timed' ? count : before;
    return `timed ${verb} ${size} ${times} '${WAYS[verb]}'`;
  }).join('\n');

/** In hundredths of a second. */
const MEASURED = `
now() { cut -d' ' -f1 /proc/uptime | tr -d .; }
timed() {
  begun=$(now); dd bs=$2 count=$3 $4 2>/dev/null; echo "TIMED $1 $2 $(($(now) - begun))."
}
( ${run('before')} ) >/dev/null
echo WARM; sleep 1
${run('timed')}
echo MEASURED
read -r forever </dev/console`;

/** Milliseconds of a request of each kind. */
async function measured(lab: Lab, name: string): Promise<ReadonlyMap<string, number>> {
  const guest = lab.guest({ name, memory: 96, script: MEASURED, disks: ['phy:/dev/ram3,xvda,w'] });
  await guest.create();
  await guest.says(/WARM/, 180);
  // Who looks at the console takes the processor from blkback, of which there is one in dom0.
  await lab.exec('sleep', ['6']);
  const said = await guest.says(/[\s\S]*MEASURED/, 180);
  await lab.exec('xl', ['destroy', name]);
  const counts = new Map(SPEEDS.map(([verb, size, count]) => [`${verb} ${size}`, count]));
  return new Map(
    [...said.matchAll(/TIMED (\w+ \w+) (\d+)\.\n/g)].map(([, what, hundredths]) => [
      what!,
      (Number(hundredths) * 10) / counts.get(what!)!,
    ]),
  );
}

export const scenarios: readonly Scenario[] = [
  {
    name: "our blkback beside Linux's: dd in a guest",
    stores: ['ours'],
    limitS: 420,
    async run(lab) {
      const program = await startBlkback(lab);
      const ours = await lab.step('ours', () => measured(lab, 'ours')).finally(() => program.kill());
      await lab.exec('insmod', ['/lib/modules/xen-blkback.ko']);
      const linux = await lab.step("Linux's", () => measured(lab, 'linux'));
      for (const [what, ms] of ours) {
        const theirs = linux.get(what)!;
        lab.figure(
          `${what}: ours, Linux's ms (ratio)`,
          `${ms.toFixed(2)}, ${theirs.toFixed(2)} (${(theirs / ms).toFixed(2)})`,
        );
      }
    },
  },
];
