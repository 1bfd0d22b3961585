/**
 * A guest's socket device whose backend is the test: it publishes what it likes, sees each request as it stands in the ring, answers as it pleases, and
 * maps data rings as a backend does.
 */
import { afterEach } from 'vitest';
import {
  Command,
  decodeRequest,
  encodeResponse,
  type Request,
  type Response,
  SLOT_BYTES,
} from '../../netback/xensock/core/pvcalls.ts';
import { type SockfrontOptions, sockfront } from '../../netback/xensock/front/device.ts';
import type { XenSock } from '../../netback/xensock/front/xensock.ts';
import { DataRing } from '../../netback/xensock/io/dataring.ts';
import type { Clock } from '../../osdep/clock.ts';
import type { Gnttab } from '../../osdep/gnttab.ts';
import { Ports } from '../../osdep/ports.ts';
import { Page } from '../../osdep/ring/page.ts';
import { Back } from '../../osdep/ring/slotring.ts';
import { type Driven, runFrontends } from '../../xenstored/client/frontend.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { until } from '../blkback/io-host.ts';
import { SimHost } from '../conformance/simhost.ts';
import { type BareGuest, bootBareGuest } from '../xenstored/client-guest.ts';
import { attachSock } from './sock-rawguest.ts';

export const plainOffer: Readonly<Record<string, string>> = {
  versions: '1',
  'max-page-order': '9',
  'function-calls': '1',
};
export const fullOffer: Readonly<Record<string, string>> = { ...plainOffer, 'feature-xensock': '1' };

/** Those of the test that is running. */
const fakes: FakeSockBackend[] = [];
afterEach(async () => {
  for (const fake of fakes.splice(0)) await fake.stop();
});

/** What a request gets; undefined: no answer yet. */
type Answer = (request: Request, backend: FakeSockBackend) => number | undefined;

export class FakeSockBackend {
  readonly sim: SimHost;
  readonly dom0: Client;
  readonly guest: BareGuest;
  readonly driven: Driven;
  readonly gnttab: Gnttab;
  readonly ports: Ports;
  readonly front: string;
  readonly path: string;
  readonly log: string[] = [];
  /** All requests so far. */
  readonly seen: Request[] = [];
  /** Settled by `answer`, else 0. */
  answer: Answer = () => 0;
  readonly #driver: Promise<XenSock>;
  readonly #delayed: (() => void)[];
  readonly #wakes = new Set<() => void>();
  back: Back | undefined;
  page: Page | undefined;
  #port = 0;

  private constructor(parts: {
    readonly sim: SimHost;
    readonly dom0: Client;
    readonly guest: BareGuest;
    readonly driven: Driven;
    readonly driver: Promise<XenSock>;
    readonly delayed: (() => void)[];
  }) {
    this.sim = parts.sim;
    this.dom0 = parts.dom0;
    this.guest = parts.guest;
    this.driven = parts.driven;
    this.#driver = parts.driver;
    this.#delayed = parts.delayed;
    const own = this.sim.machine.platformFor(0);
    this.gnttab = own.openGnttab();
    this.ports = new Ports(own.openEvtchn());
    const { domid } = parts.guest;
    this.front = `/local/domain/${domid}/device/pvcalls/0`;
    this.path = `/local/domain/0/backend/pvcalls/${domid}/0`;
  }

  /** A guest with its driver, and a device whose backend has said nothing yet. Stops after the test. */
  static async boot(options: Partial<SockfrontOptions> = {}): Promise<FakeSockBackend> {
    const sim = await SimHost.start(['--database', 'memory']);
    const dom0 = await connect({ path: sim.socketPath });
    const guest = await bootBareGuest(sim, dom0);
    let found: (driver: XenSock) => void = () => {};
    const driver = new Promise<XenSock>((resolve) => {
      found = resolve;
    });
    const { store } = guest;
    const delayed: (() => void)[] = [];
    const clock: Clock = {
      now: () => guest.platform.clock.now(),
      wallNow: () => guest.platform.clock.wallNow(),
      after(_, then) {
        delayed.push(then);
        return () => void delayed.splice(delayed.indexOf(then), 1);
      },
    };
    const platform = {
      clock,
      openEvtchn: () => guest.platform.openEvtchn(),
      openGntshr: () => guest.platform.openGntshr(),
    };
    const front = sockfront({ platform, onDriver: (_, made) => found(made), ...options });
    const driven = await runFrontends(front, { store });
    await attachSock(dom0, guest.domid);
    const fake = new FakeSockBackend({ sim, dom0, guest, driven, driver, delayed });
    fakes.push(fake);
    return fake;
  }

  get driver(): Promise<XenSock> {
    return this.#driver;
  }

  async offer(keys: Readonly<Record<string, string>>): Promise<void> {
    for (const [key, value] of Object.entries(keys)) await this.dom0.write(`${this.path}/${key}`, value);
    await this.state(2);
  }

