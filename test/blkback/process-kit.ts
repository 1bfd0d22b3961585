/**
 * A host for disks across processes: a hypervisor, a store and blkback as the built programs, guests with a driver of ours in the test's
 * own process. Programs can be killed and started again.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FrontDisk } from '../../blkback/front/disk.ts';
import { blkfront } from '../../blkback/front/driver.ts';
import { HvmParam } from '../../osdep/ctrl.ts';
import { Virq } from '../../osdep/evtchn.ts';
import type { RemoteSimPlatform } from '../../osdep/sim/client.ts';
import { runFrontends } from '../../xenstored/client/frontend.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { Rig } from '../osdep/sim-process-kit.ts';

const STORE_GFN = 7;

function built(program: string): string {
  return fileURLToPath(new URL(`../../dist/${program}/main.js`, import.meta.url));
}

/** A built program; what it says goes to `said`. */
export class Program {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  said = '';
  readonly #ready: Promise<void>;

  constructor(name: string, args: readonly string[], env: Readonly<Record<string, string>>, ready: string) {
    this.child = spawn(process.execPath, [built(name), ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.ended = once(this.child, 'close').then(([code]) => code as number | null);
    this.#ready = new Promise((resolve, reject) => {
      this.child.stderr!.on('data', (text: Buffer) => {
        this.said += text.toString();
        if (this.said.includes(ready)) resolve();
      });
      void this.ended.then(() => reject(new Error(`${name} ended: ${this.said}`)));
    });
    this.#ready.catch(() => {});
  }

  ready(): Promise<void> {
    return this.#ready;
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal);
    return await this.ended;
  }
}

export interface ProcessGuest {
  readonly domid: number;
  readonly platform: RemoteSimPlatform;
  readonly store: Client;
  disk(devid: number): Promise<FrontDisk>;
}

export class ProcessHost {
  readonly rig: Rig;
  readonly dom0: Client;
  blkback: Program;
  readonly #store: Program;
  readonly #storeDomid: number;
  readonly #backendToken: string | undefined;
  /** Who serves disks. */
  readonly backendDomid: number;
  readonly #stops: (() => Promise<void>)[] = [];

  private constructor(
    rig: Rig,
    storeDomid: number,
    store: Program,
    dom0: Client,
    backend: { readonly domid: number; readonly token?: string },
  ) {
    this.rig = rig;
    this.#storeDomid = storeDomid;
    this.#store = store;
    this.dom0 = dom0;
    this.backendDomid = backend.domid;
    this.#backendToken = backend.token;
    this.blkback = this.#spawnBackend();
  }

  /** blkback in the control domain, or in one of its own. */
  static async start(where: 'control' | 'own' = 'control'): Promise<ProcessHost> {
    const rig = await Rig.start();
    const ctrl = rig.control.openCtrl();
    const domid = ctrl.createDomain({ xenstore: true });
    ctrl.setVirqHandler(domid, Virq.DOM_EXC);
    ctrl.unpause(domid);
    ctrl.close();
    const token = rig.control.issueToken({ domid, restartable: true });
    const args = ['-N', '--run', rig.run];
    const store = new Program('xenstored', args, { STUBDOM0_TOKEN: token }, 'xenstored is ready');
    await store.ready();
    const dom0 = await connect({ path: join(rig.run, 'xenstored/socket') });
    const backend =
      where === 'control' ? { domid: 0 } : await createGuest(rig, dom0, domid, { restartable: true });
    const host = new ProcessHost(rig, domid, store, dom0, backend);
    await host.blkback.ready();
    return host;
  }

  get directory(): string {
    return this.rig.run;
  }

  /** kill -9, and another one; resolves when that serves. */
  async restartBackend(): Promise<void> {
    await this.blkback.end('SIGKILL');
    // A domain's port to its store goes with the process that has it open: its toolstack gives it another.
    if (this.backendDomid !== 0) await introduce(this.rig, this.dom0, this.backendDomid, this.#storeDomid);
    this.blkback = this.#spawnBackend();
    await this.blkback.ready();
  }

  /** A guest that whoever has the token may be. */
  async domain(): Promise<{ readonly domid: number; readonly token: string }> {
    return await createGuest(this.rig, this.dom0, this.#storeDomid, { restartable: false });
  }

  async guest(ringPages = 1): Promise<ProcessGuest> {
    const { domid, token } = await this.domain();
    const platform = this.rig.platform(token);
    const store = await connect({ platform });
    const disks = new Map<number, FrontDisk>();
    const waiting = new Map<number, (disk: FrontDisk) => void>();
    const onDisk = (devid: number, disk: FrontDisk): void => {
      disks.set(devid, disk);
      waiting.get(devid)?.(disk);
    };
    const driven = await runFrontends(blkfront({ platform, ringPages, onDisk }), { store });
    this.#stops.push(async () => {
      await driven.close();
      await store.close();
    });
    const disk = async (devid: number): Promise<FrontDisk> =>
      disks.get(devid) ?? (await new Promise((resolve) => waiting.set(devid, resolve)));
    return { domid, platform, store, disk };
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops) await stop();
    await this.dom0.close();
    await this.blkback.end('SIGKILL');
    await this.#store.end('SIGKILL');
    await this.rig.stop();
  }

  #spawnBackend(): Program {
    const env = this.#backendToken === undefined ? {} : { STUBDOM0_TOKEN: this.#backendToken };
    return new Program('blkback', ['--platform', 'sim', '--run', this.rig.run], env, 'ready for domain');
  }
}

/** A domain with a store ring, introduced, its home its own. */
async function createGuest(
  rig: Rig,
  dom0: Client,
  storeDomid: number,
  { restartable }: { readonly restartable: boolean },
): Promise<{ readonly domid: number; readonly token: string }> {
  const ctrl = rig.control.openCtrl();
  const domid = ctrl.createDomain({});
  ctrl.setMaxMem(domid, 4096);
  ctrl.populatePhysmap(domid, [STORE_GFN]);
  ctrl.gnttabSeed(domid, { xenstoreGfn: STORE_GFN, xenstoreDomid: storeDomid });
  ctrl.hvmParamSet(domid, HvmParam.STORE_PFN, STORE_GFN);
  ctrl.unpause(domid);
  ctrl.close();
  const home = await dom0.getDomainPath(domid);
  for (const path of ['', '/device', '/backend', '/error']) {
    await dom0.mkdir(`${home}${path}`);
    await dom0.setPerms(`${home}${path}`, [`n${domid}`]);
  }
  await introduce(rig, dom0, domid, storeDomid);
  return { domid, token: rig.control.issueToken({ domid, restartable }) };
}

async function introduce(rig: Rig, dom0: Client, domid: number, storeDomid: number): Promise<void> {
  const ctrl = rig.control.openCtrl();
  const port = ctrl.evtchnAllocUnbound(domid, storeDomid);
  ctrl.hvmParamSet(domid, HvmParam.STORE_EVTCHN, port);
  ctrl.close();
  await dom0.introduce(domid, STORE_GFN, port);
}
