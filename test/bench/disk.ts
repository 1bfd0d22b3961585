/**
 * The disk bench: blkback as a process of its own, a guest with a disk in another, and fio with the same engine, depth, size and flags on the same
 * file, one right after the other in each round.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DiskLoad, DiskWord } from './disk-load-main.ts';
import { prepareImage } from './diskimage.ts';
import { median, ratios, short, times } from './figures.ts';
import { fio, fioVersion } from './fio.ts';
import { Machine } from './machine.ts';
import { allocationRate, cpuSeconds } from './processes.ts';
import type { Table } from './table.ts';

export interface DiskTiming {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmup: number;
  /** How long allocations are counted, seconds; 0: they are not. */
  readonly steady: number;
}

export interface DiskRow {
  readonly name: string;
  readonly write: boolean;
  readonly random: boolean;
  readonly block: number;
  readonly depth: number;
}

export interface DiskScore {
  readonly row: DiskRow;
  /** Requests a second, of each round. */
  readonly ours: readonly number[];
  readonly fio: readonly (number | undefined)[];
  /** CPU time of blkback's process, microseconds a request. */
  readonly cpuUs: readonly number[];
}

export interface DiskScores {
  readonly scores: readonly DiskScore[];
  /** Who transferred. */
  readonly manner: string;
  /**
   * What JavaScript allocated for a request in blkback (undefined: there were less than two collections), and over how many; undefined: not measured.
   */
  readonly allocated: { readonly bytes: number | undefined; readonly requests: number } | undefined;
}

const KIB = 1024;
const MIB = 1024 * KIB;

export const diskRows: readonly DiskRow[] = [
  { shape: 'random 4 KiB', random: true, block: 4 * KIB },
  { shape: 'sequential 1 MiB', random: false, block: MIB },
].flatMap(({ shape, random, block }) =>
  [false, true].flatMap((write) =>
    [1, 32].map((depth) => ({
      name: `${shape} ${write ? 'write' : 'read'}, depth ${depth}`,
      random,
      block,
      write,
      depth,
    })),
  ),
);

/** A guest in a process of its own, with one disk. */
class Guest {
  readonly #child: ChildProcess;
  readonly #said: DiskWord[] = [];
  #onWord: () => void = () => {};

  constructor(run: string, token: string) {
    this.#child = fork(join(import.meta.dirname, 'disk-load-main.js'), [run, token]);
    this.#child.on('message', (word: DiskWord) => {
      this.#said.push(word);
      this.#onWord();
    });
    this.#child.once('exit', () => this.#onWord());
  }

  async word(): Promise<DiskWord> {
    for (;;) {
      const word = this.#said.shift();
      if (word !== undefined) return word;
      if (this.#child.exitCode !== null) throw new Error('the generator has ended');
      await new Promise<void>((resolve) => {
        this.#onWord = resolve;
      });
    }
  }

  async load(load: DiskLoad): Promise<{ readonly requests: number; readonly seconds: number }> {
    this.#child.send(load);
    const word = await this.word();
    if (word.what !== 'counted' || word.failed > 0)
      throw new Error(`a load ended with ${JSON.stringify(word)}`);
    return word;
  }

  stop(): void {
    this.#child.disconnect();
  }
}

