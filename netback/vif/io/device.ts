/**
 * One interface of one guest, as the handshake's runner sees it: ordered, connected with the guest's rings, let go. Knows the store through
 * its link alone.
 */
import { join } from 'node:path';
import type { Clock } from '../../../osdep/clock.ts';
import type { Gnttab } from '../../../osdep/gnttab.ts';
import type { Ports } from '../../../osdep/ports.ts';
import type { BackendDevice, BackendLink, DeviceStatistics } from '../../../xenstored/client/backend.ts';
import { forgetRecord, RecordFile } from '../../../xenstored/client/ringrecord.ts';
import type { Keys } from '../../../xenstored/xenbus/backend-events.ts';
import { parseNumber } from '../../../xenstored/xenbus/value.ts';
import {
  readVifFront,
  readVifOrder,
  type VifFeatures,
  type VifFrontKeys,
  type VifOffer,
  type VifOrder,
} from '../../../xenstored/xenbus/vif.ts';
import { Vif } from '../core/vif.ts';
import type { Exchange } from './exchange.ts';
import { Hands, recordsOf } from './hands.ts';
import type { Place, Places } from './lan.ts';
import { Member } from './members.ts';

const offer: VifOffer = { maxQueues: 4, splitEventChannels: true, ctrlRing: true };

/** Checksums may be blank and TCP packets large: whoever cannot take them gets them completed, or cut into segments. */
const features: VifFeatures = {
  sg: true,
  gsoTcpv4: true,
  gsoTcpv6: true,
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
  /** Where records of rings lie (xenstored/client/ringrecord.ts). */
  readonly recordDir: string;
  readonly onClosed: () => void;
  /** One line. */
  readonly log: (line: string) => void;
}

interface Connection {
  readonly hands: Hands;
  readonly member: Member;
  readonly records: RecordFile;
}

export class VifDevice implements BackendDevice<VifFrontKeys> {
  readonly features: Keys = {
    'feature-sg': '1',
    'feature-gso-tcpv4': '1',
    'feature-gso-tcpv6': '1',
    'feature-rx-copy': '1',
    'feature-ipv6-csum-offload': '1',
    'feature-multicast-control': '1',
    'feature-dynamic-multicast-control': '1',
    'feature-split-event-channels': '1',
    'feature-ctrl-ring': '1',
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
    const { link, log } = this.#options;
    this.#connection = this.#attach(front, how);
    try {
      this.#place.connected(this.#connection.member.vif, front);
    } catch (error) {
      await this.disconnect();
      throw error;
    }
    const queues = front.queues.length;
    const verb = how === 'fresh' ? 'connected' : 'taken over';
    log(`${link.path}: ${verb}: ${queues} ${queues === 1 ? 'queue' : 'queues'}`);
    return { carrier: '1' };
  }

  /** The guest has other wishes about multicast. */
  frontChanged(request: string | undefined): void {
    const vif = this.#connection?.member.vif;
    if (vif !== undefined) vif.filtersMulticast = (parseNumber(request, 0, 0xffff_ffff) ?? 0) !== 0;
  }

  async disconnect(): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#connection = undefined;
    this.#options.exchange.remove(connection.member);
    connection.hands.close();
    connection.records.leave();
    this.#place.disconnected();
  }

  changed(key: string): void {
    this.#place.changed(key);
  }

  /** Since it was connected; undefined: it is not. */
  get statistics(): DeviceStatistics | undefined {
    const vif = this.#connection?.member.vif;
    return vif && { path: this.#options.link.path, counters: { ...vif.statistics } };
  }

  close(why: 'gone' | 'stop'): void {
    this.#options.onClosed();
    if (why === 'gone') forgetRecord(this.#recordPath);
    this.#place.close(why);
  }

  get #recordPath(): string {
    const { link, recordDir } = this.#options;
    return join(recordDir, `${link.device.frontendDomid}-${link.device.devid}`);
  }

  #attach(front: VifFrontKeys, how: 'fresh' | 'attach'): Connection {
    const { link, clock, gnttab, ports, exchange } = this.#options;
    const { frontendDomid: domid } = link.device;
    const records = new RecordFile(this.#recordPath, recordsOf(front), how);
    let member: Member | undefined;
    const wake = (): void => {
      if (member !== undefined) exchange.wake(member);
    };
    const onWaiting = (): void => {
      if (member !== undefined) exchange.deliver(member);
    };
    let hands: Hands;
    try {
      hands = new Hands({ gnttab, ports, domid, front, records, onEvent: wake });
    } catch (error) {
      records.close();
      throw error;
    }
    const { lan } = this.#place;
    const { orders } = hands;
    const kept = orders === undefined ? {} : { orders };
    const options = { domid, order: this.#order, front, offer: features, onWaiting, ...kept };
    const vif = new Vif(lan.network, options, Math.floor(clock.now()));
    hands.serve(vif);
    member = new Member({ vif, hands, lan, onBroken: (reason) => link.broken(reason) });
    if (how === 'attach') {
      hands.notify();
      exchange.settle();
    }
    wake();
    return { hands, member, records };
  }
}
