/**
 * One of our backends in dom0: started, until it is ready, and killed; and what it has said. Knows none of them.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Lab } from '../lab/scenario.ts';

export interface Backend {
  /** kill -9; resolves when it is gone. */
  kill(): Promise<void>;
}

function logOf(name: string): string {
  return `/var/log/xen/${name}.log`;
}

/** What all of that name in this boot have said. */
export function backendSaid(name: string): string {
  return existsSync(logOf(name)) ? readFileSync(logOf(name), 'utf8') : '';
}

/** `main`: its file, from where the build begins. Resolves when it is ready. */
export async function startBackend(
  lab: Lab,
  name: string,
  main: string,
  flags: readonly string[] = [],
): Promise<Backend> {
  const known = backendSaid(name).length;
  const log = openSync(logOf(name), 'a');
  const file = fileURLToPath(new URL(`../../../${main}`, import.meta.url));
  const program = spawn(process.execPath, [file, ...flags], { stdio: ['ignore', log, log] });
  closeSync(log);
  await lab.until(`${name} is ready`, () => {
    const said = backendSaid(name).slice(known);
    assert.equal(program.exitCode, null, `${name} ended: ${said}`);
    return said.includes('ready');
  });
  return {
    async kill() {
      if (program.exitCode !== null || program.signalCode !== null) return;
      const gone = once(program, 'exit');
      program.kill('SIGKILL');
      await gone;
    },
  };
}
