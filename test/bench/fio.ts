/** fio, as the benches of disks use it: one kind of requests on one file for some seconds. Knows nothing of ours. */
import { spawnSync } from 'node:child_process';

export interface FioJob {
  readonly engine: string;
  readonly direct: boolean;
  readonly write: boolean;
  readonly random: boolean;
  /** Bytes. */
  readonly block: number;
  readonly depth: number;
}

export interface FioFigure {
  readonly perSecond: number;
  /** CPU time of a request, microseconds. */
  readonly cpuUs: number;
}

/** Undefined: it is not installed (Debian: fio). */
export function fioVersion(): string | undefined {
  const { status, stdout } = spawnSync('fio', ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** Undefined: it has no such engine, failed, or is not there. */
export function fio(
  path: string,
  { engine, direct, write, random, block, depth }: FioJob,
  { seconds, warmup }: { readonly seconds: number; readonly warmup: number },
): FioFigure | undefined {
  // Node's thread pool is what fio calls psync, in as many threads.
  const threads = engine === 'threads';
  const flags = [
    '--name=row --output-format=json --time_based --fallocate=none --invalidate=0 --norandommap --randrepeat=1',
    `--filename=${path} --rw=${random ? 'rand' : ''}${write ? 'write' : 'read'} --bs=${block}`,
    threads
      ? `--ioengine=psync --thread --group_reporting --numjobs=${Math.min(depth, 4)}`
      : `--ioengine=${engine} --iodepth=${depth}`,
    `--direct=${direct ? 1 : 0} --ramp_time=${warmup}s --runtime=${seconds}s`,
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
  const perSecond = (write ? job.write : job.read).iops;
  return { perSecond, cpuUs: ((job.usr_cpu + job.sys_cpu) * 1e4) / perSecond };
}
