/**
 * A whole host for sockets in this process: a store, a control domain that serves them, guests whose rings are the test's own. What a guest calls 10.0.0.1 or
 * fd00::1 is this machine's loopback, and so are all addresses that it listens at. On a simulated machine that goes by itself.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Limits } from '../../netback/xensock/core/account.ts';
import { type InetAddress, parseIp } from '../../netback/xensock/core/address.ts';
import type { GuestRules } from '../../netback/xensock/core/policy.ts';
import { type SocketsService, serveSockets } from '../../netback/xensock/io/service.ts';
import { type Served, serveBackends } from '../../xenstored/client/backend.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { SimHost } from '../conformance/simhost.ts';
import { bootBareGuest } from '../xenstored/client-guest.ts';
import { attachSock, RawSockGuest } from './sock-rawguest.ts';

export function at(ip: string, port: number): InetAddress {
  return parseIp(ip, port)!;
}

/** What stands for this machine. */
export const machine = (port: number): InetAddress => at('10.0.0.1', port);
export const machine6 = (port: number): InetAddress => at('fd00::1', port);

const limits: Limits = {
  sockets: 4096,
  listening: 64,
  pages: 1 << 16,
  ringOrder: 9,
  backlog: 1024,
  connectsPerSecond: 0,
  bytesPerSecond: 0,
};

export function rules(over: Partial<GuestRules> = {}): GuestRules {
  return {
    name: 'test',
    rules: [],
    otherwise: 'allow',
    localhost: 'host',
    connectMap: [
      { from: at('10.0.0.1', 0), to: at('127.0.0.1', 0) },
      { from: at('fd00::1', 0), to: at('::1', 0) },
    ],
    listenMap: [
      { from: at('0.0.0.0', 0), to: at('127.0.0.1', 0) },
      { from: at('::', 0), to: at('::1', 0) },
    ],
    limits,
    ...over,
  };
}

export class SockHost {
  readonly sim: SimHost;
  readonly dom0: Client;
  readonly log: string[] = [];
  rules: GuestRules = rules();
  backend: { readonly sockets: SocketsService; readonly served: Served } | undefined;
  readonly #records: string = mkdtempSync(join(tmpdir(), 'xensock-'));
  readonly #guests: Client[] = [];

  private constructor(sim: SimHost, dom0: Client) {
    this.sim = sim;
    this.dom0 = dom0;
  }

  static async start(): Promise<SockHost> {
    const sim = await SimHost.start(['--database', 'memory']);
    const host = new SockHost(sim, await connect({ path: sim.socketPath }));
    await host.startBackend();
    return host;
  }

  async startBackend(): Promise<void> {
    const log = (line: string): void => void this.log.push(line);
    const platform = this.sim.machine.platformFor(0);
    const sockets = serveSockets({ log, recordDir: this.#records, platform, rulesOf: () => this.rules });
    const served = await serveBackends(sockets.service, { store: this.dom0, domid: 0, log });
    this.backend = { sockets, served };
  }

  async stopBackend(): Promise<void> {
    await this.backend?.served.close();
    this.backend?.sockets.close();
    this.backend = undefined;
  }

  /** A guest that is connected. */
  async guest(keys: Readonly<Record<string, string>> = {}): Promise<RawSockGuest> {
    const bare = await bootBareGuest(this.sim, this.dom0);
    this.#guests.push(bare.store);
    await attachSock(this.dom0, bare.domid);
    const guest = new RawSockGuest(this.dom0, bare);
    await guest.connect(keys);
    return guest;
  }

  async stop(): Promise<void> {
    for (const store of this.#guests) await store.close();
    await this.stopBackend();
    await this.dom0.close();
    await this.sim.stop();
    rmSync(this.#records, { recursive: true, force: true });
  }
}
