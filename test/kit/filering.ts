/**
 * A domain's end of a xenstore ring whose page is a file, mapped by the daemon under test and read and written here with
 * plain system calls: no mapping, no native code, and every field of the page is in the test's reach, so that a hostile
 * guest can be played too. Follows docs/misc/xenstore-ring.txt. Knows nothing of what the messages say.
 */
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { Ring } from '../../xenstored/wire/ops.ts';
import { Inbox, type Link, LinkClosed, type Packet } from './link.ts';

/** A ring is a link with its page in view. */
export interface RingLink extends Link {
  readonly domid: number;
  /** A 32-bit field of the page, by its offset (`Ring` in wire/ops.ts). */
  peek(offset: number): number;
  poke(offset: number, value: number): void;
  /** Tells the daemon to look at the page. */
  kick(): void;
  /** Resolves when the daemon has signalled and `condition` holds. */
  until(condition: () => boolean): Promise<void>;
  /** Takes nothing off the ring until `resume`: a guest that does not read. */
  pause(): void;
  resume(): void;
}

export class FileRing implements RingLink {
  readonly domid: number;
  readonly #fd: number;
  readonly #kick: () => void;
  readonly #inbox = new Inbox();
  readonly #word = Buffer.alloc(4);
  readonly #waiting = new Set<() => void>();
  #outgoing: Buffer = Buffer.alloc(0);
  #paused = false;
  #open = true;

  constructor(domid: number, pagePath: string, kick: () => void) {
    this.domid = domid;
    this.#fd = openSync(pagePath, constants.O_RDWR);
    this.#kick = kick;
  }

  send(bytes: Uint8Array): void {
    this.#outgoing = Buffer.concat([this.#outgoing, bytes]);
    this.#push();
  }

  recv(timeoutMs?: number): Promise<Packet> {
    return this.#inbox.recv(timeoutMs);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
    this.#inbox.end(new LinkClosed(`the ring of domain ${this.domid} is closed`));
  }

  peek(offset: number): number {
    readSync(this.#fd, this.#word, 0, 4, offset);
    return this.#word.readUInt32LE(0);
  }

  poke(offset: number, value: number): void {
    this.#word.writeUInt32LE(value >>> 0, 0);
    writeSync(this.#fd, this.#word, 0, 4, offset);
  }

  kick(): void {
    this.#kick();
  }

  until(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve) => {
      const look = () => {
        if (!condition()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
    });
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#pull();
  }

  /** The daemon has notified this domain's event channel. */
  signalled(): void {
    if (!this.#open) return;
    if (!this.#paused) this.#pull();
    this.#push();
    for (const look of [...this.#waiting]) look();
  }

  /** The daemon is gone. */
  lost(): void {
    this.#inbox.end(new LinkClosed('the daemon has ended'));
  }

  #push(): void {
    const cons = this.peek(Ring.REQ_CONS);
    let prod = this.peek(Ring.REQ_PROD);
    const room = Ring.AREA_BYTES - ((prod - cons) >>> 0);
    const piece = this.#outgoing.subarray(0, Math.max(0, Math.min(room, this.#outgoing.length)));
    if (piece.length === 0) return;
    for (let done = 0; done < piece.length; ) {
      const at = prod % Ring.AREA_BYTES;
      const run = Math.min(piece.length - done, Ring.AREA_BYTES - at);
      writeSync(this.#fd, piece, done, run, Ring.REQ + at);
      done += run;
      prod = (prod + run) >>> 0;
    }
    this.poke(Ring.REQ_PROD, prod);
    this.#outgoing = this.#outgoing.subarray(piece.length);
    this.#kick();
  }

  #pull(): void {
    const prod = this.peek(Ring.RSP_PROD);
    let cons = this.peek(Ring.RSP_CONS);
    const length = (prod - cons) >>> 0;
    if (length === 0 || length > Ring.AREA_BYTES) return;
    const bytes = Buffer.alloc(length);
    for (let done = 0; done < length; ) {
      const at = cons % Ring.AREA_BYTES;
      const run = Math.min(length - done, Ring.AREA_BYTES - at);
      readSync(this.#fd, bytes, done, run, Ring.RSP + at);
      done += run;
      cons = (cons + run) >>> 0;
    }
    this.poke(Ring.RSP_CONS, cons);
    this.#kick();
    this.#inbox.feed(bytes);
  }
}
