/**
 * The lab as one scenario sees it (lab/scenario.ts), acting on this dom0. Ends with its scenario: whatever is asked of it afterwards throws.
 */
import { existsSync, readFileSync } from 'node:fs';
import type { Event } from '../lab/protocol.ts';
import type { ExecOptions, Guest, GuestOptions, Lab, Result } from '../lab/scenario.ts';
import { startConsoled } from './consoled.ts';
import { exec } from './exec.ts';
import { XlGuest } from './guest.ts';
import type { Store } from './store.ts';

const RAM_DISKS = 4;
const RAM_DISK_KIB = 65536;
const UNTIL_LIMIT_S = 120;
const UNTIL_MS = 100;

export interface LabOptions {
  readonly row: number;
  readonly store: Store;
  /** Of the machine; dom0 has the first to itself where there are more. */
  readonly processors: number;
  readonly tell: (event: Event) => void;
  /** Aborted when the scenario's time is up. */
  readonly signal: AbortSignal;
}

export class Dom0Lab implements Lab {
  readonly store: Store;
  readonly kept: Set<string> = new Set();
  /** What was last begun, for people. */
  doing = 'its beginning';
  readonly #row: number;
  readonly #processors: number;
  readonly #tell: (event: Event) => void;
  readonly #signal: AbortSignal;
  #disks = 0;

  constructor({ row, store, processors, tell, signal }: LabOptions) {
    this.#row = row;
    this.store = store;
    this.#processors = processors;
    this.#tell = tell;
    this.#signal = signal;
  }

  exec(program: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<Result> {
    this.doing = [program, ...args].join(' ');
    return exec(program, args, options, this.#signal);
  }

  sh(script: string, options: ExecOptions = {}): Promise<Result> {
    return this.exec('bash', ['-ec', script], options);
  }

  guest(options: GuestOptions): Guest {
    return new XlGuest(this, options, this.#processors);
  }

  async services(): Promise<void> {
    await this.exec('xen-init-dom0');
    await this.consoled();
  }

  consoled(env: Readonly<Record<string, string>> = {}): Promise<void> {
    return startConsoled((...run) => this.exec(...run), env);
  }

  async bridge(): Promise<void> {
    if (existsSync('/sys/class/net/xenbr0')) return;
    await this.#modules('llc', 'stp', 'bridge', 'xen-netback');
    await this.sh('brctl addbr xenbr0; ip addr add 10.9.0.1/24 dev xenbr0; ip link set xenbr0 up');
  }

  async ramDisk(): Promise<string> {
    await this.#modules('xen-blkback');
    if (!existsSync('/sys/module/brd'))
      await this.exec('insmod', ['/lib/modules/brd.ko', `rd_nr=${RAM_DISKS}`, `rd_size=${RAM_DISK_KIB}`]);
    if (this.#disks === RAM_DISKS) throw new Error(`a scenario has ${RAM_DISKS} RAM disks and no more`);
    return `/dev/ram${this.#disks++}`;
  }

  async step<T>(text: string, body: () => T | Promise<T>): Promise<T> {
    const begun = performance.now();
    try {
      const result = await body();
      this.#tell({ kind: 'step', row: this.#row, text, seconds: (performance.now() - begun) / 1000 });
      return result;
    } catch (error) {
      this.log(`${text}: failed after ${((performance.now() - begun) / 1000).toFixed(1)} s`);
      throw error;
    }
  }

  async until(
    what: string,
    condition: () => boolean | Promise<boolean>,
    limitS: number = UNTIL_LIMIT_S,
  ): Promise<void> {
    const end = performance.now() + limitS * 1000;
    while (!(await condition())) {
      this.doing = `waiting: ${what}`;
      this.#signal.throwIfAborted();
      if (performance.now() > end) throw new Error(`${what}: not within ${limitS} s`);
      await new Promise((resolve) => setTimeout(resolve, UNTIL_MS));
    }
  }

  figure(name: string, value: number | string): void {
    this.#tell({ kind: 'figure', row: this.#row, name, value });
  }

  log(text: string): void {
    if (!this.#signal.aborted) this.#tell({ kind: 'log', row: this.#row, text });
  }

  keep(path: string): void {
    this.kept.add(path);
  }

  uptime(): number {
    return uptime();
  }

  async #modules(...names: readonly string[]): Promise<void> {
    for (const name of names)
      if (!existsSync(`/sys/module/${name.replaceAll('-', '_')}`))
        await this.exec('insmod', [`/lib/modules/${name}.ko`]);
  }
}

/** Of dom0's kernel, seconds. */
export function uptime(): number {
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
}
