/**
 * Domains' rings, served: when an event channel fires, what the guest has put in is copied out once and offered to the daemon; when the turn is
 * safe, what it says goes into the ring and the indices move. A guest that breaks the rules of the ring costs itself its connection. Knows no
 * message. (xen/docs/misc/xenstore-ring.txt)
 */
import { FAILED, type Poller, READABLE } from '../../osdep/os/poll.ts';
import type { Link } from '../core/link.ts';
import { Ring, RingError } from '../wire/ops.ts';
import type { Loop, Peer } from './loop.ts';
import type { AttachedRing, PlatformMachine } from './machine.ts';

/** How often a guest may make room before others have their turn. */
const LOOKS = 4;

export interface RingServerOptions {
  readonly loop: Loop;
  readonly machine: PlatformMachine;
  /** Watches the event channels' descriptor; `undefined`: the platform tells by itself. */
  readonly poller: Poller | undefined;
  /** The hypervisor is not there any more. */
  readonly lost: () => void;
}

export class RingServer {
  readonly loop: Loop;
  readonly machine: PlatformMachine;
  /** All rings share it, in both directions. */
  readonly copied: Buffer = Buffer.allocUnsafeSlow(Ring.AREA_BYTES);
  readonly #options: RingServerOptions;
  readonly #stop: () => void;
  /** Event channels that fired in this turn. */
  #fired: number[] = [];

  /** Events are served from the next turn on. */
  constructor(options: RingServerOptions) {
    this.#options = options;
    this.loop = options.loop;
    this.machine = options.machine;
    this.machine.onAdopt = (link) => this.#peerOf(link);
    this.loop.onTurn(() => this.#unmask());
    this.#stop = this.#listen();
  }

  close(): void {
    this.#stop();
  }

  #listen(): () => void {
    const { poller, lost } = this.#options;
    const { evtchn } = this.machine;
    if (!poller || evtchn.fd < 0) return evtchn.onReadable(() => this.loop.turn(() => this.#takeEvents()));
    poller.add(evtchn.fd, READABLE, (events) => {
      // A failure is the queue's, which has run over: to look at it mends it.
      if ((events & (READABLE | FAILED)) === 0) lost();
      else if (this.loop.begin()) this.loop.tell(() => this.#takeEvents());
    });
    return () => poller.remove(evtchn.fd);
  }

  /** Each port comes once and is masked then, so this ends however fast guests ring. */
  #takeEvents(): void {
    const { machine, loop } = this;
    for (let port = machine.evtchn.pending(); port !== undefined; port = machine.evtchn.pending()) {
      this.#fired.push(port);
      if (port === machine.domExcPort) {
        loop.tell(() => loop.daemon.domainsChanged());
        continue;
      }
      const ring = machine.ringOfPort(port);
      const link = ring && loop.daemon.ringOf(ring.domid);
      const peer = link && this.#peerOf(link);
      if (peer) loop.serve(peer, readPeer);
    }
  }

  #unmask(): void {
    if (this.#fired.length === 0) return;
    const fired = this.#fired;
    this.#fired = [];
    for (const port of fired) this.machine.evtchn.unmask(port);
  }

  #peerOf(link: Link): RingPeer | undefined {
    if (link.io === undefined) {
      const ring = this.machine.attached(link.domid);
      if (ring) link.io = new RingPeer(this, link, ring);
    }
    return link.io as RingPeer | undefined;
  }
}

class RingPeer implements Peer {
  readonly link: Link;
  readonly #server: RingServer;
  readonly #ring: AttachedRing;
  /** What was taken off the ring is not told yet. */
  #taken = false;

  constructor(server: RingServer, link: Link, ring: AttachedRing) {
    this.#server = server;
    this.link = link;
    this.#ring = ring;
  }

  read(): void {
    const { loop } = this.#server;
    if (!this.#served) return;
    if (this.#ring.settling) loop.hold(this);
    else if (!this.#makeRoom()) this.#violated();
    else if (!loop.daemon.mayRead(this.link)) loop.hold(this);
    else this.#take();
  }

  /**
   * A guest rings for a request only where it has seen that all before it were taken, and for room only where it has seen the ring full
   * (as Linux does). What it does between our look and our index moving rings nothing: whoever has moved an index looks again.
   */
  write(): void {
    if (!this.#served) return;
    const taken = this.#taken;
    if (taken) this.#ring.page.requests.advance(this.link.consumed >>> 0);
    this.#taken = false;
    if (taken && this.#waiting) this.#server.loop.hold(this);
    const put = this.#putAll();
    if (taken || put > 0) this.#server.machine.notify(this.#ring);
  }

  /** A ring is let go of by its detachment. */
  shut(): void {}

  drop(): void {
    const { loop } = this.#server;
    loop.release(this);
    loop.tell(() => loop.daemon.violated(this.link, RingError.COMM));
  }

  get #served(): boolean {
    return this.#ring.attached && !this.link.closed && !this.link.ignored;
  }

  /** Tells the outbox how much the guest has room for. `false`: his index makes no sense. */
  #makeRoom(): boolean {
    const { outbox } = this.link;
    const room = this.#ring.page.responses.room(outbox.sent >>> 0);
    if (!room.ok) return false;
    outbox.grant(room.bytes);
    if (outbox.pending) this.#server.loop.writeAtEnd(this);
    return true;
  }

  /** Offers the daemon what the guest has put in. */
  #take(): void {
    const { loop, copied } = this.#server;
    const { requests } = this.#ring.page;
    const from = this.link.consumed >>> 0;
    const waiting = requests.available(from);
    if (!waiting.ok) {
      this.#violated();
    } else if (waiting.bytes > 0) {
      const bytes = copied.subarray(0, waiting.bytes);
      requests.peek(from, bytes);
      const taken = loop.daemon.receive(this.link, bytes);
      if (taken > 0) this.#taken = true;
      if (taken > 0) loop.writeAtEnd(this);
      if (taken < bytes.length) loop.hold(this);
    }
  }

  /** Are there bytes that were not looked at, or an index that makes no sense? */
  get #waiting(): boolean {
    const waiting = this.#ring.page.requests.available(this.link.consumed >>> 0);
    return !waiting.ok || waiting.bytes > 0;
  }

  /** Puts what there is room for, until nothing waits or the ring has been seen full; answers how many bytes. */
  #putAll(): number {
    const { loop } = this.#server;
    const { outbox } = this.link;
    let put = 0;
    for (let looks = 0; looks < LOOKS; looks++) {
      const room = this.#ring.page.responses.room(outbox.sent >>> 0);
      if (!room.ok) {
        this.#violated();
        return put;
      }
      outbox.grant(room.bytes);
      if (!outbox.pending || room.bytes === 0) return put;
      put += this.#put(room.bytes);
    }
    // One who makes room as fast as we fill it.
    loop.tell(() => loop.writeAtEnd(this));
    return put;
  }

  /** Puts as many waiting bytes into the ring as there is room for; answers how many. */
  #put(room: number): number {
    const { outbox } = this.link;
    const { copied } = this.#server;
    const { responses } = this.#ring.page;
    const count = outbox.peek(copied, 0, room);
    responses.put(outbox.sent >>> 0, copied.subarray(0, count));
    outbox.advance(count);
    responses.advance(outbox.sent >>> 0);
    return count;
  }

  #violated(): void {
    const { loop } = this.#server;
    loop.release(this);
    loop.tell(() => loop.daemon.violated(this.link, RingError.RINGIDX));
  }
}

function readPeer(peer: Peer): void {
  peer.read();
}
