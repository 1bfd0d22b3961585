/**
 * A stream socket of a guest on the machine's own network: a TCP socket of the kernel's that sends out of the guest's ring and receives into it, no
 * byte copied in between. Readiness is told once for each change and remembered, so that a ring that is full or a peer that is slow costs no
 * call. Where the socket came from, policies and commands are for its owner.
 */
import { Errno } from '../../../osdep/errno.ts';
import * as inet from '../../../osdep/os/inet.ts';
import { FAILED, HUNG_UP, PEER_DONE, READABLE, URGENT, WRITABLE } from '../../../osdep/os/poll.ts';
import { Family, type InetAddress } from '../core/address.ts';
import type { Answer, Traffic } from '../core/hands.ts';
import { Shut } from '../core/pvcalls.ts';
import type { DataRing } from './dataring.ts';
import type { Drains } from './drain.ts';
import type { Mover } from './localhub.ts';
import { drawn } from './localpipe.ts';
import type { StreamOwner } from './localstream.ts';
import type { Pauses } from './pauses.ts';
import { TcpSocket, type TcpSocketHost } from './tcpsocket.ts';

/** Where all of them live. */
export interface TcpHost extends TcpSocketHost {
  readonly pauses: Pauses;
  /** Gives turns. */
  readonly turns: { stir(mover: Mover): void };
  /** Those that go on without their guest. */
  readonly drains: Drains;
}

/** What is moved between two looks at others. */
const TURN_BYTES = 512 * 1024;
/** Of a turn after which there is a pause, and of rings that have room for what is put meanwhile. */
const MUCH_BYTES = 16 * 1024;
const LARGE_BYTES = 128 * 1024;

export class TcpStream implements Mover {
  readonly #host: TcpHost;
  readonly #owner: StreamOwner;
  readonly #socket: TcpSocket;
  #stage: 'new' | 'bound' | 'listening' | 'connecting' | 'connected' | 'broken' = 'new';
  #ring: DataRing | undefined;
  /** The kernel has not said otherwise since it was last told. */
  #readable = false;
  #writable = false;
  /** A read that gives less than it might does not mean that there is no more: the end is behind it, or was marked. */
  #unsure = false;
  #inDone = false;
  #outDone = false;
  /** Why nothing can be sent any more: what has been received still counts. */
  #why = 0;
  /** How many bytes still go out; undefined: there may always be more. */
  #lastBytes: number | undefined;
  /** The guest has rung, and his port is shut. */
  #rung = false;
  /** `accept` or `ready` found nobody, and the owner is to be told. */
  #wanted = false;
  #inBytes = 0;
  #outBytes = 0;

  constructor(host: TcpHost, owner: StreamOwner, family: 2 | 10 = Family.INET) {
    this.#host = host;
    this.#owner = owner;
    this.#socket = new TcpSocket(host, family, (events) => this.#heard(events));
  }

  /** Its data ring, before bytes are to flow. The ring is closed by whoever opened it, after `release`. */
  attach(ring: DataRing): void {
    this.#ring = ring;
    this.#host.turns.stir(this);
  }

