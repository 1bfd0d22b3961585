/**
 * A client with a watch, as scenarios need one: known to be set before anything is done that is to fire it. Knows no particular store.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import type { ExecOptions, Lab } from '../lab/scenario.ts';

const FILE = '/tmp/watched';

/**
 * Watches a path with `program` until it has fired once, beyond the event that each new watch has. Resolves when it is set; the result
 * then waits for its end, and returns the paths that it told.
 */
export async function watched(
  lab: Lab,
  path: string,
  { program = 'xenstore-watch', ...options }: ExecOptions & { readonly program?: string } = {},
): Promise<() => Promise<readonly string[]>> {
  rmSync(FILE, { force: true });
  const told = () => (existsSync(FILE) ? readFileSync(FILE, 'utf8').trim().split('\n') : ['']);
  const ended = lab.sh(`${program} -n 2 '${path}' >${FILE}`, options);
  // Whoever waits for the end is told why it did not come.
  ended.catch(() => {});
  await lab.until(`${program} ${path} is set`, () => told()[0] !== '');
  return async () => {
    await ended;
    return told();
  };
}
