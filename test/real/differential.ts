/**
 * The same nonsense for two stores, ours and a real one: every reply, every event and, now and then, the whole tree must be equal, but
 * for the differences written down in fuzz-known.ts. From the command line:
 * `node dist/test/real/differential.js [--seed N] [--runs N] [--steps M] [--peer c417|PATH] [--ours core|sim|disk] [--all]`. A difference is
 * shown with the shortest conversation found that still shows it; `--all` goes on after the first.
 */

import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { startCore } from '../conformance/corehost.ts';
import { startC, startXenstored } from '../conformance/peers.ts';
import { startSim, startSimOnDisk } from '../conformance/simhost.ts';
import type { Host } from '../conformance/store.ts';
import { type Kind, Ledger, normal } from './fuzz-known.ts';
import { type Heard, Player } from './fuzz-play.ts';
import { type Dialect, Generator, type Step, told } from './fuzz-steps.ts';

export interface Pair {
  readonly ours: () => Promise<Host>;
  readonly peer: () => Promise<Host>;
  /** Which list of known differences, and what the peer can be asked. */
  readonly kind: Kind;
  /** Ours has a database, and is restarted now and then. */
  readonly restarts: boolean;
}

export interface Difference {
  readonly step: Step | undefined;
  readonly ours: string;
  readonly peer: string;
}

export interface Run {
  readonly steps: readonly Step[];
  readonly difference: Difference | undefined;
  /** The run ended early at a difference that is known and leaves the two in different states. */
  readonly parted: string | undefined;
}

export type Ours = 'core' | 'sim' | 'disk';

const starts = { core: startCore, sim: startSim, disk: startSimOnDisk } as const;

/**
 * Our core, our whole daemon on a simulated machine, or that with a database and restarts; against Debian's C daemon or one by its path,
 * taken for today's.
 */
export function pairWith(peer: string, ours: Ours = 'core'): Pair {
  const start = starts[ours];
  const restarts = ours === 'disk';
  if (peer === 'c417') return { ours: () => start({}), peer: () => startC(), kind: 'c417', restarts };
  return {
    ours: () => start({ args: ['--quota-compare=head'] }),
    peer: () => startXenstored(peer),
    kind: 'chead',
    restarts,
  };
}

export function dialectOf({ kind, restarts }: Pair): Dialect {
  const recent = kind === 'chead';
  return { recent, malformed: recent, deaths: recent, restarts };
}

const DUMP_EVERY = 40;

/** Plays `source` (a generator, or steps already drawn) on both. */
export async function run(pair: Pair, source: Generator | readonly Step[], limit: number): Promise<Run> {
  const [ours, peer] = await Promise.all([pair.ours().then(Player.start), pair.peer().then(Player.start)]);
  const steps: Step[] = [];
  const ledger = new Ledger(pair.kind);
  try {
    for (let i = 0; i < limit; i++) {
      const step = source instanceof Generator ? source.next() : source[i]!;
      steps.push(step);
      const [mine, theirs] = await Promise.all([ours.play(step), peer.play(step)]);
      const outcome = compare(ledger, step, mine, theirs);
      if (outcome) return { steps, difference: undefined, parted: undefined, ...outcome };
      const reply = replyOf(step, mine);
      const parted = ledger.note(step, reply);
      if (parted) return { steps, difference: undefined, parted };
      if (source instanceof Generator) source.learn(step, reply);
      if (i % DUMP_EVERY === DUMP_EVERY - 1 || i === limit - 1) {
        const difference = await compareTrees(ours, peer);
        if (difference) return { steps, difference, parted: undefined };
      }
    }
    return { steps, difference: undefined, parted: undefined };
  } finally {
    await Promise.all([ours.stop(), peer.stop()]);
  }
}

/** Leaves out what is not needed to show a difference. */
export async function shrink(pair: Pair, steps: readonly Step[]): Promise<readonly Step[]> {
  let kept = steps;
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < kept.length; ) {
      const shorter = [...kept.slice(0, at), ...kept.slice(at + size)];
      const shown = shorter.length > 0 && (await run(pair, shorter, shorter.length)).difference !== undefined;
      if (shown) kept = shorter;
      else at += size;
    }
  }
  return kept;
}

function compare(
  ledger: Ledger,
  step: Step,
  mine: Heard,
  theirs: Heard,
): Pick<Run, 'difference'> | Pick<Run, 'parted'> | undefined {
  for (const name of new Set([...mine.keys(), ...theirs.keys()])) {
    const [a, b] = [normal(step, mine.get(name)), normal(step, theirs.get(name))];
    const verdict = ledger.judge(step, a, b);
    if (verdict === 'different')
      return { difference: { step, ours: `${name}: ${a.join('; ')}`, peer: `${name}: ${b.join('; ')}` } };
    if (typeof verdict === 'object') return verdict;
  }
  return undefined;
}

async function compareTrees(ours: Player, peer: Player): Promise<Difference | undefined> {
  const [mine, theirs] = await Promise.all([ours.dump(), peer.dump()]);
  const [a, b] = [normal(undefined, mine), normal(undefined, theirs)];
  const at = a.findIndex((line, i) => line !== b[i]);
  if (at < 0 && a.length === b.length) return undefined;
  const place = at < 0 ? a.length : at;
  return { step: undefined, ours: `the tree: ${a[place]}`, peer: `the tree: ${b[place]}` };
}

function replyOf(step: Step, heard: Heard): string {
  if (!('op' in step)) return '';
  const reply = heard.get(step.who)?.find((text) => !text.startsWith('EVENT')) ?? '';
  return reply.startsWith('!') ? reply.replace(/ tx \d+$/, '') : reply.slice(step.op.length + 1);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      runs: { type: 'string', default: '20' },
      steps: { type: 'string', default: '300' },
      peer: { type: 'string', default: 'c417' },
      ours: { type: 'string', default: 'core' },
      all: { type: 'boolean', default: false },
    },
  });
  const pair = pairWith(values.peer, values.ours as Ours);
  let done = 0;
  const parted = new Map<string, number>();
  for (let seed = Number(values.seed); seed < Number(values.seed) + Number(values.runs); seed++) {
    const result = await run(pair, new Generator(seed, dialectOf(pair)), Number(values.steps));
    done += result.steps.length;
    if (result.parted) parted.set(result.parted, (parted.get(result.parted) ?? 0) + 1);
    if (!result.difference) continue;
    process.exitCode = 1;
    const steps = await shrink(pair, result.steps);
    const { difference = result.difference } = await run(pair, steps, steps.length);
    console.log(`seed ${seed}: after ${result.steps.length} steps, in short:`);
    for (const step of steps) console.log(`  ${told(step)}`);
    console.log(`  ours: ${difference.ours}\n  peer: ${difference.peer}`);
    if (!values.all) break;
  }
  console.log(`${done} steps played`);
  for (const [why, count] of parted) console.log(`  ${count} runs parted: ${why}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
