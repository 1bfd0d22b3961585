// A toy device for tests of those who run handshakes: one granted page and one port. The frontend counts up the first byte, the backend
// copies it to the second. This is its backend's process, which can be killed as the kernel would leave it: memory unmapped, ports closed,
// connection lost.
import type { Gnttab } from '../../osdep/gnttab.ts';
import type { Mapping } from '../../osdep/mapping.ts';
import type { SimPlatform } from '../../osdep/sim/platform.ts';
import {
  type BackendDevice,
  type BackendLink,
  type Client,
  connect,
  type Served,
  serveBackends,
} from '../../xenstored/client/index.ts';
import { Checker, type KeyReader } from '../../xenstored/xenbus/value.ts';
import { type Cut, Cutter } from './xenbus-run-cut.ts';
import { Ports } from './xenbus-run-ports.ts';

export const KIND = 'toy';

interface Offer {
  readonly ringRef: number;
  readonly eventChannel: number;
}

function* readOffer(): KeyReader<Offer> {
  const check = new Checker();
  const ringRef = check.gref('ring-ref', yield 'ring-ref');
  const eventChannel = check.port('event-channel', yield 'event-channel');
  return check.result({ ringRef, eventChannel });
}

/** A process that serves toys. */
export class ToyBackend {
  readonly log: string[] = [];
  /** By its device's path. */
  readonly mapped: Map<string, Mapping> = new Map();
  /** How each was connected. */
  readonly connected: string[] = [];
  /** Settles when a cut has killed it. */
  readonly killed: Promise<void>;
  opened = 0;
  /** Devices, by their path, whose `open` fails. */
  readonly refuse: Set<string> = new Set();
  /** Devices whose `open` never ends. */
  readonly hang: Set<string> = new Set();
  /** The links of devices that are open. */
  readonly links: Map<string, BackendLink> = new Map();
  store!: Client;
  served: Served | undefined;
  readonly #gnttab: Gnttab;
  readonly #ports: Ports;
  readonly #cutter: Cutter;
  #tellKilled: () => void = () => {};

  static async start(platform: SimPlatform, socket: string, cut?: Cut): Promise<ToyBackend> {
    const toy = new ToyBackend(platform, socket, cut);
    toy.store = await connect({ connector: toy.#cutter });
    const service = { kind: KIND, hotplug: 'ordered' as const, open: toy.#open.bind(toy) };
    const serving = serveBackends(service, {
      store: toy.store,
      domid: 0,
      log: (line) => toy.log.push(line),
    }).then((served) => {
      toy.served = served;
    });
    await Promise.race([serving, toy.killed]);
    serving.catch(() => {});
    return toy;
  }

  private constructor(platform: SimPlatform, socket: string, cut: Cut | undefined) {
    this.#gnttab = platform.openGnttab();
    this.#ports = new Ports(platform);
    this.killed = new Promise((resolve) => {
      this.#tellKilled = resolve;
    });
    this.#cutter = new Cutter(socket, cut, () => {
      this.#tellKilled();
      this.kill();
    });
  }

  /** Whether the cut has been reached. */
  get wasCut(): boolean {
    return this.#cutter.done;
  }

  get messages(): number {
    return this.#cutter.messages;
  }

  /** As kill -9. */
  kill(): void {
    if (this.#cutter.dead) return;
    this.#cutter.dead = true;
    this.#ports.handle.close();
    for (const mapping of this.mapped.values()) mapping.unmap();
    this.mapped.clear();
    this.#gnttab.close();
    // After the message that may still go out.
    setImmediate(() => setImmediate(() => void this.store?.close()));
  }

  async stop(): Promise<void> {
    if (this.#cutter.dead) return;
    await this.served?.close();
    await this.store.close();
    this.kill();
  }

  async #open(link: BackendLink): Promise<BackendDevice<Offer>> {
    const { path, device } = link;
    if (this.refuse.has(path)) throw new Error('there is no such toy');
    if (this.hang.has(path)) await new Promise(() => {});
    this.opened += 1;
    this.links.set(path, link);
    let port = 0;
    return {
      features: { 'feature-toy': '1' },
      readFront: readOffer,
      connect: async ({ ringRef, eventChannel }, how) => {
        if (this.mapped.has(path)) throw new Error('mapped twice');
        const mapping = this.#gnttab.mapGrantRef(device.frontendDomid, ringRef, 'rw');
        try {
          port = this.#ports.handle.bindInterdomain(device.frontendDomid, eventChannel);
        } catch (error) {
          mapping.unmap();
          throw error;
        }
        this.mapped.set(path, mapping);
        this.connected.push(`${path} ${how}`);
        this.#ports.serve(port, () => {
          const page = mapping.page(0);
          if (page[0] === page[1]) return;
          page[1] = page[0]!;
          this.#ports.handle.notify(port);
        });
        return { size: '1' };
      },
      disconnect: async () => {
        if (!this.mapped.has(path)) throw new Error('unmapped twice');
        this.mapped.get(path)?.unmap();
        this.mapped.delete(path);
        this.#ports.close(port);
      },
      close: () => {
        this.opened -= 1;
        this.links.delete(path);
      },
    };
  }
}
