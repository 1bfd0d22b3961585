/**
 * One guest does to its store ring what no honest guest does (guest/hostile.c), another and dom0 go on with their work: how long the store takes
 * to answer them before, and meanwhile. And what the daemon's memory makes of it.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Guest, Lab, Scenario } from '../lab/scenario.ts';

const SECONDS = 3;
/** What each hostile guest does, one after the other. What breaks its connection for good comes last. */
const DEEDS: readonly (readonly string[])[] = [
  ['kicks', 'flood', 'writes', 'unread', 'watches', 'transactions', 'garbage'],
  ['malformed', 'huge'],
  ['indices'],
];
/** The guests share a processor: what a busy neighbour costs anyway, this many times over, is what the store may cost. */
const PATIENCE = 5;
/** In ms: below it nobody asks why. */
const UNNOTICED_MS = 40;
/** No answer may take longer. */
const LONGEST_MS = 2000;
const GROWTH_MIB = 64;

const HONEST = './storeping';
const HOSTILE = `
ring=$(xenstore-read store/ring-ref); port=$(xenstore-read store/port)
echo READY
while read -r kind; do ./hostile $kind ${SECONDS} $ring $port; echo "DONE-$kind"; done </dev/console`;

interface Latency {
  readonly median: number;
  readonly longest: number;
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'a hostile guest: the other and dom0 do not notice',
    stores: ['ours'],
    limitS: 300,
    async run(lab) {
      const hostile: Guest[] = [];
      for (const number of DEEDS.keys()) {
        const guest = lab.guest({
          name: `hostile${number}`,
          memory: 96,
          script: HOSTILE,
          files: ['/app/guest/hostile'],
        });
        await lab.step(`xl create ${guest.name}`, () => guest.create());
        await lab.step('until it is up', () => guest.says(/READY/));
        hostile.push(guest);
      }
      const honest = lab.guest({
        name: 'honest',
        memory: 96,
        script: HONEST,
        files: ['/app/guest/storeping'],
      });
      await lab.step('xl create honest', () => honest.create());
      await lab.step('until it asks the store', () => honest.says(/PING/));
      const quiet = await watch(lab, honest, () => lab.exec('sleep', [`${SECONDS}`]));
      show(lab, 'quiet', quiet);
      const busy = await watch(lab, honest, () => deed(lab, hostile[0]!, 'spin'));
      show(lab, 'busy neighbour', busy);
      const before = residentMiB(lab);
      for (const [number, kinds] of DEEDS.entries()) {
        for (const kind of kinds) {
          const seen = await watch(lab, honest, () => deed(lab, hostile[number]!, kind));
          show(lab, kind, seen);
          for (const who of ['guest', 'dom0'] as const) {
            const most = Math.max(UNNOTICED_MS, PATIENCE * Math.max(busy[who].median, quiet[who].median));
            assert.ok(seen[who].median <= most, `${kind}: ${who} waits ${seen[who].median} ms for the store`);
            assert.ok(seen[who].longest <= LONGEST_MS, `${kind}: ${who} once waited ${seen[who].longest} ms`);
          }
        }
      }
      const growth = residentMiB(lab) - before;
      lab.figure('daemon grew by MiB', growth.toFixed(1));
      assert.ok(growth < GROWTH_MIB, `the daemon grew by ${growth} MiB`);
      await lab.step('xl destroy', async () => {
        for (const guest of hostile) await lab.exec('xl', ['destroy', guest.name]);
      });
      const after = await watch(lab, honest, () => lab.exec('sleep', ['1']));
      assert.ok(
        after.guest.median <= Math.max(UNNOTICED_MS, PATIENCE * quiet.guest.median),
        'all is quiet again',
      );
    },
  },
];

/** Has a guest do it, and returns when it is done. */
async function deed(lab: Lab, guest: Guest, kind: string): Promise<void> {
  const { stdout } = await lab.exec('xenstore-read', [`/local/domain/${await guest.domid()}/console/tty`]);
  writeFileSync(stdout.trim(), `${kind}\n`);
  const text = await guest.says(new RegExp(`hostile: ${kind}:.*\\n[\\s\\S]*DONE-${kind}`), SECONDS + 20);
  lab.log(text.split('\n')[0]!);
}

/** How the store answers the other guest and dom0 while something is done. */
async function watch(
  lab: Lab,
  honest: Guest,
  body: () => Promise<unknown>,
): Promise<{ readonly guest: Latency; readonly dom0: Latency }> {
  const known = (await honest.console()).length;
  const [dom0] = await Promise.all([lab.exec('/app/guest/storeping', [`${SECONDS}`]), body()]);
  // The first line began before.
  const lines = (await honest.console()).slice(known).split('\n').slice(1);
  return { guest: latency(lines), dom0: latency(dom0.stdout.split('\n')) };
}

/** Of the lines that storeping prints: the median of the medians, and the longest of all. */
function latency(lines: readonly string[]): Latency {
  const pings = lines.flatMap((line) => {
    const match = /^PING \d+ ([\d.]+) ([\d.]+)$/.exec(line);
    return match === null ? [] : [{ median: Number(match[1]), longest: Number(match[2]) }];
  });
  assert.ok(pings.length > 0, 'the store answered nobody');
  const medians = pings.map(({ median }) => median).sort((a, b) => a - b);
  return {
    median: medians[Math.floor(medians.length / 2)]!,
    longest: Math.max(...pings.map(({ longest }) => longest)),
  };
}

function show(lab: Lab, what: string, { guest, dom0 }: { guest: Latency; dom0: Latency }): void {
  const text = ({ median, longest }: Latency) => `${median.toFixed(1)} (${longest.toFixed(0)})`;
  lab.figure(`${what}: guest, dom0 ms, median (longest)`, `${text(guest)}, ${text(dom0)}`);
}

function residentMiB(lab: Lab): number {
  const status = readFileSync(`/proc/${lab.store.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
}
