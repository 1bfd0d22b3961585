/**
 * A raw client of a store: bytes out, whole messages in. What every test that speaks to some xenstored, ours or another's, over
 * whatever transport, holds in its hand. Checks the framing of what comes back (docs/misc/xenstore.txt) and nothing else.
 */
import { connect, type Socket } from 'node:net';
import { Framer } from '../../xenstored/wire/frame.ts';
import { readLatin1 } from '../../xenstored/wire/latin1.ts';

/** One message from the server; the body's bytes one per character. */
export interface Packet {
  readonly type: number;
  readonly reqId: number;
  readonly txId: number;
  readonly body: string;
}

export interface Link {
  send(bytes: Uint8Array): void;
  /** The next message, in order; rejects with `LinkClosed` once the peer has gone and everything was read, and after `timeoutMs`. */
  recv(timeoutMs?: number): Promise<Packet>;
  close(): void;
}

/** The peer closed the link, or is dead. */
export class LinkClosed extends Error {
  override readonly name = 'LinkClosed';
}

const DEFAULT_TIMEOUT_MS = 5_000;

interface Waiter {
  readonly resolve: (packet: Packet) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** The receiving half of every Link: bytes are fed in, packets are awaited. */
export class Inbox {
  readonly #framer = new Framer();
  readonly #packets: Packet[] = [];
  readonly #waiters: Waiter[] = [];
  #end: Error | undefined;

  /** Takes ownership of `bytes`. */
  feed(bytes: Buffer): void {
    const framer = this.#framer;
    framer.push(bytes);
    for (;;) {
      const status = framer.next();
      if (status === 'more') return;
      if (status === 'oversize') {
        this.end(new Error('the server sent a message longer than 4096'));
        return;
      }
      this.#deliver({
        type: framer.type,
        reqId: framer.reqId,
        txId: framer.txId,
        body: readLatin1(framer.data, framer.start, framer.end),
      });
    }
  }

  /** No more will come. What is here can still be read. */
  end(reason: Error): void {
    this.#end ??= reason;
    for (const waiter of this.#waiters.splice(0)) {
      clearTimeout(waiter.timer);
      waiter.reject(this.#end);
    }
  }

  recv(timeoutMs: number = DEFAULT_TIMEOUT_MS): Promise<Packet> {
    const packet = this.#packets.shift();
    if (packet) return Promise.resolve(packet);
    if (this.#end) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(new Error(`no message within ${timeoutMs} ms`));
      }, timeoutMs);
      const waiter: Waiter = { resolve, reject, timer };
      this.#waiters.push(waiter);
    });
  }

  #deliver(packet: Packet): void {
    const waiter = this.#waiters.shift();
    if (!waiter) {
      this.#packets.push(packet);
      return;
    }
    clearTimeout(waiter.timer);
    waiter.resolve(packet);
  }
}

/** A client of the unix socket at `path`. A full backlog (Xen's daemons listen with one) is tried again. */
export async function socketLink(path: string): Promise<Link> {
  const socket = await connected(path);
  const inbox = new Inbox();
  socket.on('data', (bytes: Buffer) => inbox.feed(bytes));
  socket.on('error', () => {});
  socket.on('close', () => inbox.end(new LinkClosed('the server closed the socket')));
  return {
    send: (bytes) => void socket.write(bytes),
    recv: (timeoutMs) => inbox.recv(timeoutMs),
    close: () => void socket.destroy(),
  };
}

async function connected(path: string): Promise<Socket> {
  for (;;) {
    const socket = connect(path);
    const failure = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      socket.once('connect', () => resolve(undefined));
      socket.once('error', resolve);
    });
    if (!failure) return socket;
    if (failure.code !== 'EAGAIN') throw failure;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
