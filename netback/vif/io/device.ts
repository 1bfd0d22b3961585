/**
 * One interface of one guest, as the handshake's runner sees it: ordered, connected with the guest's rings, let go. Knows the store through
 * its link alone.
 */
import type { Clock } from '../../../osdep/clock.ts';
import type { Gnttab } from '../../../osdep/gnttab.ts';
import type { Ports } from '../../../osdep/ports.ts';
import type { BackendDevice, BackendLink } from '../../../xenstored/client/backend.ts';
import type { Keys } from '../../../xenstored/xenbus/backend-events.ts';
import {
  readVifFront,
  readVifOrder,
  type VifFeatures,
  type VifFrontKeys,
  type VifOffer,
  type VifOrder,
} from '../../../xenstored/xenbus/vif.ts';
import { Vif } from '../core/vif.ts';
import type { Exchange, Member } from './exchange.ts';
import { Hands } from './hands.ts';
import type { Place, Places } from './lan.ts';

const offer: VifOffer = { maxQueues: 4, splitEventChannels: true, ctrlRing: false };

/** Checksums may be blank; packets may be no larger than on the wire, since nobody here would cut them. */
const features: VifFeatures = {
  sg: true,
  gsoTcpv4: false,
  gsoTcpv6: false,
  ipv4CsumOffload: true,
  ipv6CsumOffload: true,
};

export interface DeviceOptions {
  readonly link: BackendLink;
  readonly clock: Pick<Clock, 'now'>;
  readonly gnttab: Gnttab;
  readonly ports: Ports;
  readonly exchange: Exchange;
  readonly places: Places;
  /** One line. */
  readonly log: (line: string) => void;
}

interface Connection {
  readonly hands: Hands;
  readonly member: Member;
}

export class VifDevice implements BackendDevice<VifFrontKeys> {
  readonly features: Keys = {
    'feature-sg': '1',
    'feature-rx-copy': '1',
    'feature-ipv6-csum-offload': '1',
    'feature-multicast-control': '1',
    'feature-split-event-channels': '1',
    'multi-queue-max-queues': `${offer.maxQueues}`,
  };
  readonly #options: DeviceOptions;
  readonly #order: VifOrder;
  readonly #place: Place;
  #connection: Connection | undefined;

  private constructor(options: DeviceOptions, order: VifOrder, place: Place) {
    this.#options = options;
    this.#order = order;
    this.#place = place;
  }

  static async open(options: DeviceOptions): Promise<VifDevice> {
    const { link, places } = options;
    const order = await link.read(readVifOrder());
    return new VifDevice(options, order, await places(link, order));
  }

  readFront(): ReturnType<typeof readVifFront> {
    return readVifFront(offer);
  }

  async connect(front: VifFrontKeys, how: 'fresh' | 'attach'): Promise<Keys> {
    const { link, clock, gnttab, ports, exchange, log } = this.#options;
    const { frontendDomid: domid } = link.device;
    const hands = new Hands({ gnttab, ports, domid, front, onEvent: () => exchange.schedule() });
    const vif = new Vif(
      this.#place.lan.network,
      { domid, order: this.#order, front, offer: features },
      clock.now(),
    );
    hands.serve(vif);
    const member = { vif, hands, onBroken: (reason: string) => link.broken(reason) };
    this.#connection = { hands, member };
    exchange.add(member);
    this.#place.connected(vif, front);
    if (how === 'attach') hands.notify();
    const queues = front.queues.length;
    const verb = how === 'fresh' ? 'connected' : 'taken over';
    log(`${link.path}: ${verb}: ${queues} ${queues === 1 ? 'queue' : 'queues'}`);
    return {};
  }

  async disconnect(): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#connection = undefined;
    this.#place.disconnected();
    this.#options.exchange.remove(connection.member);
    connection.hands.close();
  }

  changed(key: string): void {
    this.#place.changed(key);
  }

  close(why: 'gone' | 'stop'): void {
    this.#place.close(why);
  }
}
