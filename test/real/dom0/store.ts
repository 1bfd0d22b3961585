/**
 * The store's daemon in dom0: started by Xen's own launch-xenstore, told by /etc/default/xencommons which program to take, as on a host.
 */
import { spawn } from 'node:child_process';
import { existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { XEN } from '../lab/packages.ts';
import type { StoreControl, StoreKind } from '../lab/scenario.ts';

const PID_FILE = '/run/xen/xenstored.pid';
const LAUNCH_LOG = '/var/log/xen/launch-xenstore.log';
const PROGRAMS: Readonly<Record<Exclude<StoreKind, 'none'>, string>> = {
  ours: '/usr/local/bin/xenstored',
  c: `/usr/lib/xen-${XEN}/bin/xenstored`,
  ox: `/usr/lib/xen-${XEN}/bin/oxenstored`,
};
const LIMIT_S = 60;

export class Store implements StoreControl {
  readonly kind: StoreKind;
  /** How often it was killed in this boot. */
  kills = 0;

  constructor(kind: StoreKind) {
    this.kind = kind;
  }

  get pid(): number | undefined {
    if (!existsSync(PID_FILE)) return undefined;
    const pid = Number(readFileSync(PID_FILE, 'utf8'));
    return pid > 0 && existsSync(`/proc/${pid}`) ? pid : undefined;
  }

  async start(...args: readonly string[]): Promise<void> {
    if (this.kind === 'none') throw new Error('this boot has no store daemon of its own: start one yourself');
    const extra = this.kind === 'ox' ? ['--config-file', '/etc/xen/oxenstored.conf'] : [];
    const settings = [
      `XENSTORED=${PROGRAMS[this.kind]}`,
      `XENSTORED_ARGS="${[...extra, ...args].join(' ')}"`,
    ];
    writeFileSync('/etc/default/xencommons', `${settings.join('\n')}\n`);
    // The launcher takes a pid file, however old, for a daemon that runs.
    if (this.pid === undefined) rmSync(PID_FILE, { force: true });
    const log = openSync(LAUNCH_LOG, 'a');
    const launcher = spawn('/etc/xen/scripts/launch-xenstore', { stdio: ['ignore', log, log] });
    const status = await new Promise((resolve) => {
      const timer = setTimeout(() => launcher.kill('SIGKILL'), LIMIT_S * 1000);
      launcher.on('exit', (code, signal) => {
        clearTimeout(timer);
        resolve(code ?? signal);
      });
    });
    const said = () => readFileSync(LAUNCH_LOG, 'utf8').trim().split('\n').slice(-10).join('\n');
    if (status !== 0) throw new Error(`launch-xenstore ended with ${status}\n${said()}`);
    if (this.pid === undefined) throw new Error(`launch-xenstore is content, but no daemon runs\n${said()}`);
  }

  async kill(): Promise<void> {
    const { pid } = this;
    if (pid === undefined) throw new Error('no store daemon runs');
    this.kills++;
    process.kill(pid, 'SIGKILL');
    while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
