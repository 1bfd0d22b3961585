// A host for tests of those who run handshakes: our daemon, a simulated machine, a toolstack, a guest with toys, and backends as they are
// started.
import type { SimPlatform } from '../../osdep/sim/platform.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { backendPath, type DeviceName, frontendPath } from '../../xenstored/xenbus/path.ts';
import { SimHost } from '../conformance/simhost.ts';
import { bootGuest } from './client-guest.ts';
import type { Cut } from './xenbus-run-cut.ts';
import { type ToyFrontend, ToyGuest } from './xenbus-run-guest.ts';
import { Toolstack } from './xenbus-run-toolstack.ts';
import { KIND, ToyBackend } from './xenbus-run-toy.ts';

export class ToyHost {
  readonly sim: SimHost;
  readonly dom0: Client;
  readonly tools: Toolstack;
  /** The first guest. */
  guest!: ToyGuest;
  readonly #guests: ToyGuest[] = [];
  readonly #backends: ToyBackend[] = [];
  #nextDevid = 0;

  static async start(): Promise<ToyHost> {
    const sim = await SimHost.start([]);
    const host = new ToyHost(sim, await connect({ path: sim.socketPath }));
    host.guest = await host.boot();
    return host;
  }

  private constructor(sim: SimHost, dom0: Client) {
    this.sim = sim;
    this.dom0 = dom0;
    this.tools = new Toolstack(dom0);
  }

  get platform(): SimPlatform {
    return this.sim.machine.platformFor(0);
  }

  async boot(): Promise<ToyGuest> {
    const platform = await bootGuest(this.sim, this.dom0);
    const guest = await ToyGuest.boot(platform.domid, platform);
    this.#guests.push(guest);
    return guest;
  }

  async serve(cut?: Cut): Promise<ToyBackend> {
    const backend = await ToyBackend.start(this.platform, this.sim.socketPath, cut);
    this.#backends.push(backend);
    return backend;
  }

  async stop(): Promise<void> {
    for (const guest of this.#guests) await guest.stop();
    for (const backend of this.#backends) await backend.stop();
    await this.dom0.close();
    await this.sim.stop();
  }

  /** A name that is free. */
  named(guest: ToyGuest = this.guest): DeviceName {
    return { backendDomid: 0, kind: KIND, frontendDomid: guest.domid, devid: this.#nextDevid++ };
  }

  front({ devid }: DeviceName, guest: ToyGuest = this.guest): ToyFrontend {
    return guest.toys.get(devid)!;
  }

  /** Attaches one and waits for both ends. */
  async attached(guest: ToyGuest = this.guest): Promise<DeviceName> {
    const device = this.named(guest);
    await this.tools.attach(device);
    await this.tools.connected(device);
    return device;
  }

  back(device: DeviceName, key: string): Promise<string | undefined> {
    return this.dom0.findText(`${backendPath(device)}/${key}`);
  }

  /** Every value of both ends' states from now on, until called. */
  states(device: DeviceName): () => Promise<readonly (readonly string[])[]> {
    const ends = [backendPath(device), frontendPath(device)].map((path) => this.#values(`${path}/state`));
    return () => Promise.all(ends.map((end) => end()));
  }

  #values(path: string): () => Promise<readonly string[]> {
    const seen = new Set<string>();
    const watch = this.dom0.watch(path);
    const all = (async () => {
      for await (const _ of watch) seen.add((await this.dom0.findText(path)) ?? 'gone');
    })();
    return async () => {
      // Whatever has happened is told before this is answered.
      await this.dom0.exists(path);
      await watch.close();
      await all;
      return [...seen];
    };
  }
}
