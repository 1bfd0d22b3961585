/**
 * A host for the whole daemon in this process: its own loop, sockets, rings and database, on a simulated machine that goes by itself. Clients
 * connect to a real socket; guests are domains of the machine, with rings by grant and event channel.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Ctrl, HvmParam, ShutdownReason } from '../../osdep/ctrl.ts';
import type { Evtchn } from '../../osdep/evtchn.ts';
import * as sock from '../../osdep/os/sock.ts';
import { type LocalHost, liveHost } from '../../osdep/sim/local.ts';
import { parseOptions } from '../../xenstored/io/options.ts';
import { Server } from '../../xenstored/io/server.ts';
import { GuestRing, MemoryPage } from './guestring.ts';
import { type Link, socketLink } from './link.ts';
import type { Host, HostOptions } from './store.ts';

/** Where a guest's store page lies among its frames. */
const STORE_GFN = 1;

/** Starts the daemon with the C daemon's command line, its store in memory. */
export async function startSim({ args = [] }: HostOptions): Promise<SimHost> {
  return SimHost.start(['--database', 'memory', ...args]);
}

/** The same, its store on disk: every turn is recorded before anybody hears of it. */
export async function startSimOnDisk({ args = [] }: HostOptions): Promise<SimHost> {
  return SimHost.start(args);
}

interface Guest {
  readonly ring: GuestRing;
  readonly evtchn: Evtchn;
}

export class SimHost implements Host {
  readonly directory: string;
  readonly machine: LocalHost;
  /** What the daemon said for its log. */
  readonly log: string[] = [];
  /** Why it would have ended the process. */
  readonly fatal: unknown[] = [];
  server: Server | undefined = undefined;
  readonly #args: readonly string[];
  readonly #ctrl: Ctrl;
  readonly #guests = new Map<number, Guest>();

  static async start(args: readonly string[]): Promise<SimHost> {
    const host = new SimHost(args);
    await host.startDaemon();
    return host;
  }

  private constructor(args: readonly string[]) {
    this.#args = args;
    this.directory = mkdtempSync(join(tmpdir(), 'xenstored-'));
    this.machine = liveHost();
    this.#ctrl = this.machine.platformFor(0).openCtrl();
  }

  async startDaemon(): Promise<void> {
    const parsed = parseOptions(['-N', ...this.#args], { XENSTORED_RUNDIR: this.directory });
    if (parsed.kind !== 'run') throw new Error(`bad options: ${this.#args.join(' ')}`);
    const { options } = parsed;
    this.server = await Server.start({
      options,
      platform: this.machine.platformFor(0),
      boot: 'this one',
      listener: sock.listen({ path: options.socketPath }),
      log: (_level, text) => this.log.push(text),
      fatal: (error) => this.fatal.push(error),
    });
  }

  get socketPath(): string {
    return join(this.directory, 'socket');
  }

  connect(): Promise<Link> {
    return socketLink(this.socketPath);
  }

  /** A running domain with a store page, its port 1 waiting for the daemon. Resolves when the id is free. */
  async addDomain(domid: number): Promise<void> {
    const taken = (): boolean => this.#ctrl.getDomainInfo(domid) !== undefined;
    if (domid === 0) return;
    if (this.#guests.has(domid)) this.killDomain(domid);
    while (taken()) await new Promise((resolve) => setImmediate(resolve));
    this.#ctrl.createDomain({ domid });
    this.#ctrl.setMaxMem(domid, 64);
    const port = this.#ctrl.evtchnAllocUnbound(domid, 0);
    this.#ctrl.populatePhysmap(domid, [STORE_GFN]);
    this.#ctrl.gnttabSeed(domid, { xenstoreGfn: STORE_GFN, xenstoreDomid: 0 });
    this.#ctrl.hvmParamSet(domid, HvmParam.STORE_PFN, STORE_GFN);
    this.#ctrl.hvmParamSet(domid, HvmParam.STORE_EVTCHN, port);
    this.#ctrl.unpause(domid);
    this.#guests.set(domid, this.#boot(domid));
  }

  ring(domid: number): GuestRing {
    const guest = this.#guests.get(domid);
    if (!guest) throw new Error(`there is no domain ${domid}`);
    return guest.ring;
  }

  /** One that has shut down already goes on first. */
  shutdownDomain(domid: number): void {
    if (this.#ctrl.getDomainInfo(domid)?.shutdown) this.#ctrl.resume(domid);
    this.#ctrl.shutdown(domid, ShutdownReason.SUSPEND);
  }

  killDomain(domid: number): void {
    const guest = this.#guests.get(domid);
    this.#guests.delete(domid);
    guest?.ring.close();
    this.#ctrl.destroyDomain(domid);
  }

  /** The daemon ends and starts again on what it recorded; the machine and its domains go on. */
  async restart(): Promise<void> {
    await this.server?.close();
    await this.startDaemon();
  }

  async stop(): Promise<void> {
    await this.server?.close();
    for (const { ring } of this.#guests.values()) ring.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** The guest's own side, as its kernel would set it up. */
  #boot(domid: number): Guest {
    const platform = this.machine.platformFor(domid);
    const { page, port } = platform.store.ring();
    const evtchn = platform.openEvtchn();
    evtchn.bind(port);
    const { buffer, byteOffset, byteLength } = page.bytes;
    const bytes = Buffer.from(buffer, byteOffset, byteLength);
    const ring = new GuestRing(domid, new MemoryPage(bytes), () => evtchn.notify(port));
    evtchn.onReadable(() => {
      for (let fired = evtchn.pending(); fired !== undefined; fired = evtchn.pending()) evtchn.unmask(fired);
      ring.signalled();
    });
    return { ring, evtchn };
  }
}
