/**
 * What a scenario is: a small file that reads like a test and runs in dom0 of a real Xen. This file is all that one has to know to write
 * another; how the machine is built and booted is elsewhere.
 *
 *     export const scenarios: readonly Scenario[] = [
 *       {
 *         name: 'a PV guest comes up and goes down',
 *         stores: ['ours', 'c', 'ox'],
 *         async run(lab) {
 *           const guest = lab.guest({ name: 'g1' });
 *           await lab.step('xl create', () => guest.create());
 *           await guest.says(/GUEST-UP/);
 *           await lab.exec('xl', ['shutdown', '-w', 'g1']);
 *         },
 *       },
 *     ];
 *
 * The file stands in test/real/scenarios and exports `scenarios`. That is all: it is found there.
 */

/** Which daemon serves the store of the boot. `none`: the scenario starts one itself, before anything else is there. */
export type StoreKind = 'ours' | 'c' | 'ox' | 'none';

/**
 * What takes time to make, and is made only where it is wanted. `package`: the project as npm installs it, in dom0's /app/opt/stubdom0.
 * `stubdom`: kernel and initramfs of the store's domain, in dom0's /app/stubdom. `node`: guests with `node: true`. `pvcalls`: Linux's PV Calls
 * frontend as a module for guests, /app/guest/pvcalls-glue.ko; without a compiler for it the scenario is skipped.
 */
export type Need = 'package' | 'stubdom' | 'node' | 'pvcalls';

export interface Scenario {
  /** A few words, for the table. */
  readonly name: string;
  /** One row of the table for each. */
  readonly stores: readonly StoreKind[];
  /** Needs nested paging, for PVH guests: boots are slower with it. Default: false. */
  readonly hap?: boolean;
  /** Has a boot to itself. Default: shared with others of the same kind, one after the other. */
  readonly alone?: boolean;
  readonly needs?: readonly Need[];
  /** Runs in every CI run, and without `--all`, on the first of its stores. Default: false. */
  readonly always?: boolean;
  /** Seconds after which it counts as failed. Default: 240. */
  readonly limitS?: number;
  run(lab: Lab): Promise<void>;
}

export interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

export interface ExecOptions {
  /** Text for its standard input. Default: none, closed. */
  readonly input?: string;
  /** Seconds until it is killed. Default: 120. */
  readonly limitS?: number;
  /** Any exit status will do. Default: anything but 0 throws, with all it printed. */
  readonly mayFail?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

/** dom0, as a scenario sees it. Whatever throws fails the scenario; assertions are node:assert's. */
export interface Lab {
  readonly store: StoreControl;
  /** Runs a program of dom0 and waits for it. */
  exec(program: string, args?: readonly string[], options?: ExecOptions): Promise<Result>;
  /** Runs a shell script in dom0. */
  sh(script: string, options?: ExecOptions): Promise<Result>;
  /** A guest that is not created yet; destroyed at the end of the scenario if it is still there. */
  guest(options: GuestOptions): Guest;
  /** Starts xen-init-dom0 and xenconsoled, as a host does once its store is there. Done already, but where the store is `none`. */
  services(): Promise<void>;
  /**
   * Starts another xenconsoled in place of the one that runs, with these variables besides its own. One on the store's socket hears of no new
   * domain once the daemon has been killed; after a scenario that did so the lab does this by itself.
   */
  consoled(env?: Readonly<Record<string, string>>): Promise<void>;
  /** A bridge xenbr0 with 10.9.0.1/24 on it, the drivers for Linux's netback loaded. */
  bridge(): Promise<void>;
  /** Another RAM disk of 64 MiB, of four, with the drivers for Linux's blkback loaded: `/dev/ram0` and on. Its content may be old. */
  ramDisk(): Promise<string>;
  /** Shows what happens and how long it took (wall clock of the machine under emulation). */
  step<T>(text: string, body: () => T | Promise<T>): Promise<T>;
  /** Waits for a condition, asking every 100 ms. */
  until(what: string, condition: () => boolean | Promise<boolean>, limitS?: number): Promise<void>;
  /** A figure for the table at the end. */
  figure(name: string, value: number | string): void;
  log(text: string): void;
  /** A file or directory of dom0 that is kept with the logs. /var/log/xen always is. */
  keep(path: string): void;
  /** Seconds since dom0 started. */
  uptime(): number;
}

/** The store's daemon in dom0, whichever it is. */
export interface StoreControl {
  readonly kind: StoreKind;
  /** Undefined while none runs. */
  readonly pid: number | undefined;
  /** As Xen's launch-xenstore starts it, and waits for its pid file and socket. Extra arguments come last. */
  start(...args: readonly string[]): Promise<void>;
  /** kill -9; resolves when it is gone. */
  kill(): Promise<void>;
}

export interface GuestOptions {
  readonly name: string;
  /** Default: `pv`. */
  readonly type?: 'pv' | 'pvh';
  /** Runs as /guest.sh in the guest (busybox sh, xenstore-* clients); then the guest says GUEST-DONE and powers off. Default: sleeps. */
  readonly script?: string;
  /** Files of dom0 for the guest's root. */
  readonly files?: readonly string[];
  /** Node and the compiled project are in the guest's root, in /app/dist as in dom0; wants 400 MiB, and the scenario needs `node`. Default: false. */
  readonly node?: boolean;
  /** MiB. Default: 160. */
  readonly memory?: number;
  readonly disks?: readonly string[];
  readonly vifs?: readonly string[];
  /** Further lines of xl.cfg. */
  readonly config?: readonly string[];
}

export interface Guest {
  readonly name: string;
  /** The xl.cfg file in dom0. */
  readonly config: string;
  /** `xl create`, with further arguments; returns when xl does. */
  create(...args: readonly string[]): Promise<Result>;
  /** Undefined when there is no such domain. */
  domid(): Promise<number | undefined>;
  /** All of its console so far, from xenconsoled's log, over reboots and restores. */
  console(): Promise<string>;
  /** Waits until its console has it. */
  says(pattern: RegExp, limitS?: number): Promise<string>;
  /** Waits until there is no such domain. */
  gone(limitS?: number): Promise<void>;
}
