/**
 * A whole host for packets in this process: a store, a control domain that serves interfaces, guests with a driver of ours and a host behind it, a
 * toolstack that attaches them. On a simulated machine that goes by itself.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NetfrontWishes, netfront } from '../../netback/vif/front/driver.ts';
import { NetHost } from '../../netback/vif/front/host.ts';
import { serveVifs, type Vifs } from '../../netback/vif/io/service.ts';
import type { Platform } from '../../osdep/platform.ts';
import { type Served, serveBackends } from '../../xenstored/client/backend.ts';
import { runFrontends } from '../../xenstored/client/frontend.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { SimHost } from '../conformance/simhost.ts';
import { type BareGuest, bootBareGuest, writeDevice } from '../xenstored/client-guest.ts';

export type { BareGuest };

interface DrivenGuest {
  /** Frames that came, of any kind. */
  readonly frames: Uint8Array[];
  /** What is behind interface 0; resolves when it is connected. */
  readonly host: Promise<NetHost>;
}

export type NetGuest = BareGuest & DrivenGuest;

/** Gives a guest a driver, and a host behind its interface. */
export async function driveGuest(
  { platform, store }: { readonly platform: Platform; readonly store: Client },
  address: string,
  wishes: Partial<NetfrontWishes> = {},
): Promise<DrivenGuest & { readonly close: () => Promise<void> }> {
  const { clock } = platform;
  const frames: Uint8Array[] = [];
  let connected: (host: NetHost) => void = () => {};
  const host = new Promise<NetHost>((resolve) => {
    connected = resolve;
  });
  const driver = netfront({
    platform,
    wishes,
    onInterface: ({ mac, send }) => {
      const made = new NetHost({ mac, address, send, clock });
      connected(made);
      return (frame, meta) => {
        frames.push(frame);
        made.receive(frame, meta);
      };
    },
  });
  const driven = await runFrontends(driver, { store });
  return { frames, host, close: () => driven.close() };
}

/** Writes an interface's nodes, as libxl does. */
export async function attachVif(
  dom0: Client,
  domid: number,
  mac: string,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeDevice(dom0, {
    device: { backendDomid: 0, kind: 'vif', frontendDomid: domid, devid: 0 },
    backend: { handle: '0', type: 'vif', mac, ...more },
    frontend: { handle: '0' },
    frontendReadOnly: { mac },
  });
}

export class PacketHost {
  readonly sim: SimHost;
  readonly dom0: Client;
  readonly log: string[] = [];
  /** What outlives a backend. */
  readonly #records: string = mkdtempSync(join(tmpdir(), 'netback-'));
  readonly #closing: (() => Promise<void>)[] = [];
  #backend: { readonly vifs: Vifs; readonly served: Served } | undefined;

  private constructor(sim: SimHost, dom0: Client) {
    this.sim = sim;
    this.dom0 = dom0;
  }

  static async start(): Promise<PacketHost> {
    const sim = await SimHost.start(['--database', 'memory']);
    const host = new PacketHost(sim, await connect({ path: sim.socketPath }));
    await host.startBackend();
    return host;
  }

  async startBackend(): Promise<void> {
    const log = (line: string): void => void this.log.push(line);
    const vifs = serveVifs({ log, recordDir: this.#records, platform: this.sim.machine.platformFor(0) });
    const served = await serveBackends(vifs.service, { store: this.dom0, domid: 0, log });
    this.#backend = { vifs, served };
  }

  async stopBackend(): Promise<void> {
    await this.#backend?.served.close();
    this.#backend?.vifs.close();
    this.#backend = undefined;
  }

  /** What an interface has counted since it was connected. */
  statistics(domid: number): Readonly<Record<string, number>> | undefined {
    const all = this.#backend?.vifs.service.statistics?.() ?? [];
    const path = `/local/domain/0/backend/vif/${domid}/0`;
    return [...all].find((one) => one.path === path)?.counters;
  }

  /** A guest without a driver. */
  async bareGuest(): Promise<BareGuest> {
    const guest = await bootBareGuest(this.sim, this.dom0);
    this.#closing.push(() => guest.store.close());
    return guest;
  }

  async guest(address: string, wishes?: Partial<NetfrontWishes>): Promise<NetGuest> {
    const bare = await this.bareGuest();
    const { close, ...driven } = await driveGuest(bare, address, wishes);
    this.#closing.push(close);
    return { ...bare, ...driven };
  }

  async stop(): Promise<void> {
    for (const close of this.#closing.reverse()) await close();
    await this.stopBackend();
    await this.dom0.close();
    await this.sim.stop();
    rmSync(this.#records, { recursive: true, force: true });
  }
}
