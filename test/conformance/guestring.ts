/**
 * A domain's end of a xenstore ring, with every field of the page in the test's reach, so that a hostile guest can be played too. The page
 * is somebody's memory, or a file that a daemon has mapped, read and written here with plain system calls: no mapping, no native code.
 * Follows docs/misc/xenstore-ring.txt. Knows nothing of what the messages say.
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

/** Where the ring lies. */
export interface Page {
  peek(offset: number): number;
  poke(offset: number, value: number): void;
  read(offset: number, target: Buffer): void;
  write(offset: number, source: Buffer): void;
  close(): void;
}

export class FilePage implements Page {
  readonly #fd: number;
  readonly #word: Buffer = Buffer.alloc(4);

  constructor(path: string) {
    this.#fd = openSync(path, constants.O_RDWR);
  }

  peek(offset: number): number {
    readSync(this.#fd, this.#word, 0, 4, offset);
    return this.#word.readUInt32LE(0);
  }

  poke(offset: number, value: number): void {
    this.#word.writeUInt32LE(value >>> 0, 0);
    writeSync(this.#fd, this.#word, 0, 4, offset);
  }

  read(offset: number, target: Buffer): void {
    readSync(this.#fd, target, 0, target.length, offset);
  }

  write(offset: number, source: Buffer): void {
    writeSync(this.#fd, source, 0, source.length, offset);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** A page of this process's own memory, or of any that it can see. */
export class MemoryPage implements Page {
  readonly bytes: Buffer;

  constructor(bytes: Buffer = Buffer.alloc(4096)) {
    this.bytes = bytes;
  }

  peek(offset: number): number {
    return this.bytes.readUInt32LE(offset);
  }

  poke(offset: number, value: number): void {
    this.bytes.writeUInt32LE(value >>> 0, offset);
  }

  read(offset: number, target: Buffer): void {
    this.bytes.copy(target, 0, offset);
  }

  write(offset: number, source: Buffer): void {
    source.copy(this.bytes, offset);
  }

  close(): void {}
}

export class GuestRing implements RingLink {
  readonly domid: number;
  readonly #page: Page;
  readonly #kick: () => void;
  readonly #inbox = new Inbox();
  readonly #waiting = new Set<() => void>();
  #outgoing: Buffer = Buffer.alloc(0);
  #paused = false;
  #open = true;

  constructor(domid: number, page: Page, kick: () => void) {
    this.domid = domid;
    this.#page = page;
    this.#kick = kick;
  }

  send(bytes: Uint8Array): void {
    this.#outgoing = Buffer.concat([this.#outgoing, bytes]);
    this.#push();
  }

  /** As `send`, but rings nothing, as a guest that has seen the daemon busy. */
  place(bytes: Uint8Array): void {
    this.#outgoing = Buffer.concat([this.#outgoing, bytes]);
    this.#fill();
  }

  recv(timeoutMs?: number): Promise<Packet> {
    return this.#inbox.recv(timeoutMs);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#page.close();
    this.#inbox.end(new LinkClosed(`the ring of domain ${this.domid} is closed`));
  }

  peek(offset: number): number {
    return this.#page.peek(offset);
  }

  poke(offset: number, value: number): void {
    this.#page.poke(offset, value);
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
    if (this.#fill()) this.#kick();
  }

  /** Puts what there is room for into the ring; answers whether that was anything. */
  #fill(): boolean {
    const cons = this.peek(Ring.REQ_CONS);
    let prod = this.peek(Ring.REQ_PROD);
    const room = Ring.AREA_BYTES - ((prod - cons) >>> 0);
    const piece = this.#outgoing.subarray(0, Math.max(0, Math.min(room, this.#outgoing.length)));
    if (piece.length === 0) return false;
    for (let done = 0; done < piece.length; ) {
      const at = prod % Ring.AREA_BYTES;
      const run = Math.min(piece.length - done, Ring.AREA_BYTES - at);
      this.#page.write(Ring.REQ + at, piece.subarray(done, done + run));
      done += run;
      prod = (prod + run) >>> 0;
    }
    this.poke(Ring.REQ_PROD, prod);
    this.#outgoing = this.#outgoing.subarray(piece.length);
    return true;
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
      this.#page.read(Ring.RSP + at, bytes.subarray(done, done + run));
      done += run;
      cons = (cons + run) >>> 0;
    }
    this.poke(Ring.RSP_CONS, cons);
    this.#kick();
    this.#inbox.feed(bytes);
  }
}
