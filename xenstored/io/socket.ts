/**
 * The daemon's unix socket: clients are accepted, read and written without ever waiting for one of them. All share one buffer each way. A
 * client that does not read is not read either, and one that has hung up still gets the replies that were due. Knows no message.
 */
import type { Clock } from '../../osdep/clock.ts';
import { Errno } from '../../osdep/errno.ts';
import { type Poller, READABLE, WRITABLE } from '../../osdep/os/poll.ts';
import * as sock from '../../osdep/os/sock.ts';
import type { Link } from '../core/link.ts';
import type { Loop, Peer } from './loop.ts';

/** As much is taken from one client in one turn. */
const RECEIVE_BYTES = 64 << 10;
const SEND_BYTES = 256 << 10;
/** At most so many connections are accepted in one turn: the others have theirs too. */
const ACCEPTS_PER_TURN = 64;
/** When the process has no descriptor left, accepting is tried again after this long, or when one is free. */
const ACCEPT_PAUSE_MS = 1000;

const outOfDescriptors: ReadonlySet<number> = new Set([
  Errno.EMFILE,
  Errno.ENFILE,
  Errno.ENOBUFS,
  Errno.ENOMEM,
]);

export interface SocketServerOptions {
  readonly loop: Loop;
  readonly poller: Poller;
  readonly clock: Clock;
  /** A listening socket; the server closes it. */
  readonly listener: number;
  readonly log: (text: string) => void;
}

export class SocketServer {
  readonly loop: Loop;
  readonly poller: Poller;
  readonly received: Buffer = Buffer.allocUnsafeSlow(RECEIVE_BYTES);
  readonly sending: Buffer = Buffer.allocUnsafeSlow(SEND_BYTES);
  readonly #options: SocketServerOptions;
  readonly #peers = new Set<SocketPeer>();
  #listener: number;
  /** How many connections to accept in the next turn that has any: more, as long as there are as many. */
  #accepts = 1;
  #cancelPause: (() => void) | undefined = undefined;

  /** Accepts from the next turn on. */
  constructor(options: SocketServerOptions) {
    this.#options = options;
    this.loop = options.loop;
    this.poller = options.poller;
    this.#listener = options.listener;
    this.poller.add(this.#listener, READABLE, () => {
      if (this.loop.begin()) this.loop.tell(() => this.#accept());
    });
  }

  get connections(): number {
    return this.#peers.size;
  }

