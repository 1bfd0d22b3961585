/**
 * A stream socket of a guest on a network of guests among themselves: bound, listening, on its way or connected to another of its kind, perhaps of
 * the same guest. Bytes wait in their sender's ring until the receiver has one and has room. It knows rings and who is told; where the socket came
 * from, policies and commands are for its owner. The guest at the other end is another's: what it does wrong costs this pair alone.
 */
import { Errno } from '../../../osdep/errno.ts';
import type { InetAddress } from '../core/address.ts';
import type { Answer, Traffic } from '../core/hands.ts';
import { Shut } from '../core/pvcalls.ts';
import type { DataRing, PageBudget } from './dataring.ts';
import type { LocalHub, Mover } from './localhub.ts';
import { drawn, move, pour } from './localpipe.ts';

/** Who made the socket. Told of what takes time; may call anything back. */
export interface StreamOwner {
  /** How a connect went that was under way; 0: it stands. */
  connected(errno: number): void;
  /** A connection waits, after `accept` or `ready` found none. */
  waiting(): void;
  /** A mistake of ours, which is to cost its guest's device alone. */
  failed(error: unknown): void;
  /** For bytes that are kept when a ring goes away, by pages. Default: no limit. */
  readonly budget?: PageBudget;
}

export interface BindOptions {
  /** `::` alone, not `0.0.0.0` with it. */
  readonly only6?: boolean;
}

/** Who finds a queue full waits so long for room: ETIMEDOUT. And bytes that nobody takes for so long are dropped with their connection. */
const PATIENCE_MS = 30_000;
/** What is moved between two looks at others; guests see it in pieces of this, so that both are at work while the rest is copied. */
const TURN_BYTES = 256 * 1024;
const PIECE_BYTES = 128 * 1024;
/** Of a turn after which there is a pause, and of rings that have room for what is put, and enough for who takes, meanwhile. */
const MUCH_BYTES = 16 * 1024;
const LARGE_BYTES = 512 * 1024;
const PAGE = 4096;

const NOTHING = new Uint8Array(0);

