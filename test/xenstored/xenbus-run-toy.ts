/**
 * A toy device on the test kit's host, for tests of those who run handshakes: one granted page and one port. The frontend counts up the first byte, the backend
 * copies it to the second. Both ends tell the test what they have in hand.
 */
import type { Evtchn } from '../../osdep/evtchn.ts';
import type { SharedPages } from '../../osdep/gntshr.ts';
import type { Mapping } from '../../osdep/mapping.ts';
import { type Driven, runFrontends } from '../../xenstored/client/index.ts';
import { Checker, type KeyReader } from '../../xenstored/xenbus/value.ts';
import type {
  Actor,
  ActorOptions,
  BackendDevice,
  BackendLink,
  BackendService,
  Device,
  DeviceOrder,
  FrontendDevice,
  FrontendLink,
  Guest,
  SimHost,
} from '../kit/index.ts';

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

/** An event channel file for one port, and what is done when that fires. */
function bell({ platform }: Actor, rung: () => void): Evtchn {
  const evtchn = platform.openEvtchn();
  evtchn.onReadable(() => {
    for (let port = evtchn.pending(); port !== undefined; port = evtchn.pending()) {
      evtchn.unmask(port);
      rung();
    }
  });
  return evtchn;
}

/** A process that serves toys. */
export class ToyBackend {
  readonly actor: Actor;
  /** By their devices' paths. */
  readonly mapped: Map<string, Mapping> = new Map();
  /** How each was connected. */
  readonly connected: string[] = [];
  /** The links of devices that are open. */
  readonly links: Map<string, BackendLink> = new Map();
  /** Devices, by their path, whose `open` fails, or never ends. */
  readonly refuse: Set<string> = new Set();
  readonly hang: Set<string> = new Set();

  static async serve(host: SimHost, options: ActorOptions = {}): Promise<ToyBackend> {
    let toys: ToyBackend | undefined;
    const make = (actor: Actor): BackendService<Offer> => {
      toys = new ToyBackend(actor);
      return { kind: KIND, hotplug: 'ordered', open: (link) => toys!.#open(link) };
    };
    const actor = await host.backend(make, options);
    return toys ?? new ToyBackend(actor);
  }

  private constructor(actor: Actor) {
    this.actor = actor;
  }

  async #open(link: BackendLink): Promise<BackendDevice<Offer>> {
    const { path, device } = link;
    if (this.refuse.has(path)) throw new Error('there is no such toy');
    if (this.hang.has(path)) await new Promise(() => {});
    this.links.set(path, link);
    const gnttab = this.actor.platform.openGnttab();
    let evtchn: Evtchn | undefined;
    const disconnect = async (): Promise<void> => {
      if (!this.mapped.has(path)) throw new Error('unmapped twice');
      this.mapped.get(path)?.unmap();
      this.mapped.delete(path);
      evtchn?.close();
    };
    return {
      features: { 'feature-toy': '1' },
      readFront: readOffer,
      connect: async ({ ringRef, eventChannel }, how) => {
        if (this.mapped.has(path)) throw new Error('mapped twice');
        const mapping = gnttab.mapGrantRef(device.frontendDomid, ringRef, 'rw');
        this.mapped.set(path, mapping);
        const answers = bell(this.actor, () => {
          // Answered though it may be copied: a predecessor may have died between the two.
          const page = mapping.page(0);
          page[1] = page[0]!;
          answers.notify(port);
        });
        evtchn = answers;
        let port = 0;
        try {
          port = answers.bindInterdomain(device.frontendDomid, eventChannel);
        } catch (error) {
          await disconnect();
          throw error;
        }
        this.connected.push(`${path} ${how}`);
        return { size: '1' };
      },
      disconnect,
      close: () => void this.links.delete(path),
    };
  }
}

/** A guest with toys. */
export class ToyGuest {
  readonly guest: Guest;
  /** By their numbers. */
  readonly toys: Map<number, ToyFrontend> = new Map();
  readonly #host: SimHost;
  #driven: Driven | undefined;
  #nextDevid = 0;

