/**
 * The store over a guest's ring: a shared page and a bell. Follows docs/misc/xenstore-ring.txt, the wait for the connection field
 * included. Knows nothing of what messages say; loaded only where it is used.
 */
import { Errno, OsError } from '../../osdep/errno.ts';
import type { Platform } from '../../osdep/platform.ts';
import { type RingEnd, StoreRing, storeFrontend } from '../../osdep/ring/bytering.ts';
import { Page } from '../../osdep/ring/page.ts';
import { Connection, Feature, RingError } from '../wire/ops.ts';
import type { Connector, Transport, TransportUser } from './transport.ts';

/** A ring that is mapped. Ringing and listening go through one event channel. */
export interface GuestRing {
  /** The page; it must stay mapped until `release`. */
  readonly bytes: Uint8Array;
  notify(): void;
  /** Calls back whenever the other end has rung, never from within `notify`, until the result is called. */
  onEvent(callback: () => void): () => void;
  /** No more use of it will be made. */
  release(): void;
}

/** `attach` is called for each connection, and may hand out the same page again. */
export function overRing(attach: () => GuestRing): Connector {
  return { name: 'ring', connect: (user) => connectRing(attach(), user) };
}

/** The ring of the domain that we are. Rejects with ENOENT where there is none. */
export function ownRing(platform: Pick<Platform, 'store' | 'openEvtchn'>): Connector {
  return overRing(() => {
    const { page, port } = platform.store.ring();
    const evtchn = platform.openEvtchn();
    evtchn.bind(port);
    return {
      bytes: page.bytes,
      notify: () => evtchn.notify(port),
      onEvent: (callback) =>
        evtchn.onReadable(() => {
          // Unmasked before the ring is looked at: what comes meanwhile rings again.
          for (let fired = evtchn.pending(); fired !== undefined; fired = evtchn.pending())
            evtchn.unmask(fired);
          callback();
        }),
      release: () => {
        evtchn.close();
        page.unmap();
      },
    };
  });
}

async function connectRing(ring: GuestRing, user: TransportUser): Promise<Transport> {
  const page = new Page(ring.bytes);
  try {
    const error = page.load(StoreRing.ERROR);
    if (error !== RingError.NONE)
      throw new OsError(Errno.EPROTO, `the server has given this ring up (${error})`);
    const offered = (page.load(StoreRing.SERVER_FEATURES) & Feature.RECONNECTION) !== 0;
    if (!clean(page) && offered) {
      page.store(StoreRing.CONNECTION, Connection.RECONNECT);
      ring.notify();
    }
    await connected(ring, page);
  } catch (error) {
    ring.release();
    throw error;
  }
  return new RingTransport(ring, page, user);
}

/** Has whoever used the ring before us, if anybody, left nothing half done in it? */
function clean(page: Page): boolean {
  const { REQUEST, RESPONSE } = StoreRing;
  return (
    page.load(REQUEST.prod) === page.load(REQUEST.cons) &&
    page.load(RESPONSE.prod) === page.load(RESPONSE.cons)
  );
}

/** Until the field says so, nothing else of the page may be looked at. */
function connected(ring: GuestRing, page: Page): Promise<void> {
  const ready = (): boolean => page.load(StoreRing.CONNECTION) === Connection.CONNECTED;
  if (ready()) return Promise.resolve();
  return new Promise((resolve) => {
    const look = (): void => {
      if (!ready()) return;
      stop();
      resolve();
    };
    const stop = ring.onEvent(look);
    look();
  });
}

class RingTransport implements Transport {
  readonly #ring: GuestRing;
  readonly #page: Page;
  readonly #end: RingEnd;
  readonly #user: TransportUser;
  readonly #buffer: Buffer = Buffer.allocUnsafe(StoreRing.RESPONSE.size);
  readonly #queue: Buffer[] = [];
  /** Our two indices. If the page says otherwise, the server has started the ring over. */
  #taken: number;
  #given: number;
  #flushing = false;
  #open = true;
  readonly #stop: () => void;

  constructor(ring: GuestRing, page: Page, user: TransportUser) {
    this.#ring = ring;
    this.#page = page;
    this.#user = user;
    this.#end = storeFrontend(ring.bytes);
    this.#given = this.#end.writer.position;
    // Answers that were another's: nothing is known of what they answer.
    this.#taken = page.load(StoreRing.RESPONSE.prod);
    this.#end.reader.advance(this.#taken);
    this.#stop = ring.onEvent(() => this.#turn());
  }

  send(message: Buffer): void {
    if (!this.#open) return;
    this.#queue.push(message);
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      if (this.#open && this.#sound()) this.#give();
    });
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#queue.length = 0;
    this.#stop();
    this.#ring.release();
  }

  #turn(): void {
    if (!this.#open || !this.#sound()) return;
    this.#give();
    while (this.#open && this.#take());
  }

  /** May the ring be used? Otherwise it is lost to us, and `closed` has been called for. */
  #sound(): boolean {
    const error = this.#page.load(StoreRing.ERROR);
    if (error !== RingError.NONE) return this.#lost(`the server has given this ring up (${error})`);
    const { reader, writer } = this.#end;
    const over =
      this.#page.load(StoreRing.CONNECTION) !== Connection.CONNECTED ||
      reader.position !== this.#taken ||
      writer.position !== this.#given;
    return over ? this.#lost('the server has started the ring over') : true;
  }

  /** Copies out what there is; answers whether it was anything. */
  #take(): boolean {
    const { reader } = this.#end;
    const found = reader.available(this.#taken);
    if (!found.ok) return this.#lost('impossible indices');
    if (found.bytes === 0) return false;
    const bytes = this.#buffer.subarray(0, found.bytes);
    reader.peek(this.#taken, bytes);
    this.#taken = (this.#taken + found.bytes) >>> 0;
    reader.advance(this.#taken);
    if (!this.#ringBell()) return false;
    this.#user.receive(bytes);
    return true;
  }

  #give(): void {
    const { writer } = this.#end;
    const room = writer.room(this.#given);
    if (!room.ok) {
      this.#lost('impossible indices');
      return;
    }
    let left = room.bytes;
    for (let message = this.#queue[0]; message !== undefined && left > 0; message = this.#queue[0]) {
      const piece = message.subarray(0, left);
      writer.put(this.#given, piece);
      this.#given = (this.#given + piece.length) >>> 0;
      left -= piece.length;
      if (piece.length < message.length) this.#queue[0] = message.subarray(piece.length);
      else this.#queue.shift();
    }
    if (left === room.bytes) return;
    writer.advance(this.#given);
    this.#ringBell();
  }

  /** False: there is nobody to ring, and the ring is lost. A domain may end while others of its process go on. */
  #ringBell(): boolean {
    try {
      this.#ring.notify();
      return true;
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      return this.#lost(error.message);
    }
  }

  #lost(what: string): false {
    this.close();
    queueMicrotask(() => this.#user.closed(new Error(what)));
    return false;
  }
}
