/**
 * A host for consoles in this process: a store, a domain that serves consoles and is privileged over nobody, guests as a toolstack leaves them. On a simulated
 * machine that goes by itself; terminals are the system's.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HvmParam } from '../../osdep/ctrl.ts';
import { Poller, READABLE } from '../../osdep/os/poll.ts';
import { openTerminal } from '../../osdep/os/pty.ts';
import * as sock from '../../osdep/os/sock.ts';
import { consoleFrontend, type RingEnd } from '../../osdep/ring/bytering.ts';
import type { SimPlatform } from '../../osdep/sim/platform.ts';
import type { LogOptions } from '../../toolstack/console/logfile.ts';
import { type Consoles, serveConsoles } from '../../toolstack/console/service.ts';
import { consoleNodes, consoleTrees, terminalNode } from '../../toolstack/core/console.ts';
import { writeAll } from '../../toolstack/io/domains.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { SimHost } from '../conformance/simhost.ts';
import { type BareGuest, bootBareGuest } from '../xenstored/client-guest.ts';

const CONSOLE_GFN = 2;

export interface ConsoleGuest extends BareGuest {
  readonly name: string;
  /** The guest's end, without a driver, and its port. */
  ring(): { readonly end: RingEnd; readonly ring: () => void };
}

/** Somebody who has joined. */
export interface Viewer {
  readonly fd: number;
  /** All that was shown so far. */
  readonly text: () => string;
  type(text: string): void;
  shown(wanted: string): Promise<void>;
  readonly gone: Promise<void>;
  close(): void;
}

export class ConsoleHost {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'console-'));
  readonly sim: SimHost;
  readonly dom0: Client;
  readonly server: BareGuest;
  readonly log: string[] = [];
  logOptions: LogOptions = { maxBytes: 1 << 20, keep: 2, times: 'plain' };
  readonly #poller = new Poller();
  readonly #viewers = new Set<Viewer>();
  readonly #stores: Client[] = [];
  #consoles: Consoles | undefined;

  private constructor(sim: SimHost, dom0: Client, server: BareGuest) {
    this.sim = sim;
    this.dom0 = dom0;
    this.server = server;
    this.#stores.push(server.store);
  }

  static async start(): Promise<ConsoleHost> {
    const sim = await SimHost.start(['--database', 'memory']);
    const dom0 = await connect({ path: sim.socketPath });
    const host = new ConsoleHost(sim, dom0, await bootBareGuest(sim, dom0));
    await host.serve();
    return host;
  }

  async serve(platform: SimPlatform = this.server.platform): Promise<Consoles> {
    this.#consoles = serveConsoles({
      platform,
      store: this.server.store,
      domid: this.server.domid,
      logs: { ...this.logOptions, directory: this.directory },
      log: (line) => void this.log.push(line),
    });
    await this.#consoles.ready;
    return this.#consoles;
  }

  async stopServing(): Promise<void> {
    await this.#consoles?.close();
    this.#consoles = undefined;
  }

  async guest(name: string): Promise<ConsoleGuest> {
    const guest = await bootBareGuest(this.sim, this.dom0);
    this.#stores.push(guest.store);
    const { domid } = guest;
    const ctrl = this.sim.machine.platformFor(0).openCtrl();
    const backendDomid = this.server.domid;
    const port = ctrl.evtchnAllocUnbound(domid, backendDomid);
    ctrl.populatePhysmap(domid, [CONSOLE_GFN]);
    ctrl.gnttabSeed(domid, { consoleGfn: CONSOLE_GFN, consoleDomid: backendDomid });
    ctrl.hvmParamSet(domid, HvmParam.CONSOLE_PFN, CONSOLE_GFN);
    ctrl.hvmParamSet(domid, HvmParam.CONSOLE_EVTCHN, port);
    ctrl.close();
    const nodes = consoleNodes({ domid, backendDomid, port, gfn: CONSOLE_GFN, name });
    await this.dom0.transaction((tx) => writeAll(tx, nodes));
    const ring = (): ReturnType<ConsoleGuest['ring']> => {
      const { page, port: own } = guest.platform.console.ring();
      const evtchn = guest.platform.openEvtchn();
      evtchn.bind(own);
      return { end: consoleFrontend(page.bytes), ring: () => evtchn.notify(own) };
    };
    return { ...guest, name, ring };
  }

  /** As a toolstack takes a domain down. */
  async destroy({ domid }: ConsoleGuest): Promise<void> {
    const ctrl = this.sim.machine.platformFor(0).openCtrl();
    ctrl.destroyDomain(domid);
    ctrl.close();
    await this.dom0.transaction(async (tx) => {
      for (const tree of consoleTrees(domid, this.server.domid)) if (await tx.exists(tree)) await tx.rm(tree);
    });
  }

  /** Whether anybody still holds pages of a domain's that is dead. */
  isGone({ domid }: ConsoleGuest): boolean {
    const ctrl = this.sim.machine.platformFor(0).openCtrl();
    const info = ctrl.getDomainInfo(domid);
    ctrl.close();
    return info === undefined;
  }

  /** The name of a guest's terminal, another than this one. */
  async terminal({ domid }: ConsoleGuest, other = ''): Promise<string> {
    const node = terminalNode(domid, 'pv', 0);
    for await (const _ of this.dom0.watch(node)) {
      const name = (await this.dom0.findText(node)) ?? '';
      if (name !== '' && name !== other) return name;
    }
    throw new Error('no terminal');
  }

  async join(guest: ConsoleGuest): Promise<Viewer> {
    return this.look(await this.terminal(guest));
  }

  look(name: string): Viewer {
    const fd = openTerminal(name);
    const bytes = Buffer.alloc(65_536);
    let text = '';
    let wake = (): void => {};
    let leave = (): void => {};
    const gone = new Promise<void>((resolve) => {
      leave = resolve;
    });
    const viewer: Viewer = {
      fd,
      text: () => text,
      type: (typed) => void sock.write(fd, Buffer.from(typed)),
      shown: async (wanted) => {
        while (!text.includes(wanted)) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      },
      gone,
      close: () => {
        if (!this.#viewers.delete(viewer)) return;
        this.#poller.remove(fd);
        sock.close(fd);
      },
    };
    this.#viewers.add(viewer);
    this.#poller.add(fd, READABLE, () => {
      const count = sock.read(fd, bytes);
      if (count > 0) {
        text += bytes.toString('latin1', 0, count);
        wake();
      } else if (count !== sock.WOULD_BLOCK) {
        this.#poller.remove(fd);
        leave();
      }
    });
    return viewer;
  }

  logged(name: string): string {
    return readFileSync(join(this.directory, `guest-${name}.log`), 'latin1');
  }

  async stop(): Promise<void> {
    for (const viewer of [...this.#viewers]) viewer.close();
    await this.stopServing();
    this.#poller.close();
    for (const store of this.#stores) await store.close();
    await this.dom0.close();
    await this.sim.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