  /** Answers the port. */
  bind(address: InetAddress): Answer<number> {
    if (this.#stage !== 'new') return { ok: false, errno: Errno.EINVAL };
    const bound = this.#socket.bind(address);
    if (bound.ok) this.#stage = 'bound';
    return bound;
  }

  /** Once more: another backlog. */
  listen(backlog: number): number {
    if (this.#stage !== 'bound' && this.#stage !== 'listening') return Errno.EINVAL;
    const errno = this.#socket.listen(backlog);
    if (errno === 0) this.#stage = 'listening';
    return errno;
  }

  /** 0: it stands. EINPROGRESS: the owner is told later. */
  connect(address: InetAddress): number {
    if (this.#stage !== 'new' && this.#stage !== 'bound') return Errno.EISCONN;
    const errno = this.#socket.connect(address);
    if (errno === Errno.EINPROGRESS) this.#stage = 'connecting';
    if (errno === 0) this.#stands();
    return errno;
  }

  /** The first that waits is connected to `into`, which is new. EAGAIN: none; the owner is told when there is one. */
  accept(into: TcpStream): number {
    if (this.#stage !== 'listening') return Errno.EINVAL;
    const errno = this.#socket.accept(into.#socket);
    this.#wanted ||= errno === Errno.EAGAIN;
    if (errno === 0) into.#stands();
    return errno;
  }

  /** Whether somebody waits to be accepted. If not, the owner is told when somebody does. */
  ready(): boolean {
    if (this.#stage !== 'listening') return false;
    const accepts = this.#socket.accepts();
    this.#wanted ||= !accepts;
    return accepts;
  }

  /** The guest has rung; his port is shut until all is done that can be done now. */
  kick(): void {
    this.#rung = true;
    this.#host.turns.stir(this);
  }

  /** What is in the ring by now is still sent; of what comes from now on nothing is kept. */
  shutdown(how: number): number {
    if (this.#stage !== 'connected') return Errno.ENOTCONN;
    if (how !== Shut.WRITE) {
      inet.shutdown(this.#socket.fd, Shut.READ);
      this.#inEnds(Errno.ENOTCONN);
    }
    this.#ring?.notify();
    // The guest is answered before its peer hears of it, as with a kernel's own.
    if (how !== Shut.READ) setImmediate(() => this.#sendNoMore());
    return 0;
  }

  name(which: 'own' | 'peer'): Answer<InetAddress> {
    return this.#socket.name(which);
  }

  getOption(level: number, name: number): Answer<Uint8Array> {
    return this.#socket.getOption(level, name);
  }

  setOption(level: number, name: number, value: Uint8Array): number {
    return this.#socket.setOption(level, name, value);
  }

  get traffic(): Traffic {
    return { inBytes: this.#inBytes, outBytes: this.#outBytes };
  }

  /**
   * The guest has no more to do with it; its ring is not touched any more. What it has put is still sent, unless there is something that it has
   * not read: then the connection is reset, as TCP does by itself.
   */
  release(): void {
    const ring = this.#ring;
    this.#ring = undefined;
    const connected = this.#stage === 'connected';
    this.#stage = 'broken';
    // Of what comes from now on nothing counts, or there would be no end to it.
    this.#lastBytes ??= Math.max(ring?.outReady() ?? 0, 0);
    const unread = !this.#inDone && ring?.inRoom() !== ring?.size;
    const left = !connected || ring === undefined ? 0 : unread ? -1 : this.#sendAll(ring);
    if (left === 0 || ring === undefined) this.#socket.close();
    else if (left < 0) this.#socket.close(inet.abort);
    else this.#host.drains.add(this.#socket.handOver(), drawn(ring, left), this.#owner.budget);
  }

  /** The connection is broken off: ECONNRESET, after what the guest has got. Nobody is listening any more where it listened. */
  reset(): void {
    this.#fail(Errno.ECONNRESET);
  }

  get payer(): object | undefined {
    return this.#owner.budget;
  }

  failed(error: unknown): void {
    this.#owner.failed(error);
  }

  move(): boolean {
    const ring = this.#ring;
    if (ring === undefined) return false;
    let more = false;
    if (this.#stage === 'connected') {
      const before = this.#outBytes;
      more = this.#send(ring);
      more = this.#receive(ring) || more;
      // Whoever sends much is about to send more, and need not ring for it if there is one more look.
      const sent = this.#outBytes - before;
      if (sent > 0 && this.#writable) {
        ring.notifyAwake();
        const pauses = !more && sent >= MUCH_BYTES && ring.size >= LARGE_BYTES;
        if (pauses) this.#host.pauses.add(this);
        return !pauses;
      }
      ring.notify();
      more ||= this.#hasMore(ring);
    }
    if (!more && this.#rung && this.#stage !== 'connecting') {
      this.#rung = false;
      ring.listen();
    }
    return more;
  }

  /** True: there is more that can be sent now. */
  #send(ring: DataRing): boolean {
    if (this.#outDone || !this.#writable) return false;
    const ready = this.#ready(ring);
    if (ready < 0) return this.#spoil();
    if (ready === 0) return this.#sentAll();
    const want = ring.may('out', Math.min(ready, TURN_BYTES));
    if (want === 0) return false;
    const sent = this.#sendSome(ring, want);
    if (sent < 0) return this.#sendFailed(-sent);
    if (sent < want) {
      this.#writable = false;
      return false;
    }
    return this.#ready(ring) !== 0 || this.#sentAll();
  }

  /** The guest may have put some before he was shown that there were none left. */
  #hasMore(ring: DataRing): boolean {
    if (this.#outDone || !this.#writable) return false;
    const ready = this.#ready(ring);
    return ready > 0 && ring.may('out', ready) > 0;
  }

  /** Bytes to go out now; -1: the guest's index is impossible. */
  #ready(ring: DataRing): number {
    const ready = ring.outReady();
    return this.#lastBytes === undefined || ready < 0 ? ready : Math.min(ready, this.#lastBytes);
  }

  /** Bytes that the kernel has taken, or minus an error number. */
  #sendSome(ring: DataRing, want: number): number {
    const at = ring.outOffset();
    const first = Math.min(want, 2 * ring.size - at);
    let sent: number;
    if (first === want) sent = inet.send(this.#socket.fd, ring.address + at, want);
    else {
      inet.aim(ring.address + at, first, ring.address + ring.size, want - first);
      sent = inet.sendAimed(this.#socket.fd);
    }
    if (sent <= 0) return sent;
    ring.took(sent);
    this.#outBytes += sent;
    if (this.#lastBytes !== undefined) this.#lastBytes -= sent;
    return sent;
  }

  #sendNoMore(): void {
    this.#lastBytes ??= Math.max(this.#ring?.outReady() ?? 0, 0);
    this.#host.turns.stir(this);
  }

  #sentAll(): boolean {
    if (this.#lastBytes === 0 && !this.#outDone) {
      inet.shutdown(this.#socket.fd, Shut.WRITE);
      this.#outEnds(Errno.EPIPE);
    }
    return false;
  }

  #sendFailed(errno: number): boolean {
    if (inet.isLater(-errno)) {
      this.#writable = false;
      return false;
    }
    this.#why = errno;
    this.#outEnds(errno);
    // What has come before the end is still there.
    this.#readable = true;
    return !this.#inDone;
  }

  /** True: there is more that can be received now. */
  #receive(ring: DataRing): boolean {
    if (this.#inDone || !this.#readable) return false;
    const room = ring.inRoom();
    if (room < 0) return this.#spoil();
    if (room === 0) return false;
    const want = ring.may('in', Math.min(room, TURN_BYTES));
    if (want === 0) return false;
    const got = this.#receiveSome(ring, want);
    if (got < 0) return this.#receiveFailed(-got);
    if (got === 0) {
      this.#inEnds(this.#why === 0 ? Errno.ENOTCONN : this.#why);
      if (this.#why !== 0) this.#fail(this.#why);
      return false;
    }
    ring.gave(got);
    this.#inBytes += got;
    // A stream that gave less than there was room for has no more, unless its end is behind that, or a mark.
    if (got < want && !this.#unsure && this.#why === 0) {
      this.#readable = false;
      return false;
    }
    return ring.inRoom() !== 0;
  }

  #receiveSome(ring: DataRing, want: number): number {
    const at = ring.inOffset();
    const first = Math.min(want, ring.size - at);
    if (first === want) return inet.recv(this.#socket.fd, ring.address + at, want);
    inet.aim(ring.address + at, first, ring.address, want - first);
    return inet.recvAimed(this.#socket.fd);
  }

  #receiveFailed(errno: number): boolean {
    if (inet.isLater(-errno)) this.#readable = false;
    else this.#fail(this.#why === 0 ? errno : this.#why);
    return false;
  }

  #inEnds(errno: number): void {
    this.#inDone = true;
    this.#ring?.fail('in', errno);
  }

  #outEnds(errno: number): void {
    this.#outDone = true;
    this.#ring?.fail('out', errno);
  }

  /** The guest's own indices are impossible: that is the end of the connection. */
  #spoil(): boolean {
    this.#fail(Errno.EINVAL);
    return false;
  }

  /** Both directions, and the socket itself. */
  #fail(errno: number): void {
    this.#socket.close(inet.abort);
    this.#stage = 'broken';
    this.#inEnds(errno);
    this.#outEnds(errno);
    this.#ring?.notify();
  }

  #heard(events: number): void {
    try {
      this.#onReady(events);
    } catch (error) {
      this.failed(error);
    }
  }

  #onReady(events: number): void {
    if (this.#stage === 'listening') {
      if (!this.#wanted) return;
      this.#wanted = false;
      this.#owner.waiting();
      return;
    }
    if (this.#stage === 'connecting') {
      this.#connectEnds();
      return;
    }
    if ((events & (READABLE | PEER_DONE | URGENT | FAILED | HUNG_UP)) !== 0) this.#readable = true;
    if ((events & (WRITABLE | FAILED | HUNG_UP)) !== 0) this.#writable = true;
    if ((events & (PEER_DONE | URGENT | FAILED | HUNG_UP)) !== 0) this.#unsure = true;
    // Nothing more is received, and perhaps nothing sent: who would notice?
    if (this.#inDone && (events & FAILED) !== 0) {
      this.#fail(inet.pendingError(this.#socket.fd) || Errno.ECONNRESET);
      return;
    }
    this.#host.turns.stir(this);
  }

  #connectEnds(): void {
    const errno = inet.pendingError(this.#socket.fd);
    if (errno === 0) this.#stands();
    else {
      this.#socket.close();
      this.#stage = 'new';
    }
    this.#owner.connected(errno);
  }

  #stands(): void {
    this.#stage = 'connected';
    this.#readable = true;
    this.#writable = true;
    this.#host.turns.stir(this);
  }

  /** As much as goes at once: what is left, or -1 if the connection is not worth ending in order. */
  #sendAll(ring: DataRing): number {
    if (this.#outDone) return 0;
    for (;;) {
      const ready = this.#ready(ring);
      if (ready <= 0) return ready;
      const sent = this.#sendSome(ring, ready);
      if (sent < 0) return inet.isLater(sent) ? ready : -1;
    }
  }
}
