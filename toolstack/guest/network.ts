/**
 * A small guest on the network: each of its interfaces that has an address (`vm-data/vif/<number>/address`) is a host that answers ARP, ping and UDP
 * echo; the first one's address is in `data/address`, for those who may read it. It pings whom it is told to, once a second, and
 * `data/ping/<domid>` says how that goes.
 */
import { netfront } from '../../netback/vif/front/driver.ts';
import { NetHost } from '../../netback/vif/front/host.ts';
import type { Platform } from '../../osdep/platform.ts';
import { type Driven, runFrontends } from '../../xenstored/client/frontend.ts';
import type { Client } from '../../xenstored/client/index.ts';

const PAUSE_MS = 1000;
const PING_BYTES = 56;

export interface NetworkOptions {
  readonly platform: Platform;
  readonly store: Client;
  readonly print: (text: string) => void;
}

export class GuestNetwork {
  readonly #options: NetworkOptions;
  readonly #hosts = new Map<number, NetHost>();

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  async drive(): Promise<Driven> {
    const { platform, store, print } = this.#options;
    const driver = netfront({
      platform,
      onInterface: ({ devid, mac, send }) => {
        void this.#settle(devid, mac, send);
        return (frame, meta) => this.#hosts.get(devid)?.receive(frame, meta);
      },
    });
    return await runFrontends(driver, { store, log: print });
  }

  /** For as long as the signal lets it. `address`: of the other, as it is each time; undefined: not known yet. */
  async pingOn(
    domid: string,
    address: () => Promise<string | undefined>,
    signal: AbortSignal,
  ): Promise<void> {
    const { platform, store } = this.#options;
    const { clock, random } = platform;
    let answers = 0;
    while (!signal.aborted) {
      const host = [...this.#hosts.values()][0];
      const to = host === undefined ? '' : ((await address()) ?? '');
      if (host !== undefined && to !== '') {
        const started = clock.now();
        const text = await host.ping(to, random.bytes(PING_BYTES)).then(
          () => `${++answers} answers, the last in ${(clock.now() - started).toFixed(1)} ms`,
          () => `${answers} answers, the last is missing`,
        );
        await store.write(`data/ping/${domid}`, text);
      }
      await new Promise<void>((resolve) => clock.after(PAUSE_MS, resolve));
    }
  }

  async #settle(devid: number, mac: Uint8Array, send: (frame: Uint8Array) => void): Promise<void> {
    const { platform, store, print } = this.#options;
    const { clock } = platform;
    try {
      const range = await store.findText(`vm-data/vif/${devid}/address`);
      const address = range?.split('/')[0];
      print(`interface ${devid} is connected${address === undefined ? '' : `: ${address}`}`);
      if (address === undefined) return;
      this.#hosts.set(devid, new NetHost({ mac, address, send, clock }));
      if (devid === Math.min(...this.#hosts.keys())) await store.write('data/address', address);
    } catch (error) {
      print(`interface ${devid}: ${error}`);
    }
  }
}
