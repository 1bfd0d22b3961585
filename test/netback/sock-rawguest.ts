/**
 * A guest whose socket device is the test's own: it shakes hands by itself, puts any bytes into the ring of commands and into data rings, and sees
 * what comes back. It obeys the protocol as far as a test lets it. Knows no backend.
 */
import {
  ADDRESS_BYTES,
  decodeAddress,
  encodeAddress,
  type InetAddress,
} from '../../netback/xensock/core/address.ts';
import {
  type Call,
  Command,
  decodeResponse,
  encodeRequest,
  Index,
  type Response,
  SLOT_BYTES,
} from '../../netback/xensock/core/pvcalls.ts';
import type { Evtchn } from '../../osdep/evtchn.ts';
import type { SharedPages } from '../../osdep/gntshr.ts';
import type { Platform } from '../../osdep/platform.ts';
import { Page } from '../../osdep/ring/page.ts';
import { Front } from '../../osdep/ring/slotring.ts';
import type { Client } from '../../xenstored/client/index.ts';
import { until } from '../blkback/io-host.ts';
import { writeDevice } from '../xenstored/client-guest.ts';

const PAGE = 4096;

/** A guest's own end, as `bootBareGuest` and the like give it. */
export interface BareEnd {
  readonly domid: number;
  readonly platform: Pick<Platform, 'openGntshr' | 'openEvtchn'>;
  readonly store: Client;
}

export interface RawOptions {
  readonly devid?: number;
  /** Who serves it. Default: 0. */
  readonly backendDomid?: number;
}

/** Writes a socket device's nodes, as libxl does. */
export async function attachSock(
  toolstack: Client,
  domid: number,
  { devid = 0, backendDomid = 0 }: RawOptions = {},
): Promise<void> {
  await writeDevice(toolstack, {
    device: { backendDomid, kind: 'pvcalls', frontendDomid: domid, devid },
    backend: {},
    frontend: {},
    frontendReadOnly: {},
  });
}

/** What a CONNECT or a BIND has of an address. */
export function addressed(address: InetAddress): { address: Uint8Array; addressLength: number } {
  const bytes = new Uint8Array(ADDRESS_BYTES);
  return { addressLength: encodeAddress(address, bytes), address: bytes };
}

/** `10.0.0.1` and a port. */
export function inet(ip: string, port: number): InetAddress {
  return { family: 2, ip: Uint8Array.from(ip.split('.').map(Number)), port, scope: 0 };
}

/** A data ring with its port: an index page, and the pages of both halves. */
export class RawRing {
  readonly order: number;
  /** Of a half. */
  readonly size: number;
  readonly index: Page;
  readonly pages: SharedPages;
  readonly evtchn: number;
  readonly #index: SharedPages;
  readonly #guest: RawSockGuest;
  #inCons = 0;
  #outProd = 0;

