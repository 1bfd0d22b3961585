/**
 * The bench of the door that disk I/O goes through (osdep/os/file.ts) by itself, no ring and no guest, beside fio: the same engine, depth, size and flags on
 * the same file, one right after the other in each round.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DiskFile } from '../../osdep/os/diskfile.ts';
import { type EngineName, IoQueue } from '../../osdep/os/file.ts';
import { IoMemory } from '../../osdep/os/iomemory.ts';
import { Poller } from '../../osdep/os/poll.ts';
import { prepareImage } from './diskimage.ts';
import { median, ratios, short, times } from './figures.ts';
import { type FioJob, fio, fioVersion } from './fio.ts';
import type { Table } from './table.ts';

const ENGINES = ['io_uring', 'libaio'] as const satisfies readonly EngineName[];

interface Row extends FioJob {
  readonly engine: EngineName;
}

interface Figure {
  readonly perSecond: number;
  /** CPU time of a request, microseconds. */
  readonly cpuUs: number;
  /** JavaScript's heap, of a request; 0 if it was swept meanwhile. */
  readonly heapBytes: number;
}

export interface DoorScore {
  readonly name: string;
  readonly ours: readonly Figure[];
  readonly fio: readonly { readonly perSecond: number; readonly cpuUs: number }[];
}

export interface DoorTiming {
  readonly rounds: number;
  readonly seconds: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

function allRows(): Row[] {
  const shapes = [
    { random: true, block: 4 * KIB },
    { random: false, block: MIB },
  ];
  return ENGINES.flatMap((engine) =>
    [true, false].flatMap((direct) =>
      shapes.flatMap((shape) =>
        [false, true].flatMap((write) =>
          [1, 32].map((depth) => ({ engine, direct, write, depth, ...shape })),
        ),
      ),
    ),
  );
}

const nameOf = ({ engine, direct, write, random, block, depth }: Row): string =>
  [
    engine.padEnd(8),
    direct ? 'direct  ' : 'buffered',
    random ? `random ${block / KIB} KiB  ` : `sequential ${block / MIB} MiB`,
    write ? 'write' : 'read ',
    `depth ${depth}`,
  ].join(' ');

/** One row for so long, on our side. */
async function ours(path: string, row: Row, seconds: number): Promise<Figure> {
  const poller = new Poller();
  const disk = new DiskFile(path, { direct: row.direct ? 'try' : 'no' });
  const memory = IoMemory.allocate(row.block * row.depth);
  const blocks = Math.floor(disk.sizeBytes / row.block);
  let [done, next, seed, stop, failed] = [0, 0, 1, false, 0];
  const queue: IoQueue = new IoQueue({
    poller,
    depth: row.depth,
    engines: [row.engine],
    onDone(_, result) {
      if (result !== row.block) failed = result;
      done += 1;
      if (!stop) begin();
    },
  });
  function begin(): void {
    seed = (seed * 48271) % 0x7fff_ffff;
    const block = row.random ? seed % blocks : next++ % blocks;
    const tag = row.write ? queue.write(disk, block * row.block) : queue.read(disk, block * row.block);
    queue.add(memory, tag * row.block, row.block);
  }
  poller.onTurn(() => queue.submit());
  for (let i = 0; i < row.depth; i++) begin();
  queue.submit();

  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  await pause(seconds * 250);
  const before = {
    done,
    cpu: process.cpuUsage(),
    heap: process.memoryUsage().heapUsed,
    at: performance.now(),
  };
  await pause(seconds * 1000);
  const cpu = process.cpuUsage(before.cpu);
  const count = done - before.done;
  const perSecond = count / ((performance.now() - before.at) / 1000);
  const heapBytes = Math.max(0, process.memoryUsage().heapUsed - before.heap) / count;
  stop = true;
  await queue.close();
  await disk.close();
  poller.close();
  if (failed !== 0) throw new Error(`${nameOf(row)}: a request answered ${failed}`);
  return { perSecond, cpuUs: (cpu.user + cpu.system) / count, heapBytes };
}

/** `wanted`: rows by name. */
export async function diskDoor(
  { rounds, seconds }: DoorTiming,
  wanted: RegExp,
  say: (line: string) => void,
): Promise<DoorScore[]> {
  const dir = mkdtempSync(join(tmpdir(), 'stubdom0-bench-door-'));
  const path = join(dir, 'image');
  const scores: DoorScore[] = [];
  try {
    prepareImage(path);
    for (const row of allRows().filter((one) => wanted.test(nameOf(one)))) {
      const score = { name: nameOf(row), ours: [] as Figure[], fio: [] as DoorScore['fio'][number][] };
      for (let round = 0; round < rounds; round++) {
        score.ours.push(await ours(path, row, seconds));
        const theirs = fio(path, row, { seconds, warmup: seconds / 4 });
        if (theirs !== undefined) score.fio.push(theirs);
      }
      scores.push(score);
      say(`${score.name}: ${short(median(score.ours.map(({ perSecond }) => perSecond)))}`);
    }
    return scores;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

export function doorTable(scores: readonly DoorScore[]): Table {
  return {
    title: 'Disk I/O by itself, requests a second',
    head: ['row', 'ours', 'fio', 'ours/fio', 'ours us CPU', 'fio us CPU', 'ours heap bytes'],
    body: scores.map(({ name, ours, fio }) => {
      const [rates, others] = [ours, fio].map((figures) => figures.map(({ perSecond }) => perSecond)) as [
        number[],
        number[],
      ];
      return [
        name,
        short(median(rates)),
        short(median(others)),
        times(ratios(rates, others)),
        median(ours.map(({ cpuUs }) => cpuUs)).toFixed(1),
        short(median(fio.map(({ cpuUs }) => cpuUs))),
        median(ours.map(({ heapBytes }) => heapBytes)).toFixed(0),
      ];
    }),
    notes: [fioVersion() ?? 'fio is not installed (Debian: fio): ours alone'],
  };
}
