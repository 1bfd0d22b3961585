/**
 * A network namespace of the test's own, so that devices and addresses are nobody else's. This process enters it, and what it starts is in it,
 * too; the machine's own network is never touched.
 */
import { execFileSync } from 'node:child_process';
import { accessSync, closeSync, constants, openSync } from 'node:fs';
import { errno, setns } from '../../osdep/os/ffi.ts';

const CLONE_NEWNET = 0x4000_0000;

/** Why it cannot be had here; undefined: it can. */
export const noNamespaces: string | undefined = reason();

function reason(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch {
    return 'needs /dev/net/tun';
  }
  try {
    execFileSync('ip', ['netns', 'list'], { stdio: 'ignore' });
    execFileSync('unshare', ['-n', 'true'], { stdio: 'ignore' });
  } catch {
    return 'needs iproute2 and network namespaces';
  }
  return undefined;
}

/** ` (skipped: ...)` behind a test's name, where it cannot run. */
export const whyNot: string = noNamespaces === undefined ? '' : ` (skipped: ${noNamespaces})`;

export class NetNamespace {
  readonly name: string;
  readonly #home: number;

  /** Makes one and enters it. */
  constructor(purpose: string) {
    this.name = `sd0-${purpose}-${process.pid}`;
    execFileSync('ip', ['netns', 'add', this.name]);
    this.#home = openSync(`/proc/self/task/${process.pid}/ns/net`, 'r');
    const fd = openSync(`/run/netns/${this.name}`, 'r');
    enter(fd);
    closeSync(fd);
    this.run('ip', 'link', 'set', 'lo', 'up');
  }

  /** Runs a program in it; throws with all that it said unless it exits with 0. */
  run(program: string, ...args: readonly string[]): string {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Goes home. What is still in it goes with it. */
  leave(): void {
    enter(this.#home);
    closeSync(this.#home);
    execFileSync('ip', ['netns', 'del', this.name]);
  }
}

function enter(fd: number): void {
  if (setns(fd, CLONE_NEWNET) < 0) throw new Error(`setns: errno ${errno()}`);
}