  constructor(guest: RawSockGuest, order: number) {
    this.#guest = guest;
    this.order = order;
    this.size = (PAGE << order) / 2;
    this.#index = guest.share(1);
    this.pages = guest.share(1 << order);
    this.index = new Page(this.#index.bytes);
    this.index.store(Index.RING_ORDER, order);
    this.pages.refs.slice(0, 512).forEach((ref, at) => {
      this.index.store(Index.REFS + 4 * at, ref);
    });
    this.evtchn = guest.port();
  }

  /** Of the index page: what a command names. */
  get ref(): number {
    return this.#index.refs[0]!;
  }

  /** For CONNECT, ACCEPT and ATTACH. */
  get ringed(): { readonly ref: number; readonly evtchn: number } {
    return { ref: this.ref, evtchn: this.evtchn };
  }

  get inError(): number {
    return this.index.load(Index.IN_ERROR) | 0;
  }

  get outError(): number {
    return this.index.load(Index.OUT_ERROR) | 0;
  }

  /** Bytes that were not yet read. */
  get there(): number {
    return (this.index.load(Index.IN_PROD) - this.#inCons) >>> 0;
  }

  get room(): number {
    return this.size - ((this.#outProd - this.index.load(Index.OUT_CONS)) >>> 0);
  }

  /** Puts what there is room for, and rings. Answers how many. */
  put(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.room);
    const half = this.pages.bytes.subarray(this.size);
    const start = this.#outProd % this.size;
    const first = Math.min(count, this.size - start);
    half.set(bytes.subarray(0, first), start);
    half.set(bytes.subarray(first, count), 0);
    this.#outProd = (this.#outProd + count) >>> 0;
    this.index.store(Index.OUT_PROD, this.#outProd);
    this.ring();
    return count;
  }

  /** All that is there; rings if there was anything. */
  get(): Uint8Array {
    const { there } = this;
    const start = this.#inCons % this.size;
    const first = Math.min(there, this.size - start);
    const half = this.pages.bytes.subarray(0, this.size);
    const bytes = new Uint8Array(there);
    bytes.set(half.subarray(start, start + first));
    bytes.set(half.subarray(0, there - first), first);
    this.#inCons = (this.#inCons + there) >>> 0;
    this.index.store(Index.IN_CONS, this.#inCons);
    if (there > 0) this.ring();
    return bytes;
  }

  ring(): void {
    this.#guest.notify(this.evtchn);
  }

  /** Sends all of it, waiting for room; ends early at an error. */
  async send(bytes: Uint8Array): Promise<number> {
    for (let sent = 0; ; ) {
      sent += this.put(bytes.subarray(sent));
      if (sent === bytes.length) return sent;
      await this.#guest.until(() => this.room > 0 || this.outError !== 0);
      if (this.outError !== 0) return sent;
    }
  }

  /** So many bytes, or fewer if there come no more. */
  async receive(count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count);
    for (let got = 0; got < count; ) {
      await this.#guest.until(() => this.there > 0 || this.inError !== 0);
      if (this.there === 0) return bytes.subarray(0, got);
      const some = this.get();
      bytes.set(some.subarray(0, count - got), got);
      got += some.length;
    }
    return bytes;
  }

  /** All there is until there come no more. */
  async drain(): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (;;) {
      await this.#guest.until(() => this.there > 0 || this.inError !== 0);
      if (this.there === 0) return Buffer.concat(parts);
      parts.push(this.get());
    }
  }

  /** Ends the sharing: what the backend still maps stays until it lets go. */
  drop(): void {
    this.#guest.evtchn.unbind(this.evtchn);
    this.#index.unmap();
    this.pages.unmap();
  }
}

export class RawSockGuest {
  readonly domid: number;
  readonly store: Client;
  /** The page with the ring of commands. */
  readonly page: SharedPages;
  readonly commands: Front;
  readonly evtchn: Evtchn;
  readonly path: string;
  readonly back: string;
  /** Responses as they came, all of them. */
  readonly responses: Response[] = [];
  /** Whether responses are taken as they come. */
  collecting = true;
  readonly #end: BareEnd;
  readonly #toolstack: Client;
  readonly #backendDomid: number;
  readonly #port: number;
  readonly #answered = new Map<number, (response: Response) => void>();
  readonly #waiting = new Set<() => void>();
  #reqId = 0;

  /** `toolstack`: who watches states and errors. */
  constructor(toolstack: Client, end: BareEnd, { devid = 0, backendDomid = 0 }: RawOptions = {}) {
    this.#toolstack = toolstack;
    this.#end = end;
    this.#backendDomid = backendDomid;
    this.domid = end.domid;
    this.store = end.store;
    this.path = `device/pvcalls/${devid}`;
    this.back = `/local/domain/${backendDomid}/backend/pvcalls/${end.domid}/${devid}`;
    this.page = this.share(1);
    this.commands = Front.init(this.page.bytes, SLOT_BYTES);
    this.evtchn = end.platform.openEvtchn();
    this.#port = this.port();
    this.evtchn.onReadable(() => this.#heard());
  }

  /** With its backend, unless it is another domain. */
  share(pages: number, domid: number = this.#backendDomid): SharedPages {
    return this.#end.platform.openGntshr().sharePages(domid, pages, 'rw');
  }

  port(domid: number = this.#backendDomid): number {
    return this.evtchn.bindUnboundPort(domid);
  }

  notify(port: number = this.#port): void {
    this.evtchn.notify(port);
  }

  /** A data ring that no command names yet. */
  ring(order = 1): RawRing {
    return new RawRing(this, order);
  }

  /** Goes through the handshake with keys of its choice beyond the usual ones. */
  async connect(keys: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.publish(keys);
    await this.backend('4');
    await this.enter('4');
  }

  /** The same, and does not wait for an answer. */
  async publish(keys: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.backend('2');
    const all = { version: '1', 'ring-ref': `${this.page.refs[0]}`, port: `${this.#port}`, ...keys };
    for (const [key, value] of Object.entries(all)) await this.store.write(`${this.path}/${key}`, value);
    await this.enter('3');
  }

  async enter(state: string): Promise<void> {
    await this.store.write(`${this.path}/state`, state);
  }

  /** Settles when the backend is in one of these states. */
  async backend(...states: readonly string[]): Promise<void> {
    await until(this.#toolstack, `${this.back}/state`, (state) => states.includes(state ?? ''));
  }

  /** The backend's complaint, once there is one. */
  async error(): Promise<string | undefined> {
    const node = this.back.replace('/backend/', '/error/backend/');
    return until(this.#toolstack, `${node}/error`, (text) => text !== undefined);
  }

  /** Asks, and settles with the response. Waits for a slot if need be. */
  async ask(id: bigint | number, call: Call): Promise<Response> {
    while (this.commands.free === 0) await this.until(() => this.commands.free > 0);
    const reqId = this.put(id, call);
    const response = this.response(reqId);
    this.show();
    return response;
  }

  /** The same, and answers what it returned. */
  async ret(id: bigint | number, call: Call): Promise<number> {
    return (await this.ask(id, call)).ret;
  }

  /** The response to a request that was put and is answered once. */
  response(reqId: number): Promise<Response> {
    const there = this.responses.findLast((response) => response.reqId === reqId);
    if (there !== undefined) return Promise.resolve(there);
    return new Promise((resolve) => {
      this.#answered.set(reqId, resolve);
    });
  }

  /** Puts a request that the backend does not see before `show`. Answers its number. */
  put(id: bigint | number, call: Call): number {
    this.#reqId = (this.#reqId + 1) >>> 0;
    const slot = new Uint8Array(SLOT_BYTES);
    encodeRequest(this.#reqId, BigInt(id), call, slot);
    this.commands.request(slot);
    return this.#reqId;
  }

  /** Shows what was put and rings, whether that is wanted or not. */
  show(): void {
    this.commands.publish();
    this.notify();
  }

  /** A stream: its SOCKET and CONNECT. The ring is there whatever became of it. */
  async dial(
    id: bigint | number,
    to: InetAddress,
    ring: RawRing = this.ring(),
  ): Promise<{ readonly ret: number; readonly ring: RawRing }> {
    const made = await this.socket(id, to.family);
    if (made !== 0) return { ret: made, ring };
    const call = { command: Command.CONNECT, ...addressed(to), flags: 0, ...ring.ringed };
    return { ret: await this.ret(id, call), ring };
  }

  socket(id: bigint | number, family = 2, type = 1): Promise<number> {
    return this.ret(id, { command: Command.SOCKET, domain: family, type, protocol: 0 });
  }

  /** A listening socket: its SOCKET, BIND and LISTEN. Answers the first error. */
  async serve(id: bigint | number, at: InetAddress, backlog = 16): Promise<number> {
    const made = await this.socket(id, at.family);
    if (made !== 0) return made;
    const bound = await this.ret(id, { command: Command.BIND, ...addressed(at) });
    return bound === 0 ? this.ret(id, { command: Command.LISTEN, backlog }) : bound;
  }

  accept(id: bigint | number, newId: bigint | number, ring: RawRing = this.ring()): Promise<number> {
    return this.ret(id, { command: Command.ACCEPT, newId: BigInt(newId), ...ring.ringed });
  }

  /** What a socket is called, or its peer, by the extension. */
  async name(id: bigint | number, which: 'own' | 'peer' = 'own'): Promise<InetAddress> {
    const command = which === 'own' ? Command.GETSOCKNAME : Command.GETPEERNAME;
    const { ret, data } = await this.ask(id, { command });
    if (ret !== 0) throw new Error(`no name: ${ret}`);
    return decodeAddress(data!, data!.length)!;
  }

  release(id: bigint | number, reuse = false): Promise<number> {
    return this.ret(id, { command: Command.RELEASE, reuse });
  }

  /** Settles when it is so; looks after every event. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition())
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
  }

  /** Takes what responses there are. */
  collect(): void {
    const slot = new Uint8Array(SLOT_BYTES);
    for (let there = this.commands.finalCheck(); ; there = this.commands.finalCheck()) {
      if (!there.ok) throw new Error('more responses than requests');
      if (there.slots === 0) return;
      for (let left = there.slots; left > 0; left--) {
        this.commands.take(slot);
        const response = decodeResponse(slot);
        this.responses.push(response);
        this.#answered.get(response.reqId)?.(response);
        this.#answered.delete(response.reqId);
      }
    }
  }

  #heard(): void {
    for (let port = this.evtchn.pending(); port !== undefined; port = this.evtchn.pending())
      this.evtchn.unmask(port);
    if (this.collecting) this.collect();
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }
}
