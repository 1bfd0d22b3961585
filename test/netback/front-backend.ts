/**
 * An interface whose backend is the test: it publishes what it likes, maps what the guest's driver has granted, takes requests and answers as it
 * pleases.
 */
import { type Interface, type NetfrontWishes, netfront } from '../../netback/vif/front/driver.ts';
import type { FrameMeta } from '../../netback/vif/front/meta.ts';
import { Page } from '../../osdep/ring/page.ts';
import { Back } from '../../osdep/ring/slotring.ts';
import { runFrontends } from '../../xenstored/client/frontend.ts';
import { until } from '../blkback/io-host.ts';
import { attachVif, type PacketHost } from './io-host.ts';

/** All that there is to offer. */
export const everything: Readonly<Record<string, string>> = {
  'feature-sg': '1',
  'feature-gso-tcpv4': '1',
  'feature-gso-tcpv6': '1',
  'feature-rx-copy': '1',
  'feature-ipv6-csum-offload': '1',
  'feature-multicast-control': '1',
  'feature-split-event-channels': '1',
  'feature-ctrl-ring': '1',
  'multi-queue-max-queues': '4',
};

/** One of the guest's rings, from the other end. */
export interface BackEnd {
  readonly page: Page;
  /** The next request, once it is there. */
  request(): Promise<Uint8Array>;
  /** Requests that are there. */
  readonly count: number;
  /** Puts answers, and rings. */
  answer(...responses: readonly Uint8Array[]): void;
  ring(): void;
}

export interface Received {
  readonly frame: Uint8Array;
  readonly meta: FrameMeta;
}

export interface FakeBackend {
  readonly domid: number;
  readonly nic: Interface;
  readonly received: Received[];
  readonly close: () => Promise<void>;
  key(name: string): Promise<string | undefined>;
  /** A ring by its keys: `queue-1/tx-ring-ref`, `queue-1/event-channel-tx`. */
  end(ringRef: string, port: string, slotBytes: number): Promise<BackEnd>;
  /** A page that the guest has granted. */
  granted(gref: number, access: 'r' | 'rw'): Uint8Array;
  state(state: number): Promise<void>;
  /** When the guest's state is that. */
  guestState(state: number): Promise<void>;
  /** The guest's complaint. */
  error(): Promise<string | undefined>;
}

export async function fakeBackend(
  host: PacketHost,
  wishes: Partial<NetfrontWishes> = {},
  offers: Readonly<Record<string, string>> = everything,
): Promise<FakeBackend> {
  const { dom0, sim } = host;
  const { domid, platform, store } = await host.bareGuest();
  const received: Received[] = [];
  let connected: (nic: Interface) => void = () => {};
  const nic = new Promise<Interface>((resolve) => {
    connected = resolve;
  });
  const onInterface = (made: Interface) => {
    connected(made);
    return (frame: Uint8Array, meta: FrameMeta) => void received.push({ frame, meta });
  };
  const driven = await runFrontends(netfront({ platform, wishes, onInterface }), { store });
  await attachVif(dom0, domid, '00:16:3e:00:00:01');
  const front = `/local/domain/${domid}/device/vif/0`;
  const path = `/local/domain/0/backend/vif/${domid}/0`;
  for (const [key, value] of Object.entries(offers)) await dom0.write(`${path}/${key}`, value);
  await dom0.write(`${path}/state`, '2');
  const guestState = async (wanted: number): Promise<void> => {
    await until(dom0, `${front}/state`, (state) => state === `${wanted}`);
  };
  await guestState(4);

  const own = sim.machine.platformFor(0);
  const [gnttab, evtchn] = [own.openGnttab(), own.openEvtchn()];
  const wakes = new Set<() => void>();
  evtchn.onReadable(() => {
    for (let fired = evtchn.pending(); fired !== undefined; fired = evtchn.pending()) evtchn.unmask(fired);
    for (const wake of [...wakes]) wake();
  });
  const key = (name: string): Promise<string | undefined> => dom0.findText(`${front}/${name}`);
  const end: FakeBackend['end'] = async (ringRef, portKey, slotBytes) => {
    const { bytes } = gnttab.mapGrantRef(domid, Number(await key(ringRef)), 'rw');
    const port = evtchn.bindInterdomain(domid, Number(await key(portKey)));
    const back = Back.attach(bytes, slotBytes);
    const counted = (): number => {
      const there = back.finalCheck();
      return there.ok ? there.slots : -1;
    };
    return {
      page: new Page(bytes),
      get count() {
        return counted();
      },
      async request() {
        while (counted() <= 0)
          await new Promise<void>((resolve) => {
            const wake = (): void => {
              wakes.delete(wake);
              resolve();
            };
            wakes.add(wake);
          });
        const slot = new Uint8Array(slotBytes);
        back.take(slot);
        return slot;
      },
      answer(...responses) {
        for (const response of responses) back.respond(response);
        back.publish();
        evtchn.notify(port);
      },
      ring: () => evtchn.notify(port),
    };
  };
  await dom0.write(`${path}/state`, '4');
  return {
    domid,
    nic: await nic,
    received,
    close: () => driven.close(),
    key,
    end,
    granted: (gref, access) => gnttab.mapGrantRef(domid, gref, access).bytes,
    state: (state) => dom0.write(`${path}/state`, `${state}`),
    guestState,
    error: () => until(dom0, `/local/domain/${domid}/error/device/vif/0/error`, (text) => text !== undefined),
  };
}

/** A tx response. */
export function sent(id: number, status: number): Uint8Array {
  const bytes = new Uint8Array(4);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, id, true);
  view.setInt16(2, status, true);
  return bytes;
}

/** An rx response. */
export function filled(id: number, offset: number, flags: number, status: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  for (const [at, value] of [id, offset, flags].entries()) view.setUint16(at * 2, value, true);
  view.setInt16(6, status, true);
  return bytes;
}
