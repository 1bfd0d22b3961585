/**
 * A whole host for sockets in this process: a store, a control domain that serves them, guests whose rings are the test's own. What a guest calls 10.0.0.1 or
 * fd00::1 is this machine's loopback, and so are all addresses that it listens at. On a simulated machine that goes by itself.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Limits } from '../../netback/xensock/core/account.ts';
import {
  decodeAddress,
  encodeAddress,
  type InetAddress,
  parseIp,
} from '../../netback/xensock/core/address.ts';
import type { GuestRules } from '../../netback/xensock/core/policy.ts';
import { type SockfrontOptions, sockfront } from '../../netback/xensock/front/device.ts';
import type { XenSock } from '../../netback/xensock/front/xensock.ts';
import { type SocketsService, serveSockets } from '../../netback/xensock/io/service.ts';
import * as inet from '../../osdep/os/inet.ts';
import { type Served, serveBackends } from '../../xenstored/client/backend.ts';
import { type Driven, runFrontends } from '../../xenstored/client/frontend.ts';
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

/** Where whoever connects waits for ever: a socket of this machine that listens and whose queue is full. */
export class Silence {
  readonly port: number;
  readonly #fd: number;
  readonly #first: Socket;

  private constructor(fd: number, port: number) {
    this.#fd = fd;
    this.port = port;
    this.#first = createConnection(port, '127.0.0.1');
    this.#first.on('error', () => {});
  }

  static async begin(): Promise<Silence> {
    const fd = inet.open(2, 1);
    const name = new Uint8Array(inet.SOCKADDR_BYTES);
    inet.bind(fd, name, encodeAddress(at('127.0.0.1', 0), name));
    // There is room for one.
    inet.listen(fd, 0);
    const made = new Silence(fd, decodeAddress(name, inet.name(fd, 'own', name))!.port);
    await once(made.#first, 'connect');
    return made;
  }

  end(): void {
    this.#first.destroy();
    inet.close(this.#fd);
  }
}

export class SockHost {
  readonly sim: SimHost;
  readonly dom0: Client;
  readonly log: string[] = [];
  rules: GuestRules = rules();
  backend: { readonly sockets: SocketsService; readonly served: Served } | undefined;
  readonly #records: string = mkdtempSync(join(tmpdir(), 'xensock-'));
  readonly #guests: Client[] = [];
  readonly #driven: Driven[] = [];

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

  /** A guest's driver of ours that is connected. */
  async driver(options: Partial<SockfrontOptions> = {}): Promise<XenSock> {
    const { domid, platform, store } = await bootBareGuest(this.sim, this.dom0);
    this.#guests.push(store);
    let found: (driver: XenSock) => void = () => {};
    const driver = new Promise<XenSock>((resolve) => {
      found = resolve;
    });
    const front = sockfront({ platform, onDriver: (_, made) => found(made), ...options });
    this.#driven.push(await runFrontends(front, { store }));
    await attachSock(this.dom0, domid);
    return await driver;
  }

  /** A guest that is connected, and whose rings are the test's. */
  async guest(keys: Readonly<Record<string, string>> = {}): Promise<RawSockGuest> {
    const bare = await bootBareGuest(this.sim, this.dom0);
    this.#guests.push(bare.store);
    await attachSock(this.dom0, bare.domid);
    const guest = new RawSockGuest(this.dom0, bare);
    await guest.connect(keys);
    return guest;
  }

  async stop(): Promise<void> {
    for (const driven of this.#driven) await driven.close();
    for (const store of this.#guests) await store.close();
    await this.stopBackend();
    await this.dom0.close();
    await this.sim.stop();
    rmSync(this.#records, { recursive: true, force: true });
  }
}
