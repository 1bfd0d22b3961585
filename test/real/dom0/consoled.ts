/**
 * Xen's console daemon in dom0. One that was connected to the store's socket when the store's daemon was killed serves the consoles that it
 * has and hears of no new domain, whichever daemon it was; then another takes its place, as on a host.
 */
import type { ExecOptions, Result } from '../lab/scenario.ts';

const PID_FILE = '/run/xen/xenconsoled.pid';

type Run = (program: string, args: readonly string[], options: ExecOptions) => Promise<Result>;

/** If one runs. */
export async function endConsoled(run: Run): Promise<void> {
  const end = `[ -e ${PID_FILE} ] || exit 0; old=$(cat ${PID_FILE}); kill $old || true
while [ -e /proc/$old ]; do sleep 0.1; done; rm -f ${PID_FILE}`;
  await run('bash', ['-ec', end], {});
}

/** Ends the one that runs, if any, and starts another. */
export async function startConsoled(run: Run, env: Readonly<Record<string, string>> = {}): Promise<void> {
  await endConsoled(run);
  await run('xenconsoled', ['--log=guest', '--log-dir=/var/log/xen', `--pid-file=${PID_FILE}`], { env });
}
