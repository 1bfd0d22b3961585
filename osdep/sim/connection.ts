/**
 * The hypervisor's end of one domain process's connection: frames in, answers with descriptors out, and the event pipes
 * of that process. Knows nothing of what requests mean. A peer that does not take its answers is not read from; bytes
 * that are no frame end the connection.
 */
import { systemClock } from '../os/clock.ts';
import { DESCRIPTORS_PER_MESSAGE, sendWithDescriptors } from '../os/fdpass.ts';
import type { Descriptor } from '../os/ffi.ts';
import { type Poller, READABLE, WRITABLE } from '../os/poll.ts';
import { close, recv, WOULD_BLOCK } from '../os/sock.ts';
import { EventPipe } from './eventpipe.ts';
import {
  decodeBody,
  encodeCopied,
  encodeFrame,
  FrameReader,
  Kind,
  MAX_ATTACH_BYTES,
  type SentReply,
} from './protocol.ts';
import type { SharedTable } from './sharedtable.ts';

/** Why a connection ended, if its process just went away. */
export const GONE = 'its process is gone';

export interface Peer {
  /** A whole frame; false if it is none that this peer may send. Anything thrown counts as that, too. */
  frame(from: Connection, kind: number, body: Buffer): boolean;
  /** Whoever gets this closes the connection. */
  ended(from: Connection, why: string): void;
}

/** Taken from one connection at a time, so that all get their turn; and what was taken is served for so long at a time. */
const BYTES_PER_TURN = 16 * 1024;
const MS_PER_TURN = 1;

interface Piece {
  readonly bytes: Uint8Array;
  readonly descriptors: readonly Descriptor[];
  /** Called once the descriptors have left. */
  readonly sent: (() => void) | undefined;
}

const scratch = Buffer.alloc(BYTES_PER_TURN);

export class Connection {
  domid: number | undefined;
  restartable = false;
  /** Mappings that were made for this process. */
  readonly maps: Set<number> = new Set();
  /** Tables of copies, in those of them that have one. */
  readonly copyTables: Map<number, SharedTable> = new Map();
  readonly #files = new Map<number, EventPipe>();
  readonly #poller: Poller;
  readonly #fd: Descriptor;
  readonly #peer: Peer;
  readonly #reader = new FrameReader(MAX_ATTACH_BYTES);
  readonly #outbox: Piece[] = [];
  #closed = false;
  /** The turn is the others'; ours comes by itself. */
  #waitsForTurn = false;