  /** Takes the frontend's ring and is connected. */
  async accept(): Promise<void> {
    await this.guestState(3);
    const { domid } = this.guest;
    const bytes = this.gnttab.mapGrantRef(domid, Number(await this.key('ring-ref')), 'rw').bytes;
    this.page = new Page(bytes);
    this.back = Back.attach(bytes, SLOT_BYTES);
    this.#port = this.ports.bind(domid, Number(await this.key('port')), () => this.#serve());
    await this.state(4);
    await this.guestState(4);
  }

  /** What the guest does later, it does now. */
  later(): void {
    for (const then of this.#delayed.splice(0)) then();
  }

  key(name: string): Promise<string | undefined> {
    return this.dom0.findText(`${this.front}/${name}`);
  }

  async state(state: number): Promise<void> {
    await this.dom0.write(`${this.path}/state`, `${state}`);
  }

  async guestState(wanted: number): Promise<void> {
    await until(this.dom0, `${this.front}/state`, (state) => state === `${wanted}`);
  }

  /** The guest's complaint. */
  error(): Promise<string | undefined> {
    const path = `/local/domain/${this.guest.domid}/error/device/pvcalls/0/error`;
    return until(this.dom0, path, (text) => text !== undefined);
  }

  respond(...responses: readonly Response[]): void {
    const slot = new Uint8Array(SLOT_BYTES);
    for (const response of responses) {
      encodeResponse(response, slot);
      this.back!.respond(slot);
    }
    this.back!.publish();
    this.ring();
  }

  /** The answer to a request of before. */
  settle({ reqId, command, id }: Request, ret: number, data?: Uint8Array): void {
    this.respond({ reqId, command, id, ret, ...(data && { data }) });
  }

  ring(): void {
    this.ports.notify(this.#port);
  }

  /** Settles when the guest has asked for it: the nth request of that command. */
  async asked(command: number, nth = 1): Promise<Request> {
    const those = (): readonly Request[] => this.seen.filter((request) => request.command === command);
    while (those().length < nth)
      await new Promise<void>((resolve) => {
        this.#wakes.add(resolve);
      });
    return those()[nth - 1]!;
  }

  /** A ring that a request names, and what to do when the guest rings. */
  dataRing({ call }: Request, onEvent: (ring: DataRing) => void = () => {}): DataRing {
    if (call === undefined || !('ref' in call)) throw new Error('a request without a ring');
    const { gnttab, ports } = this;
    const { ref, evtchn } = call;
    let open = true;
    const ring: DataRing = new DataRing({
      gnttab,
      ports,
      domid: this.guest.domid,
      ref,
      evtchn,
      onEvent: () => {
        // The first event comes before this is assigned.
        queueMicrotask(() => {
          if (!open) return;
          onEvent(ring);
          open = ring.isOpen;
          ring.listen();
        });
      },
    });
    return ring;
  }

  async stop(): Promise<void> {
    await this.driven.close();
    await this.guest.store.close();
    this.ports.close();
    await this.dom0.close();
    await this.sim.stop();
  }

  #serve(): void {
    const slot = new Uint8Array(SLOT_BYTES);
    for (let there = this.back!.finalCheck(); there.ok && there.slots > 0; there = this.back!.finalCheck()) {
      this.back!.take(slot);
      const request = decodeRequest(slot.slice());
      this.seen.push(request);
      const ret = this.answer(request, this);
      if (ret !== undefined) this.settle(request, ret);
    }
    this.ports.open(this.#port);
    for (const wake of [...this.#wakes]) wake();
  }
}

/** A backend and a driver that are connected. */
export async function started(
  options: Partial<SockfrontOptions> = {},
  offer: Readonly<Record<string, string>> = fullOffer,
): Promise<FakeSockBackend> {
  const fake = await FakeSockBackend.boot(options);
  await fake.offer(offer);
  await fake.accept();
  return fake;
}

/** Takes all there is, as a sink would; `step`: no more at a time. */
export function takeOut(ring: DataRing, step: number = Number.POSITIVE_INFINITY): Buffer {
  const parts: Buffer[] = [];
  for (let ready = ring.outReady(); ready > 0; ready = ring.outReady()) {
    const offset = ring.outOffset();
    const count = Math.min(ready, step, 2 * ring.size - offset);
    parts.push(Buffer.from(ring.memory.slice(offset, offset + count)));
    ring.took(count);
    if (step !== Number.POSITIVE_INFINITY) break;
  }
  ring.notify();
  return Buffer.concat(parts);
}

/** Gives as much as there is room for, and answers how much. */
export function giveIn(ring: DataRing, bytes: Uint8Array): number {
  let done = 0;
  while (done < bytes.length) {
    const offset = ring.inOffset();
    const count = Math.min(bytes.length - done, ring.inRoom(), ring.size - offset);
    if (count <= 0) break;
    ring.memory.set(bytes.subarray(done, done + count), offset);
    ring.gave(count);
    done += count;
  }
  ring.notify();
  return done;
}

/** A stream that sends back what it gets. */
export function echo(request: Request, backend: FakeSockBackend): number {
  if (request.command !== Command.CONNECT) return 0;
  let held = Buffer.alloc(0);
  backend.dataRing(request, (ring) => {
    held = Buffer.concat([held, takeOut(ring)]);
    held = held.subarray(giveIn(ring, held));
  });
  return 0;
}