/** `node`: flags for blkback's node. */
export async function disk(
  rows: readonly DiskRow[],
  timing: DiskTiming,
  { node, directory = tmpdir() }: { readonly node: readonly string[]; readonly directory?: string },
  say: (line: string) => void,
): Promise<DiskScores> {
  const dir = mkdtempSync(join(directory, 'stubdom0-bench-disk-'));
  const path = join(dir, 'image');
  prepareImage(path);
  const machine = await Machine.start({
    program: 'blkback',
    node: ['--trace-gc', '--max-semi-space-size=1', ...node],
  });
  try {
    const { domid, token } = await machine.guest(20_000);
    const guest = new Guest(machine.run, token);
    await machine.attach({
      device: { backendDomid: 0, kind: 'vbd', frontendDomid: domid, devid: 51712 },
      backend: { params: path, mode: 'w', type: 'phy', dev: 'xvda', removable: '0', 'device-type': 'disk' },
      frontend: { 'virtual-device': '51712', 'device-type': 'disk' },
      frontendReadOnly: {},
    });
    await guest.word();
    const manner = /sectors, (.*)/.exec(machine.backend.said)?.[1] ?? '';
    const [engine = 'io_uring'] = manner.split(/[ ,]/);
    const direct = manner.includes(', direct');
    if (fioVersion() === undefined) say('SKIPPED fio: it is not installed (Debian: fio)');
    // Until what runs has been compiled, and the guest's pages are mapped.
    for (const row of diskRows.filter(({ depth }) => depth === 32)) await guest.load(loadOf(row, 0, 1));
    const scores: DiskScore[] = [];
    for (const row of rows) {
      const score = { row, ours: [] as number[], fio: [] as (number | undefined)[], cpuUs: [] as number[] };
      for (let round = 0; round < timing.rounds; round++) {
        const cpu = cpuSeconds(machine.backend.pid);
        const { requests, seconds } = await guest.load(loadOf(row, timing.warmup, timing.seconds));
        const used = cpuSeconds(machine.backend.pid) - cpu;
        score.ours.push(requests / seconds);
        score.cpuUs.push((used * 1e6 * seconds) / (requests * (timing.warmup + timing.seconds)));
        score.fio.push(fio(path, { ...row, engine, direct }, timing)?.perSecond);
      }
      say(
        `${row.name}: ${short(median(score.ours))} / ${short(median(score.fio.map((rate) => rate ?? NaN)))}`,
      );
      scores.push(score);
    }
    const allocated = await allocations(machine, guest, timing);
    guest.stop();
    return { scores, manner, allocated };
  } finally {
    await machine.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

const loadOf = ({ write, random, block, depth }: DiskRow, warmup: number, seconds: number): DiskLoad => ({
  write,
  random,
  block,
  depth,
  warmupMs: warmup * 1000,
  countMs: seconds * 1000,
});

/** In steady state, random reads of 4 KiB. */
async function allocations(
  { backend }: Machine,
  guest: Guest,
  { steady: seconds }: DiskTiming,
): Promise<DiskScores['allocated']> {
  if (seconds === 0) return undefined;
  const row = diskRows.find(({ random, write, depth }) => random && !write && depth === 32)!;
  await guest.load(loadOf(row, 1, 1));
  backend.printed = '';
  const counted = await guest.load(loadOf(row, 0, seconds));
  const rate = allocationRate(backend.printed);
  const bytes = rate === undefined ? undefined : (rate * counted.seconds) / counted.requests;
  return { bytes, requests: counted.requests };
}

export function diskTable({ scores, manner, allocated }: DiskScores, { rounds, seconds }: DiskTiming): Table {
  const megabytes = (rates: readonly number[], { block }: DiskRow): string =>
    short((median(rates) * block) / 1e6);
  return {
    title: `Disk: a guest's requests through blkback beside fio, ${rounds} rounds of ${seconds} s`,
    head: ['row', 'ours/s', 'fio/s', 'ours/fio', 'ours MB/s', 'blkback us CPU'],
    body: scores.map(({ row, ours, fio, cpuUs }) => [
      row.name,
      short(median(ours)),
      short(median(fio.map((rate) => rate ?? Number.NaN))),
      times(ratios(ours, fio)),
      megabytes(ours, row),
      median(cpuUs).toFixed(1),
    ]),
    notes: [
      `${manner}; ${fioVersion() ?? 'fio is not installed (Debian: fio)'}`,
      allocated === undefined
        ? 'bytes per request: not measured'
        : [
            'bytes per request that JavaScript allocated in blkback (--trace-gc):',
            `${allocated.bytes?.toFixed(1) ?? 'less than two collections'}, over ${short(allocated.requests)} requests`,
          ].join(' '),
    ],
  };
}