export class LocalStream implements Mover {
  readonly #hub: LocalHub<LocalStream>;
  readonly #owner: StreamOwner;
  /** Of the network it is in. */
  #name: string | undefined;
  #ring: DataRing | undefined;
  #peer: LocalStream | undefined;
  #stage: 'new' | 'connecting' | 'queued' | 'connected' | 'broken' = 'new';
  /** Its ring is gone: there is only what it has left. */
  #released = false;
  #left: Uint8Array = NOTHING;
  /** That the budget has lent for it. */
  #leftPages = 0;
  /** How many bytes still go out; undefined: there may always be more. */
  #lastBytes: number | undefined;
  /** Nobody reads what comes. */
  #deaf = false;
  /** The peer knows that there will be no more. */
  #finTold = false;
  /** The guest has rung, and his port is shut. */
  #rung = false;
  /** It looks again when a pause is over. */
  #pausing = false;
  /** `accept` found nobody, and its owner is to be told. */
  #wanted = false;
  #cancelTimer: () => void = () => {};
  #sent = 0;
  #received = 0;
  readonly #afterPause: Mover = {
    move: () => {
      this.#pausing = false;
      return this.move();
    },
    failed: (error) => this.failed(error),
  };

  constructor(hub: LocalHub<LocalStream>, owner: StreamOwner) {
    this.#hub = hub;
    this.#owner = owner;
  }

  /** Its data ring, before bytes are to flow. The ring is closed by whoever opened it, after `release`. */
  attach(ring: DataRing): void {
    this.#ring = ring;
    this.#hub.stir(this);
  }

  /** Into a network. Answers the port. EINVAL: bound already. */
  bind(network: string, address: InetAddress, { only6 = false }: BindOptions = {}): Answer<number> {
    if (this.#name !== undefined) return { ok: false, errno: Errno.EINVAL };
    const bound = this.#hub.net(network).bind(this, address, only6);
    if (!bound.ok) {
      this.#hub.left(network);
      return bound;
    }
    this.#name = network;
    return { ok: true, value: bound.value.port };
  }

  listen(backlog: number): number {
    return this.#name === undefined ? Errno.EDESTADDRREQ : this.#hub.net(this.#name).listen(this, backlog);
  }

  /** 0: it stands, if not yet accepted. EINPROGRESS: the queue is full, the owner is told later. What is in the ring is sent when it is accepted. */
  connect(network: string, address: InetAddress): number {
    if (this.#stage !== 'new') return Errno.EISCONN;
    if (this.#name !== undefined && this.#name !== network) return Errno.ENETUNREACH;
    const net = this.#hub.net(network);
    const errno = net.connect(this, address);
    if (errno === 0) this.#stage = 'queued';
    else if (errno === Errno.EINPROGRESS) this.#wait();
    else {
      this.#hub.left(network);
      return errno;
    }
    this.#name = network;
    if (errno === 0) this.#tellListener();
    return errno;
  }

  /** The first that waits is connected to `into`, which is new. EAGAIN: none; the owner is told when there is one. */
  accept(into: LocalStream): number {
    if (this.#name === undefined) return Errno.EINVAL;
    const accepted = this.#hub.net(this.#name).accept(this, into);
    if (!accepted.ok) {
      this.#wanted ||= accepted.errno === Errno.EAGAIN;
      return accepted.errno;
    }
    const { client, admitted } = accepted.value;
    into.#join(client, this.#name);
    if (admitted !== undefined) admitted.#connectEnds(0);
    return 0;
  }

  /** Whether somebody waits to be accepted. If not, the owner is told when somebody does. */
  ready(): boolean {
    if (this.#name === undefined) return false;
    const waits = this.#hub.net(this.#name).queued(this) > 0;
    this.#wanted ||= !waits;
    return waits;
  }

  /** The guest has rung; his port is shut until all is done that can be done now. */
  kick(): void {
    this.#rung = true;
    this.#hub.stir(this);
  }

  /** What is in the ring by now is still sent; of what comes from now on nothing is kept. */
  shutdown(how: number): number {
    if (this.#stage !== 'connected' && this.#stage !== 'queued') return Errno.ENOTCONN;
    if (how !== Shut.READ) this.#sendNoMore();
    if (how !== Shut.WRITE) {
      this.#deaf = true;
      this.#ring?.fail('in', Errno.ENOTCONN);
      this.#ring?.notify();
    }
    this.#hub.stir(this);
    return 0;
  }

  /** The name of its network; undefined: it is in none. */
  get network(): string | undefined {
    return this.#name;
  }

  get own(): InetAddress | undefined {
    return this.#name === undefined ? undefined : this.#hub.net(this.#name).own(this);
  }

  /** Undefined: it is not connected. */
  get peer(): InetAddress | undefined {
    if (this.#stage === 'new' || this.#stage === 'connecting' || this.#name === undefined) return undefined;
    return this.#hub.net(this.#name).peer(this);
  }

  get traffic(): Pick<Traffic, 'inBytes' | 'outBytes'> {
    return { inBytes: this.#received, outBytes: this.#sent };
  }

  /**
   * The guest has no more to do with it; its ring is not touched any more. What it has put is kept and still sent, unless there is something that it
   * has not read: then the peer's connection is reset, as by TCP.
   */
  release(): void {
    if (this.#released) return;
    const ring = this.#ring;
    const ready = ring?.outReady() ?? 0;
    const unread = ring !== undefined && ring.inRoom() !== ring.size;
    if ((this.#stage === 'connected' && unread) || ready < 0) this.#breakPair(Errno.ECONNRESET);
    else if (this.#stage === 'connected' || this.#stage === 'queued') this.#keep(ring, ready);
    this.#ring = undefined;
    this.#released = true;
    if (this.#left.length === 0 && this.#stage !== 'queued') this.#end();
    else this.#wait();
    this.#hub.stir(this.#peer ?? this);
  }

  /** The connection is broken off: ECONNRESET at both ends, after what they have got. Nobody is listening any more where it listened. */
  reset(): void {
    if (this.#released) return;
    this.#connectEnds(Errno.ECONNRESET);
    this.#breakPair(Errno.ECONNRESET);
    this.#fail(Errno.ECONNRESET);
    this.#leave();
  }

  failed(error: unknown): void {
    this.#owner.failed(error);
  }

  /** A turn of its own pair, in both directions. */
  move(): boolean {
    const ring = this.#ring;
    const peer = this.#peer;
    let more = this.#send();
    if (peer !== undefined && this.#peer === peer) more = peer.#send() || more;
    if (!more && !this.#pausing && this.#rung && ring !== undefined && ring === this.#ring) {
      this.#rung = false;
      ring.listen();
    }
    return more;
  }

  /** What it has goes to its peer, a limited part of it. True: it is worth another look. */
  #send(): boolean {
    if (this.#pausing || this.#sendsAtEase()) return !this.#pausing;
    // Whoever has sent is about to send more, and need not ring for it if there is one more look.
    if (this.#moves()) return true;
    this.#ring?.notify();
    // Some may have been put before the guest was shown that there were none left.
    return this.#ready() > 0 && this.#moves();
  }

  #moves(): boolean {
    const before = this.#sent;
    return this.#moveOut(0) || this.#sent !== before;
  }

  /**
   * Between large rings as long as there is much to move: looks by itself now and then, and leaves a quarter of the receiver's ring free, so that neither
   * guest rings: to the one its ring is never empty, to the other never full.
   */
  #sendsAtEase(): boolean {
    const { pauses } = this.#hub;
    const into = this.#peer === undefined ? undefined : this.#peer.#ring;
    if (pauses === undefined || into === undefined || into.size < LARGE_BYTES) return false;
    if (this.#ring === undefined || this.#ring.size < LARGE_BYTES) return false;
    const before = this.#sent;
    if (this.#moveOut(into.size >>> 2)) return true;
    if (this.#sent - before < MUCH_BYTES || this.#peer === undefined) return false;
    this.#pausing = true;
    pauses.add(this.#afterPause);
    return true;
  }

  /** True: there is more that can be moved now. `spare`: room that the receiver is left with. */
  #moveOut(spare: number): boolean {
    const to = this.#peer;
    if (to === undefined) return false;
    for (let budget = TURN_BYTES; ; ) {
      const ready = this.#ready();
      if (ready < 0) return this.#spoil();
      if (ready === 0) return this.#tellEnd();
      if (to.#released) return this.#refuse();
      const room = to.#room();
      if (room < 0) return to.#spoil();
      if (room <= spare) return false;
      if (budget <= 0) return true;
      const bytes = this.#may(to, Math.min(ready, room - spare, PIECE_BYTES));
      if (bytes === 0) return false;
      this.#give(to, bytes);
      budget -= bytes;
      if (budget > 0 && bytes < ready) this.#hub.flush();
    }
  }

  /** What both guests may have moved now. Nobody pays for what a dead or deaf end gives or takes. */
  #may(to: LocalStream, bytes: number): number {
    const out = this.#ring?.may('out', bytes) ?? bytes;
    return out === 0 || to.#deaf ? out : (to.#ring?.may('in', out) ?? out);
  }

  #give(to: LocalStream, bytes: number): void {
    const into = to.#ring;
    if (this.#ring === undefined) {
      if (!to.#deaf) pour(this.#left.subarray(0, bytes), into!);
      this.#left = this.#left.subarray(bytes);
      // Somebody takes it after all.
      if (this.#left.length > 0) this.#wait();
    } else if (to.#deaf) this.#ring.took(bytes);
    else move(this.#ring, into!, bytes);
    if (this.#lastBytes !== undefined) this.#lastBytes -= bytes;
    this.#sent += bytes;
    to.#received += bytes;
    into!.notifyIn();
    this.#ring?.notifyAwake();
  }

  /** Bytes to go out now; -1: the guest's index is impossible. */
  #ready(): number {
    if (this.#ring === undefined) return this.#left.length;
    const ready = this.#ring.outReady();
    return this.#lastBytes === undefined || ready < 0 ? ready : Math.min(ready, this.#lastBytes);
  }

  #room(): number {
    const room = this.#ring?.inRoom() ?? 0;
    return this.#deaf && this.#ring !== undefined && room >= 0 ? this.#ring.size : room;
  }

  /** Nothing is left to send. If nothing will ever be, the peer is told so, once. */
  #tellEnd(): boolean {
    const to = this.#peer!;
    const ended = this.#released || this.#lastBytes !== undefined;
    if (!ended || this.#finTold || (to.#ring === undefined && !to.#released)) return false;
    this.#finTold = true;
    to.#ring?.fail('in', Errno.ENOTCONN);
    to.#ring?.notify();
    if (this.#released) this.#end();
    return false;
  }

  /** The peer is no more: what is sent to it resets the connection. */
  #refuse(): boolean {
    this.#fail(Errno.ECONNRESET);
    this.#left = NOTHING;
    if (this.#released) this.#end();
    return false;
  }

  /** Its own guest's indices are impossible: that is the end of the connection. */
  #spoil(): boolean {
    this.#breakPair(Errno.ECONNRESET);
    this.#fail(Errno.EINVAL);
    return false;
  }

  #sendNoMore(): void {
    if (this.#lastBytes !== undefined) return;
    this.#lastBytes = Math.max(this.#ring?.outReady() ?? 0, 0);
    this.#ring?.fail('out', Errno.EPIPE);
    this.#ring?.notify();
  }

  /** Before the ring goes: what is in it, first to the peer as far as it goes. */
  #keep(ring: DataRing | undefined, ready: number): void {
    if (ring === undefined || ready === 0) return;
    this.#moveOut(0);
    const left = this.#ready();
    const pages = Math.ceil(left / PAGE);
    if (left <= 0 || this.#stage === 'broken') return;
    if (this.#owner.budget?.take(pages) === false) {
      this.#breakPair(Errno.ECONNRESET);
      return;
    }
    this.#left = drawn(ring, left);
    this.#leftPages = pages;
  }

  /** Both directions of this end. */
  #fail(errno: number): void {
    this.#stage = 'broken';
    this.#ring?.fail('in', errno);
    this.#ring?.fail('out', errno);
    this.#ring?.notify();
  }

  /** The other end's connection is over, and whatever it had left to say. */
  #breakPair(errno: number): void {
    const peer = this.#peer;
    this.#peer = undefined;
    this.#left = NOTHING;
    this.#stage = 'broken';
    if (peer === undefined) return;
    peer.#peer = undefined;
    peer.#left = NOTHING;
    peer.#fail(errno);
    if (peer.#released) peer.#end();
    else this.#hub.stir(peer);
  }

  #join(client: LocalStream, name: string): void {
    this.#name = name;
    this.#peer = client;
    client.#peer = this;
    this.#stage = 'connected';
    client.#stage = 'connected';
    if (client.#released) client.#wait();
    this.#hub.stir(this);
  }

  #tellListener(): void {
    const listener = this.#hub.net(this.#name!).listenerOf(this);
    if (listener === undefined || !listener.#wanted) return;
    listener.#wanted = false;
    listener.#owner.waiting();
  }

  /** For room in a listener's queue; for a receiver of what is left. */
  #wait(): void {
    this.#cancelTimer();
    if (!this.#released) this.#stage = 'connecting';
    this.#cancelTimer = this.#hub.clock.after(PATIENCE_MS, () => {
      if (this.#released) this.#giveUp();
      else this.#connectEnds(Errno.ETIMEDOUT);
    });
  }

  #giveUp(): void {
    this.#breakPair(Errno.ECONNRESET);
    this.#end();
  }

  #connectEnds(errno: number): void {
    if (this.#stage !== 'connecting') return;
    this.#cancelTimer();
    this.#stage = errno === 0 ? 'queued' : 'new';
    if (errno !== 0) this.#giveUpConnect();
    this.#owner.connected(errno);
    if (errno === 0 && this.#stage === 'queued') this.#tellListener();
  }

  /** As before it was tried: bound, or in no network. */
  #giveUpConnect(): void {
    const name = this.#name!;
    const net = this.#hub.net(name);
    net.giveUp(this);
    if (net.own(this) === undefined) this.#name = undefined;
    this.#hub.left(name);
  }

  /** Nothing is left of it. */
  #end(): void {
    this.#cancelTimer();
    if (this.#leftPages > 0) this.#owner.budget?.giveBack(this.#leftPages);
    this.#leftPages = 0;
    this.#leave();
  }

  #leave(): void {
    const name = this.#name;
    if (name === undefined) return;
    const net = this.#hub.net(name);
    this.#name = undefined;
    const { admitted, reset, refused } = net.leave(this);
    if (admitted !== undefined) admitted.#connectEnds(0);
    for (const client of reset) {
      client.#fail(Errno.ECONNRESET);
      if (client.#released) client.#end();
    }
    for (const client of refused) client.#connectEnds(Errno.ECONNREFUSED);
    this.#hub.left(name);
  }
}
