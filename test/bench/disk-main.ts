/**
 * `node dist/test/bench/disk-main.js`: our disk I/O (osdep/os/file.ts) beside fio, with the same engine, depth, size and flags on the
 * same file, one right after the other in each round. Says what the door costs by itself: no ring, no guest.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { DiskFile } from '../../osdep/os/diskfile.ts';
import { type EngineName, IoQueue } from '../../osdep/os/file.ts';
import { IoMemory } from '../../osdep/os/iomemory.ts';
import { Poller } from '../../osdep/os/poll.ts';
import { median, ratios, short } from './figures.ts';
import { plain } from './table.ts';

interface Row {
  readonly engine: EngineName;
  readonly direct: boolean;
  readonly write: boolean;
  readonly random: boolean;
  readonly block: number;
  readonly depth: number;
}

interface Figure {
  readonly perSecond: number;
  /** CPU time of a request, microseconds. */
  readonly cpuUs: number;
  /** JavaScript's heap, of a request; 0 where it is not ours, or was swept meanwhile. */
  readonly heapBytes: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

function rows(engines: readonly EngineName[]): Row[] {
  const shapes = [
    { random: true, block: 4 * KIB },
    { random: false, block: MIB },
  ];
  return engines.flatMap((engine) =>
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

/** The same row through fio; undefined: it has no such engine or failed. */
function fio(path: string, row: Row, seconds: number): Figure | undefined {
  const kind = `${row.random ? 'rand' : ''}${row.write ? 'write' : 'read'}`;
  const flags = [
    '--name=row --output-format=json --time_based --fallocate=none --invalidate=0 --norandommap --randrepeat=1',
    `--filename=${path} --rw=${kind} --bs=${row.block} --iodepth=${row.depth} --ioengine=${row.engine}`,
    `--direct=${row.direct ? 1 : 0} --ramp_time=${seconds * 0.25}s --runtime=${seconds}s`,
  ];
  const { status, stdout } = spawnSync('fio', flags.join(' ').split(' '), { encoding: 'utf8' });
  if (status !== 0) return undefined;
  // Warnings may come before the report.
  const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
    readonly jobs: readonly {
      readonly usr_cpu: number;
      readonly sys_cpu: number;
      readonly read: { readonly iops: number };
      readonly write: { readonly iops: number };
    }[];
  };
  const job = report.jobs[0]!;
  const perSecond = (row.write ? job.write : job.read).iops;
  return { perSecond, cpuUs: ((job.usr_cpu + job.sys_cpu) * 1e4) / perSecond, heapBytes: 0 };
}

function prepare(path: string, size: number): void {
  const chunk = Buffer.alloc(MIB, 0x5a);
  const fd = openSync(path, 'w');
  for (let at = 0; at < size; at += MIB) writeSync(fd, chunk);
  closeSync(fd);
}

interface Asked {
  readonly directory: string;
  readonly mebibytes: string;
  readonly rounds: string;
  readonly seconds: string;
  readonly engines: readonly EngineName[];
  readonly rows: string;
}

async function main(): Promise<void> {
  const program = new Command('disk')
    .description('measures our disk I/O beside fio (Debian: fio)')
    .option('--directory <dir>', 'where the file is made', tmpdir())
    .option('--mebibytes <n>', 'size of the file', '256')
    .option('--rounds <n>', 'how often each row is measured', '3')
    .option('--seconds <s>', 'how long each measurement takes', '1')
    .option('--rows <pattern>', 'only rows whose name matches', '.')
    .addOption(
      new Option('--engines <name...>', 'only these')
        .choices(['io_uring', 'libaio', 'threads'])
        .default(['io_uring', 'libaio']),
    );
  const asked = program.parse().opts<Asked>();
  const dir = mkdtempSync(join(asked.directory, 'stubdom0-bench-disk-'));
  const path = join(dir, 'image');
  const peer = spawnSync('fio', ['--version'], { encoding: 'utf8' });
  const seconds = Number(asked.seconds);
  try {
    prepare(path, Number(asked.mebibytes) * MIB);
    const body: string[][] = [];
    for (const row of rows(asked.engines).filter((one) => new RegExp(asked.rows).test(nameOf(one)))) {
      const [us, them]: [Figure[], (Figure | undefined)[]] = [[], []];
      for (let round = 0; round < Number(asked.rounds); round++) {
        us.push(await ours(path, row, seconds));
        if (peer.status === 0) them.push(fio(path, row, seconds));
      }
      const rates = us.map(({ perSecond }) => perSecond);
      const others = them.map((figure) => figure?.perSecond);
      const ratio = ratios(rates, others);
      body.push([
        nameOf(row),
        short(median(rates)),
        others.length === 0 ? '-' : short(median(others.map((rate) => rate ?? Number.NaN))),
        others.length === 0
          ? '-'
          : `${ratio.median.toFixed(2)} (${ratio.low.toFixed(2)}-${ratio.high.toFixed(2)})`,
        median(us.map(({ cpuUs }) => cpuUs)).toFixed(1),
        them.length === 0 ? '-' : median(them.map((figure) => figure?.cpuUs ?? Number.NaN)).toFixed(1),
        median(us.map(({ heapBytes }) => heapBytes)).toFixed(0),
      ]);
      process.stderr.write(`${body.at(-1)!.join('  ')}\n`);
    }
    process.stdout.write(
      plain({
        title: 'Disk I/O, requests a second',
        head: ['row', 'ours', 'fio', 'ours/fio', 'ours us CPU', 'fio us CPU', 'ours heap bytes'],
        body,
        notes: [peer.status === 0 ? peer.stdout.trim() : 'fio is not installed (Debian: fio): ours alone'],
      }),
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
}

await main();
