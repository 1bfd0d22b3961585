/**
 * One end of a stream between two guests, or within one: bytes wait in their sender's ring until the other end has one and has room. Knows rings, who is
 * told, and how a direction ends; how the two came together is for `localstream.ts`. The guest at the other end is another's: what it does wrong
 * costs this pair alone.
 */
import { Errno } from '../../../osdep/errno.ts';
import { Shut } from '../core/pvcalls.ts';
import type { DataRing, PageBudget } from './dataring.ts';
import type { LocalHub, Mover } from './localhub.ts';
import { drawn, move, pour } from './localpipe.ts';

export interface FlowOwner {
  /** Nothing is left of it after its release. */
  ended(): void;
  /** A mistake of ours, which is to cost its guest's device alone. */
  failed(error: unknown): void;
  /** For bytes that are kept when a ring goes away, by pages. Default: no limit. */
  readonly budget?: PageBudget | undefined;
}

/** Bytes that nobody takes for so long are dropped with their connection. */
const PATIENCE_MS = 30_000;
/** What is moved between two looks at others; guests see it in pieces of this, so that both are at work while the rest is copied. */
const TURN_BYTES = 256 * 1024;
const PIECE_BYTES = 128 * 1024;
/** Of a turn after which there is a pause, and of rings that have room for what is put, and enough for who takes, meanwhile. */
const MUCH_BYTES = 16 * 1024;
const LARGE_BYTES = 512 * 1024;
const PAGE = 4096;

const NOTHING = new Uint8Array(0);

export class LocalFlow implements Mover {
  /** Bytes so far. */
  sent = 0;
  received = 0;
  readonly #hub: LocalHub<object>;
  readonly #owner: FlowOwner;
  #ring: DataRing | undefined;
  #peer: LocalFlow | undefined;
  #broken = false;
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
  #cancelTimer: () => void = () => {};
  readonly #afterPause: Mover;

  constructor(hub: LocalHub<object>, owner: FlowOwner) {
    this.#hub = hub;
    this.#owner = owner;
    this.#afterPause = {
      payer: owner.budget,
      move: () => {
        this.#pausing = false;
        return this.move();
      },
      failed: (error) => this.failed(error),
    };
  }

  /** No byte comes or goes any more. */
  get isBroken(): boolean {
    return this.#broken;
  }

  attach(ring: DataRing): void {
    this.#ring = ring;
    this.#hub.stir(this);
  }

  /** The two are each other's from now on. */
  join(peer: LocalFlow): void {
    this.#peer = peer;
    peer.#peer = this;
    if (peer.#released) peer.#wait();
    this.#hub.stir(this);
  }

  /** The guest has rung. */
  kick(): void {
    this.#rung = true;
    this.#hub.stir(this);
  }

  shutdown(how: number): void {
    if (how !== Shut.READ && this.#lastBytes === undefined) {
      this.#lastBytes = Math.max(this.#ring?.outReady() ?? 0, 0);
      this.#ring?.fail('out', Errno.EPIPE);
    }
    if (how !== Shut.WRITE) {
      this.#deaf = true;
      this.#ring?.fail('in', Errno.ENOTCONN);
    }
    this.#ring?.notify();
    this.#hub.stir(this);
  }

  /** The ring is not touched any more; see LocalStream. `awaited`: a peer may still come. */
  release(awaited: boolean): void {
    const ring = this.#ring;
    const ready = ring?.outReady() ?? 0;
    const unread = ring !== undefined && ring.inRoom() !== ring.size;
    const hopes = this.#peer !== undefined || (awaited && !this.#broken);
    if (ready < 0 || (this.#peer !== undefined && unread)) this.breakOff(Errno.ECONNRESET);
    else if (hopes && ring !== undefined && ready > 0) this.#keep(ring);
    this.#ring = undefined;
    this.#released = true;
    if (this.#left.length === 0 && (this.#broken || !awaited)) this.#end();
    else this.#wait();
    this.#hub.stir(this.#peer ?? this);
  }

  /** Both directions of this end. One that is released is over. */
  fail(errno: number): void {
    this.#broken = true;
    this.#ring?.fail('in', errno);
    this.#ring?.fail('out', errno);
    this.#ring?.notify();
    if (this.#released) this.#end();
  }

  /** The other end's connection is over, and whatever both had left to say. */
  breakOff(errno: number): void {
    const peer = this.#peer;
    this.#peer = undefined;
    this.#left = NOTHING;
    this.#broken = true;
    if (peer === undefined) return;
    peer.#peer = undefined;
    peer.#left = NOTHING;
    peer.fail(errno);
    if (!peer.#released) this.#hub.stir(peer);
  }

  get payer(): object | undefined {
    return this.#owner.budget;
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
    const before = this.sent;
    return this.#moveOut(0) || this.sent !== before;
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
    const before = this.sent;
    if (this.#moveOut(into.size >>> 2)) return true;
    if (this.sent - before < MUCH_BYTES || this.#peer === undefined) return false;
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
  #may(to: LocalFlow, bytes: number): number {
    const out = this.#ring?.may('out', bytes) ?? bytes;
    return out === 0 || to.#deaf ? out : (to.#ring?.may('in', out) ?? out);
  }

  #give(to: LocalFlow, bytes: number): void {
    const into = to.#ring;
    if (this.#ring === undefined) {
      if (!to.#deaf) pour(this.#left.subarray(0, bytes), into!);
      this.#left = this.#left.subarray(bytes);
      // Somebody takes it after all.
      if (this.#left.length > 0) this.#wait();
    } else if (to.#deaf) this.#ring.took(bytes);
    else move(this.#ring, into!, bytes);
    if (this.#lastBytes !== undefined) this.#lastBytes -= bytes;
    this.sent += bytes;
    to.received += bytes;
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
    this.#left = NOTHING;
    this.fail(Errno.ECONNRESET);
    return false;
  }

  /** Its own guest's indices are impossible: that is the end of the connection. */
  #spoil(): boolean {
    this.breakOff(Errno.ECONNRESET);
    this.fail(Errno.EINVAL);
    return false;
  }

  /** Before the ring goes: what is in it, first to the peer as far as it goes. */
  #keep(ring: DataRing): void {
    this.#moveOut(0);
    const left = this.#ready();
    if (left <= 0 || this.#broken) return;
    const pages = Math.ceil(left / PAGE);
    if (this.#owner.budget?.take(pages) === false) {
      this.breakOff(Errno.ECONNRESET);
      return;
    }
    this.#left = drawn(ring, left);
    this.#leftPages = pages;
  }

  /** For a receiver of what is left. */
  #wait(): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#hub.clock.after(PATIENCE_MS, () => {
      this.breakOff(Errno.ECONNRESET);
      this.#end();
    });
  }

  #end(): void {
    this.#cancelTimer();
    if (this.#leftPages > 0) this.#owner.budget?.giveBack(this.#leftPages);
    this.#leftPages = 0;
    this.#owner.ended();
  }
}
