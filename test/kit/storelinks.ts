/**
 * Connections to the store within one process: what a unix socket is elsewhere, in the machine's own order. Each way is a queue that moves by a task of
 * the scheduler; what has been sent when a client dies is still served. And the view: requests that are answered at once. Knows no message.
 */
import type { Scheduler } from '../../osdep/sim/schedule.ts';
import type { Connector, Transport, TransportUser } from '../../xenstored/client/transport.ts';
import type { Link } from '../../xenstored/core/link.ts';
import type { Loop, Peer } from '../../xenstored/io/loop.ts';
import { Framer } from '../../xenstored/wire/frame.ts';

/** As much is given to a client at a time. */
const PIECE_BYTES = 64 << 10;
const scratch = Buffer.allocUnsafeSlow(PIECE_BYTES);

/** Takes what a link has to say, or the beginning of it. */
function nextPiece(outbox: Link['outbox']): Buffer {
  const count = outbox.peek(scratch, 0, PIECE_BYTES);
  outbox.advance(count);
  return Buffer.from(scratch.subarray(0, count));
}

export interface StoreLinksOptions {
  readonly loop: Loop;
  readonly scheduler: Scheduler;
  /** Connections that are open. */
  readonly peers: Set<{ lose(): void }>;
}

/**
 * The way to the store for one of the control domain's processes. `running`: the daemon's, `undefined` while there is none. `onLink`: told which of its links
 * it became.
 */
export function linkConnector(
  running: () => StoreLinksOptions | undefined,
  onLink: (link: Link) => void,
): Connector {
  return {
    name: 'store',
    connect: async (user) => {
      const options = running();
      if (options === undefined) throw refused();
      const link = connectLink(options.loop);
      onLink(link);
      return new MemoryPeer(options, link, user);
    },
  };
}

function connectLink(loop: Loop): Link {
  let link: Link | undefined;
  loop.turn(() => {
    link = loop.daemon.connectSocket();
  });
  if (link === undefined) throw refused();
  return link;
}

function refused(): Error {
  return Object.assign(new Error('the store is not there'), { code: 'ECONNREFUSED' });
}

class MemoryPeer implements Peer, Transport {
  readonly link: Link;
  readonly #options: StoreLinksOptions;
  readonly #user: TransportUser;
  readonly #requests: Buffer[] = [];
  readonly #answers: Buffer[] = [];
  #moving = false;
  #telling = false;
  /** The client has gone; what it had sent is served all the same. */
  #hungUp = false;
  #closed = false;

  constructor(options: StoreLinksOptions, link: Link, user: TransportUser) {
    this.#options = options;
    this.link = link;
    this.#user = user;
    options.peers.add(this);
    link.io = this;
  }

  // The client's end.

  send(message: Buffer): void {
    if (this.#hungUp || this.#closed) return;
    this.#requests.push(message);
    this.#move();
  }

  close(): void {
    if (this.#hungUp) return;
    this.#hungUp = true;
    this.#move();
  }

  /** The daemon is no more; what it had said still comes. */
  lose(): void {
    this.#closed = true;
    this.#options.peers.delete(this);
    this.#tell();
  }

  // The daemon's end.

  read(): void {
    const { loop } = this.#options;
    for (let message = this.#requests[0]; message !== undefined; message = this.#requests[0]) {
      if (!loop.daemon.mayRead(this.link)) break;
      const taken = loop.daemon.receive(this.link, message);
      if (taken < message.length) this.#requests[0] = message.subarray(taken);
      else this.#requests.shift();
    }
    if (this.#requests.length > 0) loop.hold(this);
    else if (this.#hungUp) this.drop();
  }

  write(): void {
    const { outbox } = this.link;
    while (outbox.pending) {
      this.#answers.push(nextPiece(outbox));
    }
    this.#tell();
  }

  shut(): void {
    this.write();
    this.drop();
  }

  drop(): void {
    if (this.#closed) return;
    const { loop } = this.#options;
    loop.release(this);
    loop.tell(() => loop.daemon.closed(this.link));
    this.lose();
  }

  #move(): void {
    if (this.#moving || this.#closed) return;
    this.#moving = true;
    const { loop, scheduler } = this.#options;
    scheduler.ready(() => {
      this.#moving = false;
      loop.serve(this, (peer) => peer.read());
      loop.end();
    });
  }

  #tell(): void {
    if (this.#telling) return;
    this.#telling = true;
    this.#options.scheduler.ready(() => {
      this.#telling = false;
      for (let bytes = this.#answers.shift(); bytes !== undefined; bytes = this.#answers.shift())
        if (!this.#hungUp) this.#user.receive(bytes);
      if (this.#closed && !this.#hungUp) {
        this.#hungUp = true;
        this.#user.closed(new Error('the store closed the connection'));
      }
    });
  }
}

/** An answer; `type` is the protocol's number. */
export interface ViewReply {
  readonly type: number;
  readonly payload: Buffer;
}

/** A client of the control domain's that has its answers at once, whatever else is under way. */
export class StoreView implements Peer {
  readonly link: Link;
  readonly #loop: Loop;
  readonly #framer = new Framer();
  #reply: ViewReply | undefined;

  constructor(loop: Loop) {
    this.#loop = loop;
    this.link = connectLink(loop);
    this.link.io = this;
  }

  /** One whole message in, its answer out. */
  ask(message: Buffer): ViewReply {
    this.#reply = undefined;
    this.#loop.turn(() => void this.#loop.daemon.receive(this.link, message));
    const reply = this.#reply as ViewReply | undefined;
    if (reply === undefined) throw new Error('the store does not answer');
    return reply;
  }

  read(): void {}

  write(): void {
    const { outbox } = this.link;
    const framer = this.#framer;
    while (outbox.pending) {
      framer.push(nextPiece(outbox));
      while (framer.next() === 'message')
        this.#reply = { type: framer.type, payload: framer.data.subarray(framer.start, framer.end) };
    }
  }

  shut(): void {}

  drop(): void {}
}
