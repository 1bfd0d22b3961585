// The toy's other end: a guest with a driver for it.
import type { Gntshr, SharedPages } from '../../osdep/gntshr.ts';
import type { SimPlatform } from '../../osdep/sim/platform.ts';
import {
  type Client,
  connect,
  type Driven,
  type FrontendDevice,
  type FrontendLink,
  runFrontends,
} from '../../xenstored/client/index.ts';
import { Ports } from './xenbus-run-ports.ts';
import { KIND } from './xenbus-run-toy.ts';

/** A guest with toys. */
export class ToyGuest {
  readonly domid: number;
  readonly store: Client;
  readonly toys: Map<number, ToyFrontend> = new Map();
  readonly log: string[] = [];
  readonly #platform: SimPlatform;
  #driven: Driven | undefined;

  static async boot(domid: number, platform: SimPlatform): Promise<ToyGuest> {
    const guest = new ToyGuest(domid, platform, await connect({ platform }));
    await guest.drive();
    return guest;
  }

  private constructor(domid: number, platform: SimPlatform, store: Client) {
    this.domid = domid;
    this.store = store;
    this.#platform = platform;
  }

  async drive(): Promise<void> {
    const ports = new Ports(this.#platform);
    const gntshr = this.#platform.openGntshr();
    const open = (link: FrontendLink): FrontendDevice => {
      const toy = new ToyFrontend(link, gntshr, ports, () => this.toys.delete(link.devid));
      this.toys.set(link.devid, toy);
      return toy;
    };
    this.#driven = await runFrontends(
      { kind: KIND, published: 3, open },
      { store: this.store, log: (line) => this.log.push(line) },
    );
  }

  /** The driver forgets everything: kexec, but for its memory, which stays granted. */
  async forget(): Promise<void> {
    await this.#driven?.close();
    this.toys.clear();
  }

  async stop(): Promise<void> {
    await this.#driven?.close();
    await this.store.close();
  }
}

export class ToyFrontend implements FrontendDevice {
  readonly link: FrontendLink;
  active = false;
  released = 0;
  refreshed = 0;
  readonly #gntshr: Gntshr;
  readonly #ports: Ports;
  readonly #gone: () => void;
  #shared: SharedPages | undefined;
  #port = 0;
  #waiting: (() => void) | undefined;

  constructor(link: FrontendLink, gntshr: Gntshr, ports: Ports, gone: () => void) {
    this.link = link;
    this.#gntshr = gntshr;
    this.#ports = ports;
    this.#gone = gone;
  }

  async share(): Promise<Record<string, string>> {
    const { backendDomid } = this.link;
    const shared = this.#gntshr.sharePages(backendDomid, 1, 'rw');
    this.#shared = shared;
    const port = this.#ports.handle.bindUnboundPort(backendDomid);
    this.#port = this.#ports.serve(port, () => this.#look());
    return { 'ring-ref': `${shared.refs[0]}`, 'event-channel': `${port}` };
  }

  async activate(): Promise<void> {
    this.active = true;
  }

  refresh(): void {
    this.refreshed += 1;
  }

  async quiesce(gone: AbortSignal): Promise<void> {
    this.active = false;
    if (this.#waiting === undefined || gone.aborted) return;
    const answered = this.#waiting;
    await new Promise<void>((resolve) => {
      gone.addEventListener('abort', () => resolve(), { once: true });
      this.#waiting = () => {
        answered();
        resolve();
      };
    });
  }

  release(): void {
    this.released += 1;
    this.#ports.close(this.#port);
    this.#shared?.unmap();
    this.#shared = undefined;
  }

  close(): void {
    this.#gone();
  }

  /** One byte there and back, whoever serves it meanwhile. */
  async exchange(): Promise<void> {
    const page = this.#shared!.page(0);
    page[0] = (page[0]! + 1) & 0xff;
    const answered = new Promise<void>((resolve) => {
      this.#waiting = resolve;
    });
    this.#ports.handle.notify(this.#port);
    await answered;
  }

  #look(): void {
    const page = this.#shared?.page(0);
    if (page === undefined || page[0] !== page[1]) return;
    const answered = this.#waiting;
    this.#waiting = undefined;
    answered?.();
  }
}
