/**
 * Which process a process id means: ids are used again, so a start time goes with each that is written down. Linux's /proc tells.
 */
import { readFileSync } from 'node:fs';

export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot, as /proc/PID/stat has it; with the boot's id. */
  readonly born: string;
}

/** undefined: there is no such process (any more); a zombie is none. */
export function identify(pid: number): ProcessId | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may hold anything; fields are counted behind its end.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : { pid, born: `${bootId()}/${fields[19]}` };
  } catch {
    return undefined;
  }
}

export function isAlive(id: ProcessId): boolean {
  return identify(id.pid)?.born === id.born;
}

/** Until it is gone, or five seconds have passed. For one that is no child of ours: of those nobody tells when they end. */
export async function ended(id: ProcessId): Promise<void> {
  for (let waitedMs = 0; isAlive(id) && waitedMs < 5_000; waitedMs += 10) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}