  constructor(poller: Poller, fd: Descriptor, peer: Peer) {
    this.#poller = poller;
    this.#fd = fd;
    this.#peer = peer;
    poller.add(fd, READABLE, () => this.#ready());
  }

  attach(domid: number, restartable: boolean, maxBodyBytes: number): void {
    this.domid = domid;
    this.restartable = restartable;
    this.#reader.maxBodyBytes = maxBodyBytes;
  }

  decode(body: Buffer): unknown {
    return decodeBody(body);
  }

  /** Answers a request. The descriptors stay the caller's. */
  reply(
    reply: SentReply,
    bytes: 'bytes' | 'plain' = 'plain',
    descriptors: readonly Descriptor[] = [],
    sent?: () => void,
  ): void {
    if (this.#closed) return;
    const counted = descriptors.length === 0 ? reply : { ...reply, descriptors: descriptors.length };
    let rest: Uint8Array = encodeFrame(Kind.REPLY, counted, bytes);
    // More than one message takes: a byte of the frame carries each full load, the rest the last.
    let from = 0;
    while (descriptors.length - from > DESCRIPTORS_PER_MESSAGE) {
      const load = descriptors.slice(from, from + DESCRIPTORS_PER_MESSAGE);
      this.#outbox.push({ bytes: rest.subarray(0, 1), descriptors: load, sent: undefined });
      rest = rest.subarray(1);
      from += DESCRIPTORS_PER_MESSAGE;
    }
    this.#outbox.push({ bytes: rest, descriptors: from === 0 ? descriptors : descriptors.slice(from), sent });
    this.#flush();
  }

  /** Answers a request for copies. */
  copied(errno: number): void {
    if (this.#closed) return;
    this.#outbox.push({ bytes: encodeCopied(errno), descriptors: [], sent: undefined });
    this.#flush();
  }

  /** Makes the pipe of a new event channel file and answers with its other end. Throws OsError. */
  openFile(handle: number): void {
    const pipe = new EventPipe(this.#poller);
    this.#files.set(handle, pipe);
    this.reply({ value: { handle } }, 'plain', [pipe.readEnd], () => pipe.closeReadEnd());
  }

  forgetMap(map: number): void {
    this.maps.delete(map);
    this.copyTables.delete(map);
  }

  forgetFile(handle: number): void {
    this.#files.get(handle)?.close();
    this.#files.delete(handle);
  }

  fileHandles(): number[] {
    return [...this.#files.keys()];
  }

  /** Delivers an event, if the file is this process's. */
  fire(handle: number, port: number): boolean {
    const file = this.#files.get(handle);
    file?.fire(port);
    return file !== undefined;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poller.remove(this.#fd);
    close(this.#fd);
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
    this.copyTables.clear();
    this.#outbox.length = 0;
  }

  #ready(): void {
    if (this.#outbox.length > 0) {
      this.#flush();
      if (this.#outbox.length > 0 || this.#closed) return;
      this.#poller.modify(this.#fd, READABLE);
      this.#frames();
      return;
    }
    // What was taken comes before what is there, and the end of the stream after both.
    if (this.#waitsForTurn) return;
    const count = recv(this.#fd, scratch, BYTES_PER_TURN);
    if (count === WOULD_BLOCK) return;
    if (count <= 0) {
      this.#peer.ended(this, GONE);
      return;
    }
    this.#reader.push(scratch, count);
    this.#frames();
  }

  /** Handles what has been received, as far as answers are taken. */
  #frames(): void {
    const end = systemClock.now() + MS_PER_TURN;
    for (let first = true; !this.#closed && this.#outbox.length === 0; first = false) {
      if (!first && systemClock.now() > end) {
        this.#waitForTurn();
        return;
      }
      const frame = this.#reader.next();
      if (frame === undefined) return;
      if (frame === 'bad') {
        this.#peer.ended(this, 'it sent a message that is too long');
        return;
      }
      let good: boolean;
      try {
        good = this.#peer.frame(this, frame.kind, frame.body);
      } catch (error) {
        // Text that is no value is the peer's mistake; everything else is ours, and is wanted in full.
        const { message, stack } = error as Error;
        const what = error instanceof SyntaxError || error instanceof RangeError ? message : stack;
        this.#peer.ended(this, `it sent a message that made trouble: ${what}`);
        return;
      }
      if (!good) {
        this.#peer.ended(this, 'it sent a message that is none');
        return;
      }
    }
  }

  /** Served so long that it is the others' turn: nothing more is taken before what was is done. */
  #waitForTurn(): void {
    this.#waitsForTurn = true;
    this.#poller.modify(this.#fd, 0);
    setImmediate(() => {
      this.#waitsForTurn = false;
      if (this.#closed) return;
      this.#poller.modify(this.#fd, READABLE);
      this.#frames();
    });
  }

  #flush(): void {
    for (let piece = this.#outbox[0]; piece !== undefined; piece = this.#outbox[0]) {
      const count = sendWithDescriptors(this.#fd, piece.bytes, piece.descriptors);
      if (count === WOULD_BLOCK && piece.descriptors.length === 0) {
        this.#poller.modify(this.#fd, WRITABLE);
        return;
      }
      if (count < 0) {
        // Descriptors cannot wait: what they refer to may be gone by then. They always fit for those who take their
        // answers before they ask again.
        this.#peer.ended(this, count === WOULD_BLOCK ? 'it does not take its answers' : GONE);
        return;
      }
      piece.sent?.();
      this.#outbox.shift();
      if (count < piece.bytes.length) {
        const rest = piece.bytes.subarray(count);
        this.#outbox.unshift({ bytes: rest, descriptors: [], sent: undefined });
      }
    }
  }
}
