/**
 * A stream socket of a guest on a network of guests among themselves: bound, listening, on its way or connected to another of its kind, perhaps of
 * the same guest. Knows the network and who is waited for; bytes are for `localflow.ts`; where the socket came from, policies and commands are
 * for its owner.
 */
import { Errno } from '../../../osdep/errno.ts';
import type { InetAddress } from '../core/address.ts';
import type { Answer, Traffic } from '../core/hands.ts';
import type { DataRing, PageBudget } from './dataring.ts';
import { LocalFlow } from './localflow.ts';
import type { LocalHub } from './localhub.ts';

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

/** Who finds a queue full waits so long for room: ETIMEDOUT. */
const PATIENCE_MS = 30_000;

export class LocalStream {
  readonly #hub: LocalHub<LocalStream>;
  readonly #owner: StreamOwner;
  readonly #flow: LocalFlow;
  /** Of the network it is in. */
  #name: string | undefined;
  #stage: 'new' | 'connecting' | 'queued' | 'connected' | 'released' = 'new';
  /** `accept` found nobody, and its owner is to be told. */
  #wanted = false;
  #cancelTimer: () => void = () => {};

  constructor(hub: LocalHub<LocalStream>, owner: StreamOwner) {
    this.#hub = hub;
    this.#owner = owner;
    this.#flow = new LocalFlow(hub, {
      ended: () => this.#leave(),
      failed: (error) => owner.failed(error),
      budget: owner.budget,
    });
  }

  /** Its data ring, before bytes are to flow. The ring is closed by whoever opened it, after `release`. */
  attach(ring: DataRing): void {
    this.#flow.attach(ring);
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
    const errno = this.#hub.net(network).connect(this, address);
    if (errno !== 0 && errno !== Errno.EINPROGRESS) {
      this.#hub.left(network);
      return errno;
    }
    this.#name = network;
    if (errno === 0) this.#queued();
    else {
      this.#stage = 'connecting';
      this.#cancelTimer = this.#hub.clock.after(PATIENCE_MS, () => this.#connectEnds(Errno.ETIMEDOUT));
    }
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
    into.#name = this.#name;
    into.#stage = 'connected';
    if (client.#stage === 'queued') client.#stage = 'connected';
    into.#flow.join(client.#flow);
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
    this.#flow.kick();
  }

  /** What is in the ring by now is still sent; of what comes from now on nothing is kept. */
  shutdown(how: number): number {
    if (this.#flow.isBroken || (this.#stage !== 'connected' && this.#stage !== 'queued'))
      return Errno.ENOTCONN;
    this.#flow.shutdown(how);
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

  get traffic(): Traffic {
    return { inBytes: this.#flow.received, outBytes: this.#flow.sent };
  }

  /**
   * The guest has no more to do with it; its ring is not touched any more. What it has put is kept and still sent, unless there is something that it
   * has not read: then the peer's connection is reset, as by TCP.
   */
  release(): void {
    if (this.#stage === 'released') return;
    this.#cancelTimer();
    const awaited = this.#stage === 'queued';
    this.#stage = 'released';
    this.#flow.release(awaited);
  }

  /** The connection is broken off: ECONNRESET at both ends, after what they have got. Nobody is listening any more where it listened. */
  reset(): void {
    if (this.#stage === 'released') return;
    this.#connectEnds(Errno.ECONNRESET);
    this.#flow.breakOff(Errno.ECONNRESET);
    this.#flow.fail(Errno.ECONNRESET);
    this.#leave();
  }

  /** It stands, and waits to be accepted. */
  #queued(): void {
    this.#stage = 'queued';
    const listener = this.#hub.net(this.#name!).listenerOf(this);
    if (listener === undefined || !listener.#wanted) return;
    listener.#wanted = false;
    listener.#owner.waiting();
  }

  #connectEnds(errno: number): void {
    if (this.#stage !== 'connecting') return;
    this.#cancelTimer();
    if (errno === 0) this.#queued();
    else this.#giveUp();
    this.#owner.connected(errno);
  }

  /** As before it was tried to connect: bound, or in no network. */
  #giveUp(): void {
    const name = this.#name!;
    const net = this.#hub.net(name);
    this.#stage = 'new';
    net.giveUp(this);
    if (net.own(this) === undefined) this.#name = undefined;
    this.#hub.left(name);
  }

  #leave(): void {
    const name = this.#name;
    if (name === undefined) return;
    this.#name = undefined;
    const { admitted, reset, refused } = this.#hub.net(name).leave(this);
    if (admitted !== undefined) admitted.#connectEnds(0);
    for (const client of reset) client.#flow.fail(Errno.ECONNRESET);
    for (const client of refused) client.#connectEnds(Errno.ECONNREFUSED);
    this.#hub.left(name);
  }
}
