/**
 * A person at a guest's console, as a scenario plays one: `xl console` on a terminal of its own, a line typed, its effect seen. Knows nothing
 * of what the guest makes of it.
 */
import type { Guest, Lab } from '../lab/scenario.ts';

const LIMIT_S = 30;

/**
 * Types a line at the console through `xl console`, and leaves with Ctrl-] when `done` holds. Returns what the terminal showed. `xl console`
 * listens to a terminal only, so `script` gives it one; and it takes Ctrl-] only when it comes alone.
 */
export async function type(
  lab: Lab,
  guest: Pick<Guest, 'name' | 'console'>,
  line: string,
  done: (console: string) => boolean,
): Promise<string> {
  const go = `/tmp/typed-${guest.name}`;
  await lab.exec('rm', ['-f', go]);
  const session = lab.sh(
    `{ printf '%s\\n' "$LINE"; until [ -e ${go} ]; do sleep 0.1; done; printf '\\035'; sleep 0.3; } | ` +
      `script -qc 'xl console ${guest.name}' /dev/null`,
    { env: { LINE: line }, limitS: LIMIT_S + 10 },
  );
  const seen = lab.until(`${guest.name} heard "${line}"`, async () => done(await guest.console()), LIMIT_S);
  await seen.finally(() => lab.exec('touch', [go]));
  return (await session).stdout;
}
