/**
 * A simulated machine across processes for the benches of backends: a hypervisor, our xenstored, one backend as the built program, and guests that
 * some process of the bench is to be. Knows no kind of device.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HvmParam } from '../../osdep/ctrl.ts';
import { Virq } from '../../osdep/evtchn.ts';
import { type RemoteSimPlatform, simPlatform } from '../../osdep/sim/client.ts';
import { type HypervisorProcess, startHypervisor } from '../../osdep/sim/start.ts';
import { type Client, connect, type PermText } from '../../xenstored/client/index.ts';
import { type DeviceSpec, deviceNodes } from '../../xenstored/xenbus/attach.ts';

const STORE_GFN = 7;
const BUILT: string = join(import.meta.dirname, '../..');

/** A program of ours; ends with the machine. */
export class BuiltProgram {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
  /** What it printed: V8's traces. */
  printed = '';
  /** What it said. */
  said = '';
  readonly #ready: Promise<void>;

  constructor(program: string, args: readonly string[], { env = {}, node = [], ready }: ProgramOptions) {
    const argv = [...node, join(BUILT, program, 'main.js'), ...args];
    this.child = spawn(process.execPath, argv, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout!.on('data', (text: Buffer) => {
      this.printed += text.toString('latin1');
    });
    this.ended = once(this.child, 'close');
    this.#ready = new Promise((resolve, reject) => {
      this.child.stderr!.on('data', (text: Buffer) => {
        this.said += text.toString();
        if (this.said.includes(ready)) resolve();
      });
      void this.ended.then(() => reject(new Error(`${program} ended: ${this.said}`)));
    });
    this.#ready.catch(() => {});
  }

  ready(): Promise<void> {
    return this.#ready;
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** A profiler of Node's writes on SIGTERM. */
  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    const late = setTimeout(() => this.child.kill('SIGKILL'), 5000);
    await this.ended;
    clearTimeout(late);
  }
}

interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** For node itself. */
  readonly node?: readonly string[];
  /** What it says when it serves. */
  readonly ready: string;
}

export interface MachineGuest {
  readonly domid: number;
  /** By which a process is this guest. */
  readonly token: string;
}

export interface BackendCommand {
  readonly program: string;
  readonly args?: readonly string[];
  readonly node?: readonly string[];
}

export class Machine {
  readonly run: string;
  readonly dom0: Client;
  readonly backend: BuiltProgram;
  readonly hypervisor: HypervisorProcess;
  readonly #control: RemoteSimPlatform;
  readonly #store: BuiltProgram;
  readonly #storeDomid: number;

  private constructor(parts: {
    readonly run: string;
    readonly dom0: Client;
    readonly backend: BuiltProgram;
    readonly hypervisor: HypervisorProcess;
    readonly control: RemoteSimPlatform;
    readonly store: BuiltProgram;
    readonly storeDomid: number;
  }) {
    this.run = parts.run;
    this.dom0 = parts.dom0;
    this.backend = parts.backend;
    this.hypervisor = parts.hypervisor;
    this.#control = parts.control;
    this.#store = parts.store;
    this.#storeDomid = parts.storeDomid;
  }

  /** With one backend, in the control domain. */
  static async start({ program, args = [], node = [] }: BackendCommand): Promise<Machine> {
    const run = mkdtempSync(join(tmpdir(), 'bench-'));
    // Also when the bench is broken off.
    process.once('exit', () => rmSync(run, { recursive: true, force: true }));
    const hypervisor = await startHypervisor({ run });
    const control = simPlatform({ run, token: hypervisor.token, onLost: () => {} });
    const ctrl = control.openCtrl();
    const storeDomid = ctrl.createDomain({ xenstore: true });
    ctrl.setVirqHandler(storeDomid, Virq.DOM_EXC);
    ctrl.unpause(storeDomid);
    ctrl.close();
    const token = control.issueToken({ domid: storeDomid, restartable: true });
    const env = { STUBDOM0_TOKEN: token };
    const store = new BuiltProgram('xenstored', ['-N', '--run', run], { env, ready: 'xenstored is ready' });
    await store.ready();
    const dom0 = await connect({ path: join(run, 'xenstored/socket') });
    const backend = new BuiltProgram(program, ['--platform', 'sim', '--run', run, ...args], {
      node,
      ready: 'ready for domain',
    });
    await backend.ready();
    return new Machine({ run, dom0, backend, hypervisor, control, store, storeDomid });
  }

  /** A domain with a store ring, introduced, its home its own. */
  async guest(maxPages = 4096): Promise<MachineGuest> {
    const ctrl = this.#control.openCtrl();
    const domid = ctrl.createDomain({});
    ctrl.setMaxMem(domid, maxPages);
    ctrl.populatePhysmap(domid, [STORE_GFN]);
    ctrl.gnttabSeed(domid, { xenstoreGfn: STORE_GFN, xenstoreDomid: this.#storeDomid });
    ctrl.hvmParamSet(domid, HvmParam.STORE_PFN, STORE_GFN);
    ctrl.unpause(domid);
    const port = ctrl.evtchnAllocUnbound(domid, this.#storeDomid);
    ctrl.hvmParamSet(domid, HvmParam.STORE_EVTCHN, port);
    ctrl.close();
    const home = await this.dom0.getDomainPath(domid);
    for (const path of ['', '/device', '/backend', '/error']) {
      await this.dom0.mkdir(`${home}${path}`);
      await this.dom0.setPerms(`${home}${path}`, [`n${domid}`]);
    }
    await this.dom0.introduce(domid, STORE_GFN, port);
    return { domid, token: this.#control.issueToken({ domid, restartable: false }) };
  }

  /** Writes a device's nodes, as libxl does. */
  async attach(device: DeviceSpec): Promise<void> {
    await this.dom0.transaction(async (tx) => {
      for (const { path, value, perms } of deviceNodes(device)) {
        await tx.write(path, value);
        await tx.setPerms(path, perms as readonly PermText[]);
      }
    });
  }

  async stop(): Promise<void> {
    await this.dom0.close();
    await this.backend.stop();
    await this.#store.stop();
    this.#control.close();
    await this.hypervisor.stop();
    rmSync(this.run, { recursive: true, force: true });
  }
}
