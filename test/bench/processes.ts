/** What a process has cost so far, as the kernel and V8 tell it. */
import { readdirSync, readFileSync } from 'node:fs';

/** Of the clock that /proc counts in. */
const TICKS_PER_SECOND = 100;

/** CPU seconds of a process with all its threads, its own and the kernel's for it. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The name, in brackets, may have anything in it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/**
 * Bytes that JavaScript allocated each second, by what V8 says of its collections (--trace-gc) in `trace`: what was there before one, less what the one before
 * had left. Undefined: there have been less than two.
 */
export function allocationRate(trace: string): number | undefined {
  const line = /^\[\d+:[^\]]*\]\s+(\d+) ms: .*?([\d.]+) \([\d.]+\) -> ([\d.]+) \([\d.]+\) MB/gm;
  const collections = [...trace.matchAll(line)].map((match) => match.slice(1).map(Number));
  const [first, last] = [collections[0], collections.at(-1)];
  if (first === undefined || last === undefined || first === last) return undefined;
  let megabytes = 0;
  for (let i = 1; i < collections.length; i++) megabytes += collections[i]![1]! - collections[i - 1]![2]!;
  return (megabytes * 2 ** 20) / ((last[0]! - first[0]!) / 1000);
}

/** Nanoseconds of CPU of a process with all its threads that live, as its scheduler counts them. */
export function cpuNs(pid: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0]))
    .reduce((sum, ns) => sum + ns, 0);
}
