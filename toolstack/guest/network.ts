/**
 * A small guest on the network: each of its interfaces that is given an address (`vm-data/vif/<number>/address`; `dhcp`: by a server) is a host that
 * answers ARP, ping and UDP echo; the first one's address is in `data/address`, for those who may read it. It pings whom it is told to, once
 * a second, and `data/ping/<domid>` says how that goes.
 */
import { type Interface, netfront } from '../../netback/vif/front/driver.ts';
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
      onInterface: (nic) => {
        void this.#settle(nic).catch((error: unknown) => print(`interface ${nic.devid}: ${error}`));
        return (frame, meta) => this.#hosts.get(nic.devid)?.receive(frame, meta);
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

  async #settle({ devid, mac, mtu, send, closed }: Interface): Promise<void> {
    const { platform, store, print } = this.#options;
    const { clock, random } = platform;
    print(`interface ${devid} is connected`);
    const address = await store.findText(`vm-data/vif/${devid}/address`);
    if (address === undefined || closed.aborted) return;
    const onAddress = (now: string | undefined): void => {
      print(`interface ${devid}: ${now ?? 'no address'}`);
      if (devid !== Math.min(devid, ...this.#hosts.keys())) return;
      store.write('data/address', now ?? '').catch((error: unknown) => print(`data/address: ${error}`));
    };
    const host = new NetHost({ mac, mtu, address, send, clock, random, onAddress });
    this.#hosts.set(devid, host);
    closed.addEventListener('abort', () => {
      host.close();
      if (this.#hosts.get(devid) === host) this.#hosts.delete(devid);
    });
  }
}
