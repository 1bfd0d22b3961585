/** Our toolstack in dom0, for scenarios: its commands, what differs from one moment to the next in what they say, and what must not be left of a domain. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { ExecOptions, Guest, Lab, Result } from '../lab/scenario.ts';

/** `stubdom0 WORDS`, on this Xen. */
export function said(lab: Lab, words: readonly string[], options: ExecOptions = {}): Promise<Result> {
  return lab.exec('stubdom0', words, options);
}

/** `stubdom0 create`. */
export function madeBy(lab: Lab, guest: Guest, ...words: readonly string[]): Promise<Result> {
  return lab.step('stubdom0 create', () => said(lab, ['create', '-q', guest.config, ...words]));
}

/** Without processor times and whether a domain runs just now, the time of `uptime`, and event channels of interfaces. */
export function masked(text: string): string {
  return (
    text
      .replace(/ ([r-])([b-])([p-][s-][c-][d-]) +\d+\.\d/g, ' ??$3 TIME')
      .replace(/\d+:\d\d:\d\d$/gm, 'UPTIME')
      // xl knows of no interface with two event channels.
      .replace(/(:[\da-f]\d? .{12}) +-?\d+ +(-?\d+\/-?\d+)/g, '$1 PORT $2')
  );
}

export function gone(lab: Lab, guest: Guest): Promise<void> {
  return lab.until(`${guest.name} is gone`, async () => (await guest.domid()) === undefined);
}

/** Of any guest: no domain, no node, no process, no note. */
export async function nothingLeft(lab: Lab): Promise<void> {
  const { stdout: domains } = await lab.exec('xl', ['list']);
  assert.equal(domains.trim().split('\n').length, 2, `only dom0 is left:\n${domains}`);
  const { stdout: nodes } = await lab.exec('xenstore-ls', ['-f', '/']);
  const left = nodes
    .split('\n')
    .filter(
      (line) =>
        /^\/(local\/domain|libxl)\/[1-9]/.test(line) ||
        /^\/local\/domain\/0\/backend\/\w+\/\d/.test(line) ||
        (/^\/vm\/./.test(line) && !line.startsWith('/vm/00000000-')),
    );
  assert.deepEqual(left, [], 'nodes are left');
  const { stdout: processes } = await lab.sh('ps -o args | grep "[x]l create" || true');
  assert.equal(processes, '', 'xl is still at work');
  const { stdout: notes } = await lab.sh('ls /run/stubdom0/xl 2>/dev/null || true');
  assert.equal(notes, '', 'something is still written down');
}

/** Joins a console by that command, and types until the guest's shell answers; then leaves it by ending. */
export async function answersAt(lab: Lab, program: string, words: readonly string[]): Promise<void> {
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  let heard = '';
  child.stdout.on('data', (bytes: Buffer) => {
    heard += bytes.toString('latin1');
  });
  child.stdin.on('error', () => {});
  try {
    let typed = 0;
    await lab.until('the console answers', () => {
      assert.equal(child.exitCode, null, `${program} ended: ${heard}`);
      // What is typed before it is joined waits; one line would do.
      if (typed++ % 20 === 0) child.stdin.write('echo said-$((6*7))\n');
      return heard.includes('said-42');
    });
  } finally {
    const gone = once(child, 'exit');
    child.kill();
    await gone;
  }
}
