/** A guest whose rings are the test's own: it shakes hands by itself, writes what it likes, and reads what comes back. */
import { CTRL_SLOT_BYTES, RX_SLOT_BYTES, TX_SLOT_BYTES } from '../../netback/vif/core/netif.ts';
import type { Evtchn } from '../../osdep/evtchn.ts';
import type { SharedPages } from '../../osdep/gntshr.ts';
import { Front } from '../../osdep/ring/slotring.ts';
import type { SimPlatform } from '../../osdep/sim/platform.ts';
import type { Client } from '../../xenstored/client/index.ts';
import { until } from '../blkback/io-host.ts';
import { attachVif, type PacketHost } from './io-host.ts';
import { rxSlot } from './kit.ts';

const TX = 0;
const RX = 1;
const CTRL = 2;
const RINGS = 3;

export class RawGuest {
  readonly domid: number;
  readonly platform: SimPlatform;
  readonly store: Client;
  /** The rings' pages, then as many as were asked for. */
  readonly pages: SharedPages;
  readonly tx: Front;
  readonly rx: Front;
  readonly ctrl: Front;
  readonly evtchn: Evtchn;
  readonly #dom0: Client;
  readonly #ports: readonly [number, number];
  /** Of the responses; somebody waits for the next. */
  #wake: () => void = () => {};

  private constructor(
    host: PacketHost,
    guest: { domid: number; platform: SimPlatform; store: Client },
    data: number,
  ) {
    this.domid = guest.domid;
    this.platform = guest.platform;
    this.store = guest.store;
    this.#dom0 = host.dom0;
    this.pages = guest.platform.openGntshr().sharePages(0, RINGS + data, 'rw');
    this.tx = Front.init(this.pages.page(TX), TX_SLOT_BYTES);
    this.rx = Front.init(this.pages.page(RX), RX_SLOT_BYTES);
    this.ctrl = Front.init(this.pages.page(CTRL), CTRL_SLOT_BYTES);
    this.evtchn = guest.platform.openEvtchn();
    this.#ports = [this.evtchn.bindUnboundPort(0), this.evtchn.bindUnboundPort(0)];
    this.evtchn.onReadable(() => {
      for (let port = this.evtchn.pending(); port !== undefined; port = this.evtchn.pending())
        this.evtchn.unmask(port);
      this.#wake();
    });
  }

  /** A booted guest with an interface that is ordered and not connected. */
  static async boot(
    host: PacketHost,
    mac: string,
    data = 1,
    ordered: Readonly<Record<string, string>> = {},
  ): Promise<RawGuest> {
    const guest = new RawGuest(host, await host.bareGuest(), data);
    await attachVif(host.dom0, guest.domid, mac, ordered);
    return guest;
  }

  get back(): string {
    return `/local/domain/0/backend/vif/${this.domid}/0`;
  }

  /** Its own data pages. */
  page(index: number): Uint8Array {
    return this.pages.page(RINGS + index);
  }

  gref(index: number): number {
    return this.pages.refs[RINGS + index]!;
  }

  /** Goes through the handshake with keys of its choice beyond the usual ones. */
  async connect(keys: Readonly<Record<string, string>> = {}): Promise<void> {
    await until(this.#dom0, `${this.back}/state`, (state) => state === '2');
    const all = {
      'tx-ring-ref': `${this.pages.refs[TX]}`,
      'rx-ring-ref': `${this.pages.refs[RX]}`,
      'ctrl-ring-ref': `${this.pages.refs[CTRL]}`,
      'event-channel': `${this.#ports[0]}`,
      'event-channel-ctrl': `${this.#ports[1]}`,
      'request-rx-copy': '1',
      'feature-rx-notify': '1',
      ...keys,
    };
    for (const [key, value] of Object.entries(all)) await this.store.write(`device/vif/0/${key}`, value);
    await this.enter('4');
    await until(this.#dom0, `${this.back}/state`, (state) => state === '4');
  }

  async enter(state: string): Promise<void> {
    await this.store.write('device/vif/0/state', state);
  }

  /** Its error node, once there is one. */
  async error(): Promise<string | undefined> {
    const node = `/local/domain/0/error/backend/vif/${this.domid}/0/error`;
    return until(this.#dom0, node, (text) => text !== undefined);
  }

  notify(which: 'data' | 'control' = 'data'): void {
    this.evtchn.notify(this.#ports[which === 'data' ? 0 : 1]);
  }

  /** Gives the backend a page to fill. */
  post(id: number, gref: number): void {
    this.rx.request(rxSlot(id, gref));
  }

  /** Shows what was put and rings, whether that is wanted or not. */
  send(ring: Front): void {
    ring.publish();
    this.notify(ring === this.ctrl ? 'control' : 'data');
  }

  /** So many responses, when they are there. */
  async take(ring: Front, count: number): Promise<readonly Uint8Array[]> {
    const slot = ring === this.ctrl ? CTRL_SLOT_BYTES : ring === this.tx ? TX_SLOT_BYTES : RX_SLOT_BYTES;
    const taken: Uint8Array[] = [];
    while (taken.length < count) {
      const there = ring.finalCheck();
      if (!there.ok) throw new Error('more responses than requests');
      if (there.slots === 0)
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      for (let left = Math.min(there.slots, count - taken.length); left > 0; left--) {
        const into = new Uint8Array(slot);
        ring.take(into);
        taken.push(into);
      }
    }
    return taken;
  }
}