  /** Stops listening and lets go of everybody. */
  close(): void {
    if (this.#listener < 0) return;
    this.#cancelPause?.();
    this.poller.remove(this.#listener);
    sock.close(this.#listener);
    this.#listener = -1;
    for (const peer of [...this.#peers]) peer.close();
  }

  forget(peer: SocketPeer): void {
    this.#peers.delete(peer);
    if (this.#cancelPause) this.#goOn();
  }

  #accept(): void {
    // Clients mostly come singly: asking for one more than there are would be a call in vain each time. What is left is told again.
    const most = this.#accepts;
    this.#accepts = 1;
    for (let i = 0; i < most; i++) {
      const fd = sock.accept(this.#listener);
      if (fd >= 0) {
        const peer = new SocketPeer(this, fd, this.loop.daemon.connectSocket());
        this.#peers.add(peer);
        // Who connects has something to say: its first request is mostly there, and need not be waited for.
        this.loop.serve(peer, readPeer);
      } else if (outOfDescriptors.has(-fd)) {
        this.#pause();
        return;
      } else if (fd === sock.WOULD_BLOCK) {
        return;
      }
    }
    this.#accepts = Math.min(most * 2, ACCEPTS_PER_TURN);
  }

  /** The waiting connection stays in the queue and would wake us without end. */
  #pause(): void {
    this.#options.log(`no descriptor left for another connection (${this.#peers.size} are open)`);
    this.poller.modify(this.#listener, 0);
    this.#cancelPause = this.#options.clock.after(ACCEPT_PAUSE_MS, () => this.#goOn());
  }

  #goOn(): void {
    this.#cancelPause?.();
    this.#cancelPause = undefined;
    if (this.#listener >= 0) this.poller.modify(this.#listener, READABLE);
  }
}

class SocketPeer implements Peer {
  readonly link: Link;
  readonly #server: SocketServer;
  #fd: number;
  /** What was received and the daemon has not taken. While there is some, nothing more is received. */
  #rest: Buffer | undefined = undefined;
  #interest: number = READABLE;
  /** Nothing more is to be received: the client has closed its side, or we are done with it. */
  #deaf = false;
  /** The daemon would not read on; the loop asks again. */
  #held = false;

  constructor(server: SocketServer, fd: number, link: Link) {
    this.#server = server;
    this.#fd = fd;
    this.link = link;
    link.io = this;
    server.poller.add(fd, READABLE, (events) => this.#ready(events));
  }

  read(): void {
    this.#held = false;
    this.#take();
    this.#want((this.#interest & WRITABLE) | (this.#deaf || this.#held ? 0 : READABLE));
  }

  write(): void {
    if (this.#fd < 0 || (this.#interest & WRITABLE) !== 0) return;
    const { sending } = this.#server;
    const { outbox } = this.link;
    while (outbox.pending) {
      const count = outbox.peek(sending, 0, SEND_BYTES);
      const taken = sock.send(this.#fd, sending, count);
      if (taken < 0 && taken !== sock.WOULD_BLOCK && taken !== -Errno.EINTR) {
        this.drop();
        return;
      }
      if (taken > 0) outbox.advance(taken);
      if (taken < count) {
        outbox.grant(0);
        this.#want(this.#interest | WRITABLE);
        return;
      }
    }
    this.#finishIfDone();
  }

  shut(): void {
    this.#deaf = true;
    this.#rest = undefined;
    this.#server.loop.release(this);
    this.#held = false;
    this.#want(this.#interest & ~READABLE);
    if (this.link.outbox.pending) this.write();
    else this.#finishIfDone();
  }

  drop(): void {
    if (this.#fd < 0) return;
    this.close();
    const { loop } = this.#server;
    loop.tell(() => loop.daemon.closed(this.link));
  }

  /** Lets the client go without telling the daemon. */
  close(): void {
    if (this.#fd < 0) return;
    this.#server.poller.forget(this.#fd);
    sock.close(this.#fd);
    this.#fd = -1;
    this.#server.loop.release(this);
    this.#server.forget(this);
  }

  #ready(events: number): void {
    const { loop } = this.#server;
    if ((events & WRITABLE) !== 0) loop.serve(this, goOnPeer);
    else if ((this.#interest & READABLE) !== 0) loop.serve(this, readPeer);
    // Nothing is to be read, so this tells of an error, or that both directions are closed: nobody is left to answer.
    else if (!this.#held || !loop.daemon.mayRead(this.link)) loop.serve(this, dropPeer);
  }

  /** The client reads again. */
  goOn(): void {
    this.#want(this.#interest & ~WRITABLE);
    this.link.outbox.grant(Number.POSITIVE_INFINITY);
    this.#server.loop.writeAtEnd(this);
  }

  /** Receives once and offers it, or offers what was left. */
  #take(): void {
    if (this.#fd < 0) return;
    if (this.#rest) this.#offer(this.#rest);
    else if (this.#deaf) this.#finishIfDone();
    else if (this.#server.loop.daemon.mayRead(this.link)) this.#receive();
    else this.#hold();
  }

  #receive(): void {
    const { received } = this.#server;
    const count = sock.recv(this.#fd, received, RECEIVE_BYTES);
    if (count > 0) {
      this.#offer(received.subarray(0, count));
    } else if (count === 0) {
      this.#deaf = true;
      this.#finishIfDone();
    } else if (count !== sock.WOULD_BLOCK && count !== -Errno.EINTR) {
      this.drop();
    }
  }

  #offer(bytes: Buffer): void {
    const taken = this.#server.loop.daemon.receive(this.link, bytes);
    if (taken < bytes.length) {
      // What was left over before is a buffer of its own; what was just received lies in the shared one.
      const rest = bytes.subarray(taken);
      this.#rest = this.#rest ? rest : Buffer.from(rest);
      this.#hold();
    } else if (this.#rest) {
      this.#rest = undefined;
      this.#finishIfDone();
    }
  }

  /** Waits until the daemon would read on. */
  #hold(): void {
    if (this.#fd < 0) return;
    this.#held = true;
    this.#server.loop.hold(this);
  }

  /** Nothing more will come from the client, and it has all that was due: that is its end. */
  #finishIfDone(): void {
    if (this.#deaf && !this.#rest && !this.link.outbox.pending) this.drop();
  }

  #want(interest: number): void {
    if (interest === this.#interest || this.#fd < 0) return;
    this.#interest = interest;
    this.#server.poller.modify(this.#fd, interest);
  }
}

function readPeer(peer: Peer): void {
  peer.read();
}

function goOnPeer(peer: Peer): void {
  (peer as SocketPeer).goOn();
}

function dropPeer(peer: Peer): void {
  peer.drop();
}