  static async boot(host: SimHost): Promise<ToyGuest> {
    const guest = new ToyGuest(host, await host.guest());
    await guest.drive();
    return guest;
  }

  private constructor(host: SimHost, guest: Guest) {
    this.#host = host;
    this.guest = guest;
  }

  async drive(): Promise<void> {
    const { guest } = this;
    const open = (link: FrontendLink): FrontendDevice => {
      const toy = new ToyFrontend(link, guest, () => this.toys.delete(link.devid));
      this.toys.set(link.devid, toy);
      return toy;
    };
    const options = {
      store: guest.store,
      clock: guest.platform.clock,
      log: (line: string) => guest.log(line),
    };
    this.#driven = await this.#host.done(runFrontends({ kind: KIND, published: 3, open }, options));
  }

  /** The driver forgets everything: kexec, but for its memory, which stays granted. */
  async forget(): Promise<void> {
    if (this.#driven !== undefined) await this.#host.done(this.#driven.close());
    this.toys.clear();
  }

  /** One more, under a number of its own. */
  attach(order: Pick<DeviceOrder, 'backend'> = {}): Device {
    return this.#host.attach({ kind: KIND, guest: this.guest, devid: this.#nextDevid++, ...order });
  }

  async attached(): Promise<Device> {
    const device = this.attach();
    await this.#host.connected(device);
    return device;
  }

  front({ name }: Device): ToyFrontend {
    return this.toys.get(name.devid)!;
  }

  /** One byte there and back, whoever serves it meanwhile. */
  async exchange(device: Device): Promise<void> {
    await this.#host.done(this.front(device).exchange(), `a byte goes through ${device.front} and back`);
  }
}

export class ToyFrontend implements FrontendDevice {
  readonly link: FrontendLink;
  released = 0;
  refreshed = 0;
  readonly #guest: Guest;
  readonly #gone: () => void;
  #shared: { readonly pages: SharedPages; readonly evtchn: Evtchn; readonly port: number } | undefined;
  /** The byte that is under way. */
  #exchange: Promise<void> | undefined;
  #answered: () => void = () => {};

  constructor(link: FrontendLink, guest: Guest, gone: () => void) {
    this.link = link;
    this.#guest = guest;
    this.#gone = gone;
  }

  async share(): Promise<Record<string, string>> {
    const { backendDomid } = this.link;
    const pages = this.#guest.platform.openGntshr().sharePages(backendDomid, 1, 'rw');
    const evtchn = bell(this.#guest, () => this.#look());
    const port = evtchn.bindUnboundPort(backendDomid);
    this.#shared = { pages, evtchn, port };
    return { 'ring-ref': `${pages.refs[0]}`, 'event-channel': `${port}` };
  }

  async activate(): Promise<void> {}

  refresh(): void {
    this.refreshed += 1;
  }

  async quiesce(gone: AbortSignal): Promise<void> {
    if (this.#exchange === undefined || gone.aborted) return;
    const aborted = new Promise<void>((resolve) => {
      gone.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.race([this.#exchange, aborted]);
  }

  release(): void {
    this.released += 1;
    this.#shared?.evtchn.close();
    this.#shared?.pages.unmap();
    this.#shared = undefined;
  }

  close(): void {
    this.#gone();
  }

  async exchange(): Promise<void> {
    const { pages, evtchn, port } = this.#shared!;
    const page = pages.page(0);
    page[0] = (page[0]! + 1) & 0xff;
    this.#exchange = new Promise<void>((resolve) => {
      this.#answered = resolve;
    });
    evtchn.notify(port);
    await this.#exchange;
  }

  #look(): void {
    const page = this.#shared?.pages.page(0);
    if (page === undefined || page[0] !== page[1]) return;
    this.#answered();
    this.#exchange = undefined;
  }
}
