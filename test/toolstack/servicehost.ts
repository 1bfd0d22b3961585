/**
 * A host without anybody who starts its domain manager again: hypervisor, store and the services asked for, each a real process; the manager is the
 * test's to start and to kill. What the host holds can be told, and compared.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Ctrl } from '../../osdep/ctrl.ts';
import { type RemoteSimPlatform, simPlatform } from '../../osdep/sim/client.ts';
import { type HypervisorProcess, startHypervisor } from '../../osdep/sim/start.ts';
import { simulation } from '../../toolstack/cli/simulation.ts';
import type { DomainConfig } from '../../toolstack/core/config.ts';
import { Child, type Command } from '../../toolstack/io/child.ts';
import { Domains } from '../../toolstack/io/domains.ts';
import { endGuests } from '../../toolstack/io/hostguests.ts';
import { blkback, consoled, netback, toolstack, xenstored } from '../../toolstack/io/programs.ts';
import { RemoteToolstack } from '../../toolstack/io/remote.ts';
import { writeServices } from '../../toolstack/io/servicesfile.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';

export type ServiceKind = 'blkback' | 'netback' | 'console';

const file = { memoryMb: 8, args: [] };
const commands = {
  blkback: (run: string, domain: Record<string, string>): Command => blkback(run, file, domain),
  netback: (run: string, domain: Record<string, string>): Command => netback(run, file, undefined, domain),
  console: (run: string, domain: Record<string, string>): Command => consoled(run, file, domain),
};

export class ServiceHost {
  readonly run: string = mkdtempSync(join(tmpdir(), 'stubdom0-manager-'));
  readonly toolstack: RemoteToolstack = new RemoteToolstack(this.run);
  readonly #children: Child[] = [];
  readonly #ends: Promise<void>[] = [];
  #hypervisor!: HypervisorProcess;
  #platform!: RemoteSimPlatform;
  ctrl!: Ctrl;
  store!: Client;
  /** The manager's process, and what it says. */
  manager: ChildProcess | undefined;
  readonly lines: string[] = [];
  #said: (() => void)[] = [];

  static async start(services: readonly ServiceKind[]): Promise<ServiceHost> {
    const host = new ServiceHost();
    const { run } = host;
    host.#hypervisor = await startHypervisor({ run });
    host.#platform = simPlatform({ run, token: host.#hypervisor.token, onLost: () => {} });
    host.ctrl = host.#platform.openCtrl();
    const domains = new Domains(host.ctrl);
    const storeDomid = domains.createStoreDomain(32);
    const storeFile = { memoryMb: 32, database: 'memory', args: [] };
    await host.#start(xenstored(run, storeFile, host.#environment(storeDomid)));
    host.store = await connect({ run });
    await domains.announce(host.store, storeDomid);
    const told = [{ name: 'xenstored', domid: storeDomid }];
    const starting: Promise<void>[] = [];
    for (const name of services) {
      const { domid } = await domains.createService(host.store, storeDomid, { name, memoryMb: 8 });
      domains.unpause(domid);
      told.push({ name, domid });
      starting.push(host.#start(commands[name](run, host.#environment(domid))));
    }
    await Promise.all(starting);
    writeServices(run, told);
    return host;
  }

  /** Until it serves. */
  async manage(): Promise<void> {
    const { file, args, env } = toolstack(this.run);
    const manager = spawn(file, args, {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    });
    this.manager = manager;
    await new Promise<void>((resolve, reject) => {
      manager.once('exit', (code) => reject(new Error(`the manager ended: ${code}`)));
      createInterface({ input: manager.stdout! }).on('line', (line) => {
        if (line === 'toolstack is ready') resolve();
        if (!line.startsWith('{')) this.lines.push(line);
        for (const tell of this.#said.splice(0)) tell();
      });
    });
  }

  /** The first line that fits, of those after `from`. */
  async line(pattern: RegExp, from = 0): Promise<string> {
    for (;;) {
      const found = this.lines.slice(from).find((line) => pattern.test(line));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#said.push(resolve));
    }
  }

  async killManager(): Promise<void> {
    const { manager } = this;
    if (manager === undefined || manager.exitCode !== null || manager.signalCode !== null) return;
    manager.kill('SIGKILL');
    await once(manager, 'exit');
  }

  async end(): Promise<void> {
    await this.killManager();
    await endGuests(this.run);
    await this.store?.close();
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.all(this.#ends);
    await this.#hypervisor?.stop();
    rmSync(this.run, { recursive: true, force: true });
  }

  /** All that a domain could leave behind but its log: nodes, domains, records, processes. */
  async holds(): Promise<string[]> {
    const domains = this.ctrl.getDomainInfoList(0, 1000).map(({ domid, dying }) => `${domid} ${dying}`);
    const records = readdirSync(join(this.run, 'toolstack/domains'));
    const nodes = (await this.#nodes('/')).filter(
      (line) => !/^\/local\/domain\/\d+\/backend(\/\w+)?$/.test(line),
    );
    return [...domains, ...records, ...this.processes(), ...nodes];
  }

  logs(): string[] {
    return readdirSync(join(this.run, 'logs')).filter((name) => name.startsWith('guest-'));
  }

  /** Those of this host that are neither its services nor its manager. */
  processes(): string[] {
    const own = new Set([process.pid, this.#hypervisor.pid, this.manager?.pid, ...this.#children.map(pidOf)]);
    return readdirSync('/proc').flatMap((pid) => {
      if (!/^\d+$/.test(pid) || own.has(Number(pid))) return [];
      try {
        const environ = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
        if (!environ.includes(`STUBDOM0_RUN=${this.run}`)) return [];
        return [`process: ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()}`];
      } catch {
        return [];
      }
    });
  }

  async #nodes(path: string): Promise<string[]> {
    const names = await this.store.directory(path);
    const below = names.map((name) => this.#nodes(path === '/' ? `/${name}` : `${path}/${name}`));
    return [path, ...(await Promise.all(below)).flat()];
  }

  #environment(domid: number): Record<string, string> {
    return simulation.environment(this.#platform, this.run, domid, 'outlives its process');
  }

  #start(command: Command): Promise<void> {
    return new Promise((resolve, reject) => {
      let over = (): void => {};
      this.#ends.push(
        new Promise((done) => {
          over = done;
        }),
      );
      const child = new Child(command, join(this.run, `${this.#children.length}.log`), {
        ready: () => resolve(),
        exited: (how) => {
          over();
          reject(new Error(`${command.args.join(' ')}: ${how}: ${child.tail.join('\n')}`));
        },
      });
      this.#children.push(child);
    });
  }
}

function pidOf(child: Child): number | undefined {
  return child.id?.pid;
}

/** As small a guest as can be. */
export function guestNamed(name: string, more: Partial<DomainConfig> = {}): DomainConfig {
  return {
    ...{ name, type: 'pvh', uuid: undefined, kernel: undefined, ramdisk: undefined, cmdline: '' },
    ...{ memoryMb: 1, maxmemMb: 1, vcpus: 1, maxvcpus: 1, disks: [], vifs: [], sockets: [], data: {} },
    ...{ serial: undefined, deviceModel: undefined, driverDomain: false },
    ...{ onPoweroff: 'destroy', onReboot: 'restart', onCrash: 'destroy', onWatchdog: 'destroy' },
    onSoftReset: 'soft-reset',
    ...more,
  } as DomainConfig;
}
